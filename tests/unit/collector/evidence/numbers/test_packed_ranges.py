"""Tests of packed ranges and arrivals."""

from __future__ import annotations

from array import array

from hypothesis import given
from hypothesis import strategies as st

from services.collector.evidence.numbers.arrival_times import ArrivalTimesOfBlock
from services.collector.evidence.numbers.number_ranges import NumberRange, SequenceName, number_ranges
from services.collector.evidence.numbers.packed_ranges import (
    FEWEST,
    PackedArrivals,
    PackedRanges,
    kept_ranges,
    spans_of,
)
from services.contract.scalars import utc_us
from tests.builders.external_runs import message

keys = st.sampled_from(["a", "b", "c", None])
received = st.lists(st.tuples(keys, st.integers(0, 9), st.booleans()), min_size=1, max_size=60)


@given(received)
def test_packed_ranges_are_the_same_ranges(every: list[tuple[str | None, int, bool]]) -> None:
    """Ranges of any block come out of their packed form as they were, and so do the arrivals of each sequence."""
    messages = [
        message(seq, place, key=key, unreadable=unreadable, text=f"{place}")
        for place, (key, seq, unreadable) in enumerate(every)
    ]
    names: dict[SequenceName, SequenceName] = {}
    ranges = tuple(number_ranges(messages))
    packed = PackedRanges(ranges, names)
    stamps = {one.received_at: utc_us(one.received_at) for one in messages}
    arrivals = ArrivalTimesOfBlock.by_key(messages, stamps) or {}

    assert list(ranges) == list(packed)
    assert [(one.key, one.first, one.last) for one in ranges] == list(spans_of(packed)) == list(spans_of(ranges))
    assert arrivals == PackedArrivals(arrivals, names).by_key()


def test_only_many_plain_ranges_are_packed() -> None:
    """A few ranges, and those of a feed whose messages cover ranges or name the one before, stay as they are."""
    many = tuple(NumberRange(f"{place}", 7, 7, contents=array("H", [1])) for place in range(FEWEST))
    linked = (*many[1:], many[0]._replace(link=6))

    assert isinstance(kept_ranges(many, {}), PackedRanges)
    assert many[1:] == kept_ranges(many[1:], {})
    assert linked == kept_ranges(linked, {})
