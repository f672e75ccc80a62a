"""What is said of clients of an external feed that received different records under the same numbers."""

from __future__ import annotations

from collections.abc import Sequence

from services.collector import formatting
from services.collector.evidence.client_groups import GroupComparison, Groups
from services.collector.evidence.external_evidence import SequenceName
from services.contract.rangeset import RangeSet


def not_compared(groups: Groups) -> str:
    """Return in words which clients are not compared, empty when all are."""
    divided = {key: groups.members(key) for key in groups.divided}
    if not divided:
        return ""
    # Of many sequences that are divided in the same way one is enough.
    key = max(divided, key=lambda one: (len(divided[one]), one is None, one or ""))
    members = divided[key]
    where = "" if len(divided) == len(groups.of) else f" in {len(divided):,} of {len(groups.of):,} sequences"
    alone = [one[0] for one in members if len(one) == 1]
    if len(alone) == len(members) and set(alone) <= groups.own:
        return f"numbers of {_names(alone)} are of their own connections: not compared{where}"
    if len(alone) == len(members):
        return f"{_names(alone)} have other records under the same numbers: not compared{where}"
    parts = [f"({formatting.names(one)})" for one in members]
    return f"{_names(parts)} have other records under the same numbers: not compared with each other{where}"


def conflict_sentences(comparison: GroupComparison, groups: Groups) -> tuple[int, tuple[str, ...]]:
    """Return under how many numbers clients that are compared have different records, and a sentence for each pair."""
    found = comparison.conflicts(groups)
    numbers: dict[SequenceName, RangeSet] = {}
    for (key, _, _), differing in found.items():
        numbers[key] = numbers.get(key, RangeSet()) | differing
    worst = sorted(found.items(), key=lambda one: -len(one[1]))
    return sum(map(len, numbers.values())), tuple(_sentence(*pair, differing) for pair, differing in worst)


def _sentence(key: SequenceName, one: str, other: str, differing: RangeSet) -> str:
    which = f"{formatting.several(len(differing), 'number')}{'' if key is None else f' of {key}'}"
    return f"{one} and {other} have different records under {which}: {formatting.ranges(differing)}"


def _names(every: Sequence[str]) -> str:
    return " and ".join(every) if len(every) == 2 else formatting.names(every)
