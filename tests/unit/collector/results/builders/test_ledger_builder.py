"""Tests of services/collector/results/builders/ledger_builder.py."""

from __future__ import annotations

from typing import Any

import pytest

from services.collector.results.build import build_result
from services.collector.results.builders.ledger_builder import CAUSES
from services.collector.results.client_result import ClientConsistency, ClientResult
from services.collector.scan import Source
from services.contract import ledger
from services.contract.rangeset import RangeSet
from tests.builders.runs import (
    START_US,
    Files,
    Session,
    Writer,
    at,
    end,
    fold,
    good_ledger,
    good_run,
    leave,
    ledger_source,
    log_files,
    log_source,
    opening,
    receipt,
    subscription,
)

BLOCKS = [(1, 10), (11, 20), (21, 30)]


def account(
    blocks: list[tuple[int, int]],
    *,
    through: int | None = 30,
    receipts: list[tuple[int, int, int]] | None = None,
    cause: ledger.Cause | None = None,
    ended: bool = True,
    changes: dict[int, dict[str, Any]] | None = None,
    damage: dict[int, bytes] | None = None,
    reason: Any = None,
) -> ClientResult:
    """Return the result of a client of a run of 30 records that logged these blocks."""
    session = Session("a", 1, 1, 0, blocks, reason=reason, changes=changes or {})
    writer = Writer(ledger.codec)
    writer.put(opening(30, 1))
    writer.put(subscription(session))
    if through is not None:
        writer.put(ledger.SentEntry(at=at(0), client="a", fence=1, through=through))
    for number, first, last in receipts or []:
        writer.put(receipt(session, number, first, last))
    if cause is not None:
        writer.put(leave(session, 30, cause))
    if ended:
        writer.put(end(30))
    files: Files = {ledger_source(): writer.lines, **log_files(session)}
    for line, data in (damage or {}).items():
        files[log_source("a")][line - 1] = data
    (made,) = build_result(fold(files), final=True).clients
    return made


def causes(made: ClientResult) -> dict[str, list[tuple[int, int]]]:
    """Return the ranges by cause, of those causes that have any."""
    return {cause: made.lost[cause].spans() for cause in CAUSES if made.lost[cause]}


@pytest.mark.parametrize(
    ("arguments", "state", "expected"),
    [
        ({"blocks": BLOCKS}, "finished", 30),
        ({"blocks": BLOCKS[:2], "receipts": [(3, 21, 30)]}, "finished", 30),
        ({"blocks": BLOCKS[:2], "reason": "finished"}, "finished", 30),
        ({"blocks": BLOCKS[:2], "receipts": [(1, 1, 10)], "cause": "bye"}, "left", 10),
        # The goodbye was lost with the connection; the log tells of it.
        ({"blocks": BLOCKS[:2], "receipts": [(1, 1, 10)], "cause": "lost", "reason": "shutdown"}, "left", 10),
        ({"blocks": BLOCKS, "cause": "bye"}, "finished", 30),
        ({"blocks": BLOCKS[:2], "cause": "draining"}, "lost", 30),
        ({"blocks": BLOCKS[:2]}, "lost", 30),
        ({"blocks": BLOCKS[:2], "ended": False}, "running", 20),
        ({"blocks": BLOCKS[:2], "ended": False, "cause": "bye", "receipts": [(1, 1, 10)]}, "left", 10),
    ],
)
def test_each_state_answers_for_its_part(arguments: dict[str, Any], state: str, expected: int) -> None:
    """A client that left is expected to have all up to its last receipt, a lost one all, a running one what it has."""
    made = account(**arguments)

    assert (state, expected, 0) == (made.state, made.expected, made.residual)


def test_what_was_never_sent_has_that_cause() -> None:
    """Records after the last `sent` entry have the cause ``never_sent``."""
    made = account([(1, 10)], through=20)

    assert {"never_sent": [(21, 30)], "sent_not_logged": [(11, 20)]} == causes(made)
    assert 10 == made.missing_by_cause.never_sent


def test_what_was_receipted_and_is_gone_has_that_cause() -> None:
    """A missing record with a receipt has the cause ``receipted_not_logged``."""
    made = account([(1, 10), (21, 30)], receipts=[(1, 1, 10), (2, 11, 20), (3, 21, 30)])

    assert {"receipted_not_logged": [(11, 20)]} == causes(made)


def test_what_was_corrupt_in_flight_has_that_cause() -> None:
    """A missing record of a batch that failed its digest has the cause ``corrupt_in_flight``."""
    made = account([(1, 10), (21, 30)], changes={2: {"corrupt": [(11, 20)], "missing": [(11, 20)]}})

    assert {"corrupt_in_flight": [(11, 20)]} == causes(made)


