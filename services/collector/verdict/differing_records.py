"""Sentences about clients of an external feed that received different records under the same numbers."""

from __future__ import annotations

from collections.abc import Sequence

from services.collector import formatting
from services.collector.evidence.numbers.number_ranges import SequenceName
from services.collector.results.run_result import FeedComparison
from services.contract.rangeset import RangeSet


def not_compared(comparison: FeedComparison | None) -> str:
    """Return in words which clients are not compared, empty when all are."""
    if comparison is None:
        return ""
    groups = comparison.groups
    divided = {key: groups.members(key) for key in groups.divided}
    if not divided:
        return ""
    # Where many sequences are divided in the same way, one is shown for all.
    key = max(divided, key=lambda name: (len(divided[name]), name is None, name or ""))
    members = divided[key]
    where = "" if len(divided) == len(groups.of) else f" in {len(divided):,} of {len(groups.of):,} sequences"
    alone = [group[0] for group in members if len(group) == 1]
    if len(alone) == len(members) and set(alone) <= groups.own:
        return f"numbers of {_names(alone)} are of their own connections: not compared{where}"
    if len(alone) == len(members):
        return f"{_names(alone)} have other records under the same numbers: not compared{where}"
    parts = [f"({formatting.names(group)})" for group in members]
    return f"{_names(parts)} have other records under the same numbers: not compared with each other{where}"


def conflict_sentences(comparison: FeedComparison | None) -> tuple[int, tuple[str, ...]]:
    """Return under how many numbers clients that are compared have different records, and a sentence for each pair."""
    conflicts = comparison.conflicts if comparison else {}
    numbers: dict[SequenceName, RangeSet] = {}
    for (key, _, _), differing in conflicts.items():
        numbers[key] = numbers.get(key, RangeSet()) | differing
    worst = sorted(conflicts.items(), key=lambda item: -item[1].count)
    count = sum(differing.count for differing in numbers.values())
    return count, tuple(_sentence(*pair, differing) for pair, differing in worst)


def _sentence(key: SequenceName, one: str, other: str, differing: RangeSet) -> str:
    which = f"{formatting.several(differing.count, 'number')}{'' if key is None else f' of {key}'}"
    return f"{one} and {other} have different records under {which}: {formatting.ranges(differing)}"


def _names(names: Sequence[str]) -> str:
    return " and ".join(names) if len(names) == 2 else formatting.names(names)
