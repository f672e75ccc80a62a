"""Counts what a client of an external feed received and lacks, in the unit that its numbers allow."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from services.collector.evidence.numbers.number_ranges import SequenceName
from services.collector.results.client_result import EXTERNAL_CAUSES
from services.contract.rangeset import RangeSet
from services.contract.scalars import MAX_INTEGER, Span
from services.contract.sequence_rules import SequenceRules
from services.contract.sequence_tracker import FIRSTS, SPARE, SequenceTracker


class SequenceCounts(NamedTuple):
    """The counts of one client. Numbers of an external feed may have 64 bits, so counts are limited to `MAX_INTEGER`.

    Attributes:
        expected: how many records, None for not known.
        received: how many of these it holds.
        missing: how many it lacks, None for not known.
        causes: the missing ones by cause, None for not known.
        gaps: the number of gaps, None where missing records are counted themselves.
    """

    expected: int | None
    received: int
    missing: int | None
    causes: Mapping[str, int] | None
    gaps: int | None


def counts_of(
    sequences: Collection[SequenceTracker],
    rules: SequenceRules,
    lost: Sequence[Mapping[str, RangeSet]],
    before: Iterable[Sequence[Span]],
    unreadable: int,
) -> SequenceCounts:
    """Count what one client received and lacks.

    Args:
        sequences: what it received.
        rules: how its numbers are read.
        lost: the missing numbers of each sequence by cause.
        before: those that were missing whenever a sequence began again.
        unreadable: the number of numbers in whose places unreadable records are.
    """
    spans_before = [span for spans in before for span in spans]
    messages = sum(numbers.messages for numbers in sequences)
    # A gap is one, also if only a part of its numbers is known to have been sent.
    gaps = sum(1 for one in lost for _ in _together(one.values())) + len(spans_before)
    if rules.first is not None or rules.previous is not None:
        # A gap hides at least one record, and the numbers do not show how many.
        known = None if gaps else 0
        causes = None if gaps else dict.fromkeys(EXTERNAL_CAUSES, 0)
        return SequenceCounts(None if gaps else messages + unreadable, messages, known, causes, gaps)
    causes = {
        cause: min(sum(_records(one[cause], rules.step) for one in lost), MAX_INTEGER) for cause in EXTERNAL_CAUSES
    }
    # Nothing more is known of those before a restart.
    causes["not_seen"] += _records(spans_before, rules.step)
    total = sum(causes.values())
    return SequenceCounts(
        expected=min(messages + total + unreadable, MAX_INTEGER),
        received=messages,
        missing=min(total, MAX_INTEGER),
        causes={cause: min(count, MAX_INTEGER) for cause, count in causes.items()},
        gaps=None,
    )


def _together(sets: Iterable[RangeSet]) -> RangeSet:
    union = RangeSet()
    for numbers in sets:
        union = union | numbers
    return union


def _records(spans: Iterable[Span], step: int) -> int:
    """Return how many records have numbers in ranges, if every ``step``-th number is that of a record."""
    return sum(-(-(last - first + 1) // step) for first, last in spans)


class Beginnings(NamedTuple):
    """The numbers before the first ones of a sequence, if it began with a lower one elsewhere.

    Attributes:
        earlier: those of earlier turns, each time before the sequence began again.
        last: those of its last turn.
    """

    earlier: list[Span]
    last: list[Span]


MOST_LOST = 16
"""Most numbers before a first one that are known to be lost. A sequence that begins further up may have been continued
there, such as a session over a later connection."""


def lost_beginnings(
    numbers: SequenceTracker, lowest: int | None, rules: SequenceRules, *, is_own: bool
) -> tuple[Beginnings, Beginnings]:
    """Return the numbers that are missing before the first ones, and those that may have been sent or not.

    A sequence that begins again at 3, and elsewhere at 1, lacks 1 and 2.

    Args:
        numbers: of the sequence.
        lowest: the first number with which it began anywhere, None if that is neither 0 nor 1.
        rules: how its numbers are read.
        is_own: whether its numbers are known to be of its own connection, which begins with its first number too.
    """
    if lowest is None or numbers.start is None or not rules.is_plain or numbers.wraps:
        return Beginnings([], []), Beginnings([], [])
    starts = [*numbers.starts, numbers.start]
    spans = [(lowest, start - 1) if lowest < start <= lowest + SPARE else None for start in starts]
    # A client may have joined a stream in its middle.
    judged = spans if is_own else [None, *spans[1:]]
    return _beginnings(judged, is_lost=True), _beginnings(judged, is_lost=False)


def _beginnings(spans: Sequence[Span | None], *, is_lost: bool) -> Beginnings:
    chosen = [span if span is not None and (span[1] - span[0] < MOST_LOST) == is_lost else None for span in spans]
    return Beginnings(*([span for span in part if span is not None] for part in (chosen[:-1], chosen[-1:])))


def lowest_starts(sequences: Iterable[Mapping[SequenceName, SequenceTracker]]) -> dict[SequenceName, int]:
    """Return for each sequence whether it began with 0 or with 1 at any client; nothing for one that did not."""
    lowest: dict[SequenceName, int] = {}
    for known in sequences:
        for key, numbers in known.items():
            for start in (*numbers.starts, numbers.start):
                if start in FIRSTS:
                    lowest[key] = min(start, lowest.get(key, start))
    return lowest
