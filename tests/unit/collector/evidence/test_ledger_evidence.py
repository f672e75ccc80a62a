"""Tests of services/collector/evidence/ledger_evidence.py."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from services.collector.evidence.block_check import number
from services.collector.evidence.compact_index import CompactIndex, IndexRow
from services.collector.evidence.ledger_evidence import LedgerEvidence
from services.contract import ledger
from services.contract.jsonl import LineStruct
from services.contract.rangeset import RangeSet
from tests.builders.runs import (
    START_US,
    Session,
    Writer,
    at,
    end,
    leave,
    ledger_source,
    opening,
    receipt,
    subscription,
)

SESSION = Session("a", 1, 1, 0, [(1, 10), (11, 20)])


def ledger_of(*entries: LineStruct) -> LedgerEvidence:
    """Return the ledger of these lines."""
    writer, made = Writer(ledger.codec), LedgerEvidence()
    for entry in entries:
        writer.put(entry)
    for line in writer.lines:
        made.add_lines(ledger_source(), [line])
    return made


def pace(first: int, rate: float | None, second: int = 0) -> ledger.PaceEntry:
    """Return a change of the rate."""
    return ledger.PaceEntry(at=at(first + second), first=first, due_us=START_US + second, rate=rate)


@pytest.mark.parametrize(
    ("entries", "state"),
    [
        ([], "opened"),
        ([opening(20, 1)], "waiting"),
        ([opening(20, 1), pace(1, 10)], "running"),
        ([opening(20, 1), pace(1, 10), pace(5, None)], "paused"),
        ([opening(20, 1), pace(1, 10), pace(5, None), pace(5, 20, second=1)], "running"),
        ([opening(20, 1), pace(1, 10), pace(5, None), end(20)], "ended"),
    ],
)
def test_the_state_follows_the_lines(entries: list[LineStruct], state: str) -> None:
    """The state of the run follows its lines; of pace lines with equal ``first`` the last one counts."""
    assert state == ledger_of(*entries).state


def test_the_rate_of_a_paused_run_is_the_one_before() -> None:
    """A paused run has the rate before the pause; without a pace line it is that of the open line."""
    assert 10 == ledger_of(opening(20, 1), pace(1, 10), pace(5, None)).rate
    assert 1000 == ledger_of(opening(20, 1)).rate
    assert ledger_of().rate is None


def test_what_was_receipted_leaves_out_what_was_missing() -> None:
    """A receipt covers its range except for the seqs that it lists as missing."""
    client = ledger_of(receipt(SESSION, 1, 1, 10, missing=[(3, 4), (8, 8)])).client("a")

    assert [(1, 2), (5, 7), (9, 10)] == client.receipted.spans()


def test_repeated_receipts_count_once() -> None:
    """A receipt that is added twice counts once."""
    client = ledger_of(receipt(SESSION, 1, 1, 10), receipt(SESSION, 1, 1, 10, fence=2, at=at(99))).client("a")

    assert (1, 1) == (len(client.receipts), client.receipts.count)


@pytest.mark.parametrize(
    ("rates", "is_scheduled"),
    [([], True), ([(1, 10)], True), ([(1, 0)], False), ([(1, 10), (5, 0)], True), ([(1, 0), (9, None)], False),
     ([(1, 10), (1, 0)], False), ([(1, None)], True)],
)  # fmt: skip
def test_one_rate_is_a_schedule(rates: list[tuple[int, int | None]], is_scheduled: bool) -> None:
    """Records have due times if any rate is above 0; of lines with the same first record the last one counts."""
    paces = [
        ledger.PaceEntry(at=at(number), first=first, due_us=START_US, rate=rate)
        for number, (first, rate) in enumerate(rates)
    ]

    assert is_scheduled is ledger_of(opening(20, 1), *paces).is_scheduled


def test_an_observer_is_no_client() -> None:
    """An observer is no client, and records that were sent to it do not count."""
    client = ledger_of(
        subscription(SESSION, observe=True), ledger.SentEntry(at=at(1), client="a", fence=1, through=20)
    ).client("a")

    assert (False, 0) == (client.is_client, client.through)


def test_who_came_back_has_not_left() -> None:
    """A client has left from its goodbye until it subscribes again."""
    back = Session("a", 2, 2, 10, [(11, 20)])

    assert ledger_of(subscription(SESSION), leave(SESSION, 10, "bye")).client("a").has_left
    assert not ledger_of(subscription(SESSION), leave(SESSION, 10, "lost")).client("a").has_left
    assert not ledger_of(subscription(SESSION), leave(SESSION, 10, "bye"), subscription(back)).client("a").has_left


def test_a_line_of_another_run_is_misfiled() -> None:
    """A line of another run in the folder is misfiled, and nothing of it is added."""
    made = ledger_of(
        ledger.OpenEntry(
            **{**{f: getattr(opening(20, 1), f) for f in ledger.OpenEntry.__struct_fields__}, "run": "20200101T000000Z"}
        )
    )

    assert ["foreign"] == [damage.kind for file in made.files for damage in file.chain.damages]
    assert "opened" == made.state


RECEIPTS = st.lists(
    st.builds(
        lambda made, session, digest, missing: structs.replace(
            made, session=session, digest=f"x{digest:08x}", missing=missing
        ),
        st.builds(
            lambda block, first, more: receipt(SESSION, block, first, first + more),
            st.integers(1, 6), st.integers(1, 30), st.integers(0, 5),
        ),
        st.integers(1, 2), st.integers(0, 1), st.sampled_from([[], [], [(2, 3)]]),
    ),
    max_size=8,
)  # fmt: skip


@given(entries=RECEIPTS, in_order=st.booleans())
def test_receipts_that_are_added_together_are_those_of_each(
    *, entries: list[ledger.ReceiptEntry], in_order: bool
) -> None:
    """A batch of receipts gives the rows, seqs and fences that the receipts have, in order, repeated or not."""
    if in_order:
        entries.sort(key=lambda entry: (entry.session, entry.block))
    rows, seqs = CompactIndex(), RangeSet()
    for entry in entries:
        row = IndexRow(entry.first, entry.last, entry.count, number(entry.digest), int(entry.match))
        rows.add((entry.session, entry.block), row)
        seqs |= RangeSet([(entry.first, entry.last)]) - RangeSet(entry.missing)
    writer, together = Writer(ledger.codec), LedgerEvidence()
    for entry in entries:
        writer.put(entry)
    together.add_lines(ledger_source(), writer.lines)
    client = together.client(SESSION.client)

    assert [(key, sorted(rows.of(key))) for key in rows] == [
        (key, sorted(client.receipts.of(key))) for key in client.receipts
    ]
    assert (rows.count, rows.repeated, seqs) == (client.receipts.count, client.receipts.repeated, client.receipted)
    assert {entry.fence for entry in entries} == client.receipt_fences
