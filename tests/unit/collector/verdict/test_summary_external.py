"""Tests of the summary of an external feed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from services.collector.publish.files.run_files import render_files
from services.collector.scan import Source
from services.collector.verdict.snapshot import snapshot
from services.collector.verdict.summary import reconcile
from services.contract import summary
from services.contract.scalars import MAX_INTEGER
from services.contract.sequence_rules import SequenceRules
from services.contract.summary import Summary
from tests.builders.external_runs import evidence_of, log, numbered_messages
from tests.builders.runs import RUN, fold

STREAM = SequenceRules(scope="stream")


def summary_of(*logs: Any) -> Summary:
    """Return the summary of a run that is over."""
    return reconcile(evidence_of(*logs), final=True)


def test_what_cannot_be_known_is_null() -> None:
    """Counts that need a ledger are null, and never 0."""
    result = summary_of(log("client-1", numbered_messages([1, 2, 4])))

    assert ("one-sided", "ws://feed", None, None) == (result.books, result.feed, result.total, result.rate)
    assert (None, None, None) == (result.totals.residual, result.totals.corrupt, result.totals.logged_not_receipted)
    assert (4, 3, 1, 0) == (
        result.totals.expected,
        result.totals.received,
        result.totals.missing,
        result.totals.duplicates,
    )
    causes = result.missing_by_cause
    assert (None, None, 1, 0) == (causes.never_sent, causes.receipted_not_logged, causes.not_seen, causes.corrupt_block)
    assert (None, None) == (result.clients[0].clock_error_us, result.clients[0].residual)


def test_without_numbers_nothing_is_claimed_to_be_complete() -> None:
    """Figures that need numbers are null, and the headline has the reason; all others are judged."""
    result = summary_of(log("client-1", numbered_messages([None] * 3)), log("client-2", numbered_messages([None] * 3)))

    assert "PASS" == result.verdict
    assert (None, None, None, None) == (
        result.totals.expected, result.totals.missing, result.totals.duplicates, result.totals.reordered
    )  # fmt: skip
    assert (6, 6, None) == (result.totals.received, result.totals.unsequenced, result.totals.restarts)
    assert "without numbers, missing records are not detected" in result.headline
    assert {None} == {check.ok for check in result.checks if check.name in ("complete", "in order", "once")}


def test_a_good_run_states_whose_times_these_are() -> None:
    """The headline names the feed as external and the latency as from the sender's time."""
    result = summary_of(log("client-1", numbered_messages(range(10))), log("client-2", numbered_messages(range(10))))

    assert "PASS" == result.verdict
    assert "2 clients · 90.0 ms · 20 of 20 received · p99 1.0 ms from the sender's time · external feed" == (
        result.headline
    )


def test_a_sequence_that_began_again_is_in_the_headline() -> None:
    """A run with a restart of the feed passes, and its headline mentions the restart."""
    other = [msgspec.structs.replace(one, record=msgspec.Raw(b'{"other":1}')) for one in numbered_messages([1, 2])]
    result = summary_of(log("client-1", [*numbered_messages([1, 2, 3]), *other]))

    assert ("PASS", 1) == (result.verdict, result.totals.restarts)
    assert "sequences begun again: 1" in result.headline


def test_numbers_from_2_53_on_are_texts_and_counts_stay_below() -> None:
    """Numbers from 2^53 on are texts in every file, since JSON readers may round larger integers."""
    logs = [
        log(f"client-{number}", numbered_messages([2**53 - 2, 2**53 + 3, 2**64 - 1]), rules=STREAM) for number in (1, 2)
    ]
    shown = snapshot(evidence_of(*logs), final=True)
    result = shown.summary
    ranges = [(2**53 - 1, f"{2**53 + 2}"), (f"{2**53 + 4}", f"{2**64 - 2}")]

    assert ranges == result.clients[0].missing_ranges
    assert (MAX_INTEGER, MAX_INTEGER) == (result.totals.missing, result.totals.expected)
    assert f"{2**53 - 1:,}–{2**53 + 2:,}, {2**53 + 4:,}–{2**64 - 2:,}" in result.headline
    assert result == summary.decode(summary.encode(result))
    for name, data in render_files(shown).items():
        if name.endswith(".json"):
            found = json.loads(data, parse_int=int)
            assert all(number <= MAX_INTEGER for number in _integers(found)), name
    assert f"{2**53 + 4}..{2**64 - 2}" in render_files(shown)["clients.csv"].decode()


def _integers(found: object) -> Iterator[int]:
    if isinstance(found, dict):
        yield from (number for one in found.values() for number in _integers(one))
    elif isinstance(found, list):
        yield from (number for one in found for number in _integers(one))
    elif isinstance(found, int):
        yield found


def claimed(client: str, session: int = 1) -> dict[Source, list[bytes]]:
    """Return the file of a process that claimed a session and wrote no line."""
    return {Source(RUN, client, f"{session:04d}-0001.jsonl"): []}


def with_files(*logs: dict[Source, list[bytes]]) -> Summary:
    """Return the summary of a run that is over, whose files may be empty."""
    return reconcile(fold({source: lines for one in logs for source, lines in one.items()}), final=True)


def test_a_client_that_left_no_line_is_lost() -> None:
    """A claimed file is all that shows a client whose disk refused every line: it must not vanish from the run."""
    good = log("client-1", numbered_messages(range(1, 11)))
    last = log("client-2", numbered_messages(range(1, 11)), reason="shutdown", until_us=None)

    assert "PASS" == with_files(good, last).verdict
    for logs in ((good, claimed("client-2")), (good, last, claimed("client-2", 2))):
        result = with_files(*logs)
        assert ("FAIL", "lost, log not closed: client-2") == (result.verdict, result.headline)


def test_an_empty_file_of_an_earlier_session_is_harmless() -> None:
    """A process that claimed a session and ended at once was replaced by the next one."""
    assert (
        "PASS" == with_files(claimed("client-1"), log("client-1", numbered_messages(range(1, 11)), session=2)).verdict
    )


def test_the_file_of_an_earlier_session_that_is_gone_is_noticed() -> None:
    """Sessions are numbered one after the other, so a missing number is a missing file."""
    first = log("client-1", numbered_messages(range(1, 6)), reason="shutdown")
    third = log("client-1", numbered_messages(range(6, 11)), session=3)
    result = with_files(first, third)

    assert ("INVALID", "client-1: its log has no file of session 2") == (result.verdict, result.headline)
    assert "PASS" == with_files(first, claimed("client-1", 2), third).verdict


def test_two_logs_of_one_session_contradict_each_other() -> None:
    """Different lines in the place of one cannot both be right, also where no number shows it."""
    one, other = (log("client-1", numbered_messages([None] * count), seq=None) for count in (5, 4))
    (lines,) = other.values()
    result = with_files(one, {Source(RUN, "client-1", "copy.jsonl"): lines})

    assert "INVALID" == result.verdict
    assert [
        "client-1: session 1 block 1 is in the log with 2 different contents",
        "client-1: session 1, segment 1 has 2 different end lines",
    ] == result.reasons


def test_a_summary_survives_its_json() -> None:
    """A summary of an external feed is decoded to the value that was encoded."""
    result = summary_of(log("client-1", numbered_messages([1, 2, 4])))

    assert result == summary.decode(summary.encode(result))
