"""Ranges and arrival times of a block with many sequences, packed: nearly every message is a range of its own there.

As objects they take about 460 bytes a message, packed about 60.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence

from services.collector.evidence.numbers.arrival_times import ArrivalTimesOfBlock
from services.collector.evidence.numbers.number_ranges import NumberRange, SequenceName

FEWEST = 16
"""Fewer ranges are kept as they are."""


class PackedRanges:
    """Ranges of messages that each cover their own number alone; iterating makes them again, in their order."""

    __slots__ = ("_contents", "_digests", "_firsts", "_keys", "_lasts", "_openings", "_unreadable")

    def __init__(self, ranges: Sequence[NumberRange], names: dict[SequenceName, SequenceName]) -> None:
        """Pack ranges; ``names`` has each key once, and gets the new ones."""
        self._keys = tuple(names.setdefault(one.key, one.key) for one in ranges)
        self._firsts = array("Q", [one.first for one in ranges])
        self._lasts = array("Q", [one.last for one in ranges])
        self._digests = array("I", [one.digest for one in ranges])
        self._openings = array("I", [one.opening for one in ranges])
        self._unreadable = array("I", [count for one in ranges for count in one.unreadable])
        self._contents = array("H", [content for one in ranges for content in one.contents])

    def __iter__(self) -> Iterator[NumberRange]:
        """Yield the ranges."""
        begin = 0
        for place, (key, first, last) in enumerate(self.spans()):
            end = begin + last - first + 1
            before, after = self._unreadable[2 * place : 2 * place + 2]
            contents = self._contents[begin:end]
            yield NumberRange(
                key, first, last, self._digests[place], (before, after), contents, opening=self._openings[place]
            )
            begin = end

    def spans(self) -> Iterator[tuple[SequenceName, int, int]]:
        """Yield key, first and last number of each range."""
        return zip(self._keys, self._firsts, self._lasts, strict=True)


class PackedArrivals:
    """The arrivals of each sequence in a block."""

    __slots__ = ("_first_us", "_keys", "_several")

    def __init__(
        self, arrivals: Mapping[SequenceName, ArrivalTimesOfBlock], names: dict[SequenceName, SequenceName]
    ) -> None:
        """Pack arrivals; ``names`` has each key once, and gets the new ones."""
        self._keys = tuple(names.setdefault(key, key) for key in arrivals)
        self._first_us = array("q", [one.first_us for one in arrivals.values()])
        # Most sequences have one record in a block.
        self._several = {key: one for key, one in arrivals.items() if one.arrival_count > 1}

    def by_key(self) -> dict[SequenceName, ArrivalTimesOfBlock]:
        """Return the arrivals by key."""
        single = {key: ArrivalTimesOfBlock(at, at, 0, 1) for key, at in zip(self._keys, self._first_us, strict=True)}
        return single | self._several


Ranges = tuple[NumberRange, ...] | PackedRanges


def kept_ranges(ranges: tuple[NumberRange, ...], names: dict[SequenceName, SequenceName]) -> Ranges:
    """Return ranges as they are best kept; ranges with bounds or links of their own are rare, and stay as they are."""
    is_plain = all(one.ends is None and one.link is None for one in ranges)
    return PackedRanges(ranges, names) if len(ranges) >= FEWEST and is_plain else ranges


def spans_of(ranges: Ranges) -> Iterator[tuple[SequenceName, int, int]]:
    """Yield key, first and last number of each range."""
    if isinstance(ranges, PackedRanges):
        return ranges.spans()
    return ((one.key, one.first, one.last) for one in ranges)