def test_a_damaged_line_takes_what_it_hides_before_other_causes() -> None:
    """Records between the good neighbours of a damaged line have the cause ``corrupt_block``, also with a receipt."""
    made = account(BLOCKS, receipts=[(2, 11, 20)], damage={3: b"garbage\n"})

    assert {"corrupt_block": [(11, 20)]} == causes(made)
    assert [("corrupt_block", 3, (11, 20))] == [(fault.kind, fault.line, fault.missing) for fault in made.faults]


def test_a_damaged_last_line_hides_all_that_follows() -> None:
    """A damaged last line hides all missing records after it, and no others."""
    made = account(BLOCKS, damage={4: b"garbage\n"})

    assert {"corrupt_block": [(21, 30)]} == causes(made)


def test_a_misfiled_line_takes_what_it_replaced() -> None:
    """Records in the place of another client's line have the cause ``foreign``."""
    other = log_files(Session("b", 1, 2, 0, [(1, 10), (11, 20)]))[log_source("b")][2]
    made = account(BLOCKS, damage={3: other})

    assert {"foreign": [(11, 20)]} == causes(made)


def test_more_logged_than_sent_is_a_residual() -> None:
    """Records logged beyond those that were sent make a negative residual."""
    assert -10 == account(BLOCKS, through=20).residual
    assert -30 == account(BLOCKS, through=None).residual


def test_an_open_run_is_not_judged_by_its_sent_lines() -> None:
    """A client of an open run may have more than the ledger says was sent."""
    assert 0 == account(BLOCKS, through=10, ended=False).residual


def test_causes_are_disjoint_and_complete() -> None:
    """Every missing seq has exactly one cause if there is no residual."""
    made = account(
        [(1, 5), (12, 14)], through=25, receipts=[(1, 1, 8)], changes={2: {"corrupt": [(9, 10)]}}, damage={1: b"x\n"}
    )

    assert made.missing == made.missing_seqs.count == sum(made.lost[cause].count for cause in CAUSES)
    assert 0 == made.residual


def test_a_part_copy_of_a_file_damaged_twice_changes_nothing() -> None:
    """A copy that ends after the first damage does not change which records the damages hide."""
    session = Session("a", 1, 1, 0, BLOCKS)
    lines = log_files(session)[log_source("a")]
    lines[1:] = [b"garbage\n", lines[2], *lines[4:]]
    writer = good_ledger([session], 30)
    writer.put(end(30))
    whole: Files = {ledger_source(): writer.lines, log_source("a"): lines}
    (expected,) = build_result(fold(whole), final=True).clients
    (made,) = build_result(
        fold({**whole, Source(log_source("a").run, "a", "copy.jsonl"): lines[:2]}), final=True
    ).clients

    assert ([(1, 10)], [(21, 30)]) == (
        expected.lost["corrupt_block"].spans(),
        expected.lost["receipted_not_logged"].spans(),
    )
    assert (expected.lost, expected.faults) == (made.lost, made.faults)


def test_a_missing_message_has_the_moments_of_its_gap() -> None:
    """A missing record has the times of the messages before and after its whole gap."""
    made = account([(1, 10), (21, 30)])
    behind = account([(21, 30), (1, 10)], changes={1: {"clock_offset_us": -15_000}})

    assert (START_US + 10_000, START_US + 21_000) == made.around(15)
    assert (START_US + 6000, START_US + 10_000) == behind.around(11)
    assert (None, None) == made.around(5)


def test_observers_and_claimed_folders_have_no_account() -> None:
    """An observer, and a client that only claimed a file, have no result."""
    writer = Writer(ledger.codec)
    writer.put(opening(30, 1))
    writer.put(subscription(Session("eye", 0, 1, 0, []), observe=True))

    assert () == build_result(fold({ledger_source(): writer.lines, log_source("b"): []}), final=True).clients


def consistency(files: Files, client: int = 0) -> ClientConsistency:
    """Return how far ledger and log of a client agree."""
    found = build_result(fold(files), final=True).clients[client].consistency
    assert found is not None
    return found


def test_a_good_client_has_nothing_that_contradicts() -> None:
    """A good client has a receipt for every block, and every session is sealed and known to both sides."""
    assert consistency(good_run()) == ClientConsistency(
        receipts=6, differing_receipts=(), is_subscribed=True, unsealed_sessions=(), sessions_without_file=(),
        fences_without_subscription=(), fences_granted_twice=(), receipt_holes=RangeSet(),
    )  # fmt: skip


def test_a_session_without_file_and_seal_is_found() -> None:
    """A session that is in the ledger alone has no file, and the client's last session is not sealed."""
    files = good_run()
    del files[log_source("client-2", 2)]
    found = consistency(files, 1)

    assert (2,) == found.sessions_without_file


def test_nothing_is_compared_while_the_run_goes_on() -> None:
    """Nothing is compared while the run is open."""
    assert {None} == {client.consistency for client in build_result(fold(good_run()), final=False).clients}
