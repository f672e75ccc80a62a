"""Finds which clients of an external feed are compared with each other, and what these received together."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from services.collector.evidence.comparison.client_groups import Groups
from services.collector.evidence.log_evidence import LogEvidence
from services.collector.evidence.numbers.number_ranges import SequenceName
from services.collector.evidence.run_evidence import RunEvidence
from services.contract.rangeset import RangeSet
from services.contract.scalars import Span


def jumps_of(evidence: RunEvidence, names: Sequence[str]) -> dict[str, dict[SequenceName, RangeSet]]:
    """Return by client and sequence the jumps over numbers that the clients did not receive either.

    Clients that received the stream in between hold most of these numbers. A few of them may be those of a connection
    that is numbered from elsewhere.
    """
    jumps = {
        name: {key: course.jumps for key, course in evidence.logs[name].external.courses().items() if course.jumps}
        for name in names
    }
    found: dict[str, dict[SequenceName, RangeSet]] = {}
    for name, of_client in jumps.items():
        for key, spans in of_client.items():
            sequences = [evidence.logs[other].external.sequences().get(key) for other in names]
            held = [numbers.held for numbers in sequences if numbers is not None]
            apart = [span for span in spans if 2 * _union_within(held, span).count < span[1] - span[0] + 1]
            found.setdefault(name, {})[key] = RangeSet(apart)
    return found


def all_jumps(log: LogEvidence, jumps: Mapping[SequenceName, RangeSet]) -> dict[SequenceName, RangeSet]:
    """Return the jumps of each sequence together with those before it began again."""
    found = dict(jumps)
    for key, course in log.external.courses().items():
        for earlier in course.earlier_jumps:
            if earlier:
                found[key] = found.get(key, RangeSet()) | earlier
    return found


def _union_within(sets: Iterable[RangeSet], span: Span) -> RangeSet:
    union = RangeSet()
    for numbers in sets:
        union = union | numbers.within(*span)
    return union


def groups_of(evidence: RunEvidence, names: Sequence[str], uncertain: Collection[SequenceName]) -> Groups:
    """Return which clients are compared with each other, in the sequences that can be compared."""
    sequences = {name: evidence.logs[name].external.sequences() for name in names}
    keys = {key for known in sequences.values() for key in known}
    scopes = {evidence.logs[name].external.rules.scope for name in names}
    if "connection" in scopes:
        each = {name: number for number, name in enumerate(names)}
        return Groups(dict.fromkeys(keys, each), frozenset(names))
    # Once a sequence has begun again, one number stands for several records, and no comparison by number is possible.
    keys -= {key for known in sequences.values() for key, numbers in known.items() if not numbers.is_continuous}
    starts = {
        name: {key: numbers.start for key, numbers in known.items() if numbers.start is not None}
        for name, known in sequences.items()
    }
    is_shared = any(evidence.logs[name].external.rules.is_shared for name in names)
    return evidence.times.comparison.groups(starts, keys - set(uncertain), is_shared=is_shared)


def union_of(
    evidence: RunEvidence, names: Iterable[str], groups: Groups, uncertain: Collection[SequenceName]
) -> dict[tuple[SequenceName, int], RangeSet]:
    """Return what any client of a group received of each sequence; one that began again is not compared."""
    union: dict[tuple[SequenceName, int], RangeSet] = {}
    excluded = set(uncertain)
    for name in names:
        for key, numbers in evidence.logs[name].external.sequences().items():
            if not numbers.is_continuous:
                excluded.add(key)
            for first, last in numbers.held:
                union.setdefault((key, groups.group(key, name)), RangeSet()).add(first, last)
    return {place: numbers for place, numbers in union.items() if place[0] not in excluded}


def conflicts_of(evidence: RunEvidence, groups: Groups) -> tuple[dict[tuple[SequenceName, str, str], RangeSet], int]:
    """Return the numbers under which compared clients have different records, by sequence and both clients.

    The count beside them is that of first records over a connection that differ: each may be a snapshot in place of the
    record that the other client received under its number.
    """
    openings = {
        name: {key: course.openings for key, course in log.external.courses().items()}
        for name, log in evidence.logs.items()
    }
    found, apart = {}, dict[SequenceName, RangeSet]()
    for (key, one, other), numbers in evidence.times.comparison.conflicts(groups, openings).items():
        of_one, of_other = (openings[name].get(key, set()) for name in (one, other))
        # Where both connections begin with one number, both records are of the same kind.
        first = numbers & RangeSet.from_numbers(of_one ^ of_other)
        apart[key] = apart.get(key, RangeSet()) | first
        if differing := numbers - first:
            found[key, one, other] = differing
    return found, sum(numbers.count for numbers in apart.values())
