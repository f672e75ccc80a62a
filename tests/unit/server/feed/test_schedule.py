"""Tests of the schedule of due times."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contract import ledger, wire
from services.contract.errors import MalformedFrame
from services.contract.jsonl import FIRST
from services.contract.scalars import LEAST_RATE, MAX_INTEGER
from services.server.feed.schedule import RateSegment, Schedule

START = 1_000_000_000
instances_of_rate = st.just(0) | st.integers(1, 10**7) | st.floats(LEAST_RATE, 10**7)
rates = st.one_of(st.integers(1, 1_000_000), st.floats(0.01, 1_000_000))


def schedule(*segments: RateSegment, total: int = 1000) -> Schedule:
    """Return a schedule with these segments."""
    made = Schedule(total)
    for segment in segments:
        made.add(segment)
    return made


@given(rates, st.integers(0, 10**10), st.integers(1, 10**7))
def test_head_and_due_agree(rate: float, passed_us: int, total: int) -> None:
    """At any time the head is due and the record after it is not."""
    made = schedule(RateSegment(1, START, rate), total=total)
    head = made.head(START + passed_us)

    assert 1 <= head <= total
    due_us, next_us = made.due_us(head), made.due_us(head + 1)
    assert due_us is not None
    assert next_us is not None
    assert due_us <= START + passed_us
    assert head == total or next_us > START + passed_us


@given(st.lists(st.tuples(st.none() | rates | st.just(0), st.integers(0, 10**7)), min_size=1, max_size=8))
def test_any_rates(paces: list[tuple[float | None, int]]) -> None:
    """With any rates and pauses the head never falls, and every record up to it is due."""
    made, now_us, heads = Schedule(10**6), START, [0]
    for rate, length_us in paces:
        head = made.head(now_us)
        made.add(RateSegment(head + 1, now_us, rate))
        now_us += length_us
        heads.append(made.head(now_us))
        for seq in {1, head, heads[-1]} - {0}:
            due_us = made.due_us(min(seq, made.total)) if seq <= heads[-1] else START
            assert due_us is not None
            assert due_us <= now_us

    assert sorted(heads) == heads


@given(rates, st.integers(1, 1000), st.integers(0, 10**9))
def test_heads_rise_one_by_one(rate: float, seq: int, extra_us: int) -> None:
    """A record is the head from its due time until the next record is due."""
    made = schedule(RateSegment(1, START, rate))
    due_us = made.due_us(seq)

    assert due_us is not None
    assert seq <= made.head(due_us)
    assert seq > made.head(due_us - 1)
    assert made.head(due_us) <= made.head(due_us + extra_us)


def test_nothing_is_due_without_a_schedule() -> None:
    """A run that has not started has head 0 and no due times."""
    made = Schedule(10)

    assert (False, False, 0, None) == (made.has_started, made.is_paused, made.head(START), made.due_us(1))
    with pytest.raises(LookupError, match="record 1 "):
        made.segment_of(1)


def test_nothing_is_due_before_the_start() -> None:
    """The head is 0 before the start of the schedule."""
    assert 0 == schedule(RateSegment(1, START, 100)).head(START - 1)


def test_a_pause_stops_the_head() -> None:
    """During a pause the head stays, and the records after it have no due time."""
    made = schedule(RateSegment(1, START, 10), RateSegment(11, START + 1_000_000, None))

    assert made.is_paused
    assert 10 == made.head(START + 60_000_000)
    assert (START + 900_000, None) == (made.due_us(10), made.due_us(11))


def test_resuming_replaces_the_pause() -> None:
    """The segment after a pause replaces it, since it begins with the same record."""
    made = schedule(RateSegment(1, START, 10), RateSegment(11, START + 1, None), RateSegment(11, START + 5_000_000, 20))

    assert not made.is_paused
    assert [1, 11] == [segment.first for segment in made.segments]
    assert START + 5_050_000 == made.due_us(12)


def test_a_segment_replaces_later_ones() -> None:
    """A segment replaces the earlier added ones that begin after it."""
    made = schedule(RateSegment(1, START, 10), RateSegment(50, START, 20), RateSegment(20, START + 7, 5))

    assert [(1, 10), (20, 5)] == [(segment.first, segment.rate) for segment in made.segments]


def test_at_rate_0_all_records_are_due() -> None:
    """At rate 0 all records are due at once."""
    made = schedule(RateSegment(1, START, 0))

    assert (0, 1000) == (made.head(START - 1), made.head(START))


def test_a_segment_ends_before_the_next() -> None:
    """A segment ends before the first record of the next one, the last segment with the run."""
    first, second = RateSegment(1, START, 10), RateSegment(11, START + 10, 20)
    made = schedule(first, second)

    assert (first, 10) == made.segment_of(10)
    assert (second, 1000) == made.segment_of(11)


def test_a_segment_holds_until_the_next_one_begins() -> None:
    """A segment that was decided and has not begun changes nothing yet; the one before it ends where it begins."""
    made = schedule(RateSegment(1, START, 10), RateSegment(21, START + 2_050_000, None))

    assert [11, 20, 20, 20] == [made.head(START + us) for us in (1_000_000, 1_999_999, 2_049_999, 90_000_000)]
    made.add(RateSegment(21, START + 9_000_000, 10))
    assert [20, 21] == [made.head(START + us) for us in (8_999_999, 9_000_000)]


starts = st.integers(-MAX_INTEGER, MAX_INTEGER)
paces = st.none() | instances_of_rate


@given(
    pieces=st.lists(st.tuples(st.integers(1, MAX_INTEGER), starts, paces), min_size=1, max_size=5),
    total=st.integers(1, 10**12),
    now_us=st.integers(0, MAX_INTEGER),
)
def test_every_valid_entry_gives_a_schedule(
    pieces: list[tuple[int, int, float | None]], total: int, now_us: int
) -> None:
    """No `pace` entry that a ledger can contain makes a due time overflow."""
    made = Schedule(total)
    for first, due, rate in pieces:
        line, _ = ledger.codec.encode(ledger.PaceEntry(at="", first=first, due_us=due, rate=rate), FIRST)
        entry = ledger.codec.decode(line)[1]
        assert isinstance(entry, ledger.PaceEntry)
        made.add(RateSegment(entry.first, entry.due_us, entry.rate))
    head = made.head(now_us)

    assert 0 <= head <= total
    assert made.is_complete is (made.segments[0].first == 1)
    for seq in {made.segments[0].first, head + 1, total} if made.is_complete else ():
        due_us = made.due_us(seq)
        assert due_us is None or abs(due_us) < 10**30


@given(offset=st.integers(0, MAX_INTEGER), rate=instances_of_rate)
def test_every_offset_has_a_due_time(offset: int, rate: float) -> None:
    """No rate that the contract takes makes a due time overflow."""
    # A float has 53 bits, so the last digits of the farthest times are rounded.
    assert 0 <= wire.due_us(0, offset, rate) <= offset * (10**12 + 1)


@pytest.mark.parametrize("rate", [5e-324, 1e-300, 9.9e-7])
def test_a_rate_below_the_least_is_refused(rate: float) -> None:
    """A rate too low for due times is refused in control requests, ledger entries and records frames."""
    for text in (f'{{"type":"control","set":{{"rate":{rate}}}}}',):
        with pytest.raises(MalformedFrame, match="rate of 0 or from 1e-06 on"):
            wire.decode_from_client(text.encode())
    with pytest.raises(ValueError, match="rate of 0"):
        ledger.PaceEntry(at="", first=1, due_us=0, rate=rate)
    with pytest.raises(ValueError, match="rate of 0"):
        ledger.ControlEntry(at="", request="rate", value=rate, peer="127.0.0.1")
    header = wire.Records(first=1, count=1, due_us=0, rate=rate, sent_us=0, crc="x00000000")
    with pytest.raises(MalformedFrame, match="gives no schedule"):
        wire.decode_from_server(wire.encode(header) + b"\n{}\n")
