"""Finds the numbers that a client of an external feed lacks, by its own numbers and by what other clients received."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from services.collector.evidence.comparison.client_groups import Groups
from services.collector.evidence.log_evidence import LogEvidence
from services.collector.evidence.numbers.number_ranges import SequenceName
from services.collector.evidence.run_evidence import RunEvidence
from services.collector.results.builders.common_facts import by_first_cause
from services.collector.results.builders.file_faults import damages_of
from services.collector.results.builders.sequence_counts import lost_beginnings
from services.collector.results.builders.uncompared_sequences import Ends
from services.collector.results.client_result import EXTERNAL_CAUSES, IN_FLIGHT_US
from services.contract.rangeset import RangeSet
from services.contract.scalars import Span
from services.contract.sequence_tracker import SequenceTracker


@dataclass(frozen=True)
class FeedEvidence:
    """The evidence of a run, and what its clients received between them.

    Attributes:
        evidence: of the run.
        groups: which clients are compared.
        union: the numbers that any client of a group received, by sequence and group.
        jumps: by client and sequence, the numbers that were passed over and that no client received.
        lowest: the number with which a sequence began anywhere, if that is 0 or 1.
        highest_ends: the highest number with which it ended anywhere, each time before it began again.
        final: nothing more will be logged.
    """

    evidence: RunEvidence
    groups: Groups
    union: Mapping[tuple[SequenceName, int], RangeSet]
    jumps: Mapping[str, Mapping[SequenceName, RangeSet]]
    lowest: Mapping[SequenceName, int]
    highest_ends: Ends
    final: bool

    def received_by_any(self, client: str, keys: Iterable[SequenceName]) -> dict[SequenceName, RangeSet]:
        """Return the numbers that any client of this client's groups received, of the sequences that are compared."""
        known = {key: self.union.get((key, self.groups.group(key, client))) for key in keys}
        return {key: numbers for key, numbers in known.items() if numbers is not None}


class LackingNumbers(NamedTuple):
    """The numbers that a client did not receive, by sequence.

    Attributes:
        missing: since the sequence began for the last time, ``before`` whenever it began again.
        unreadable: those in whose places unreadable records are, likewise ``unreadable_before``.
    """

    missing: dict[SequenceName, RangeSet]
    before: dict[SequenceName, list[Span]]
    unreadable: dict[SequenceName, RangeSet]
    unreadable_before: dict[SequenceName, list[Span]]

    @property
    def gaps(self) -> dict[SequenceName, int]:
        """How many ranges of numbers are missing of each sequence."""
        return {key: sum(1 for _ in numbers) + len(self.before.get(key, ())) for key, numbers in self.missing.items()}

    @property
    def unreadable_count(self) -> int:
        """How many numbers unreadable records account for."""
        before = sum(last - first + 1 for spans in self.unreadable_before.values() for first, last in spans)
        return before + sum(numbers.count for numbers in self.unreadable.values())


def lacking_numbers(
    feed: FeedEvidence, log: LogEvidence, union: Mapping[SequenceName, RangeSet], until_us: int | None
) -> LackingNumbers:
    """Return what a client did not receive, with what unreadable records account for apart."""
    absent, before = _absent(feed, log, union, until_us)
    unreadable = log.external.unreadable(absent)
    missing = {key: numbers - unreadable[key] for key, numbers in absent.items()}
    return LackingNumbers(missing, before, unreadable, log.external.unreadable_before())


def _absent(
    feed: FeedEvidence, log: LogEvidence, union: Collection[SequenceName], until_us: int | None
) -> tuple[dict[SequenceName, RangeSet], dict[SequenceName, list[Span]]]:
    """Return the absent numbers of each sequence: since it began for the last time, and whenever it began again."""
    rules, jumps, before = log.external.rules, feed.jumps.get(log.client, {}), log.external.gaps_before()
    absent = {}
    for key, numbers in log.external.sequences().items():
        is_own = rules.scope == "connection"
        lost, _ = lost_beginnings(numbers, feed.lowest.get(key), rules, is_own=is_own)
        if lost.earlier:
            before[key] = [*before.get(key, ()), *lost.earlier]
        end = _end(feed, log, key, numbers, until_us if key in union else None)
        beside = log.external.courses()[key].beside_wraps().get(len(numbers.gaps), RangeSet())
        uncertain = jumps.get(key, RangeSet()) | beside
        absent[key] = (_missing(numbers, end) | RangeSet(lost.last)) - uncertain
    return absent, before


def _end(
    feed: FeedEvidence, log: LogEvidence, key: SequenceName, numbers: SequenceTracker, until_us: int | None
) -> int:
    """Return the last number of a sequence that a client should have; its own last one if ``until_us`` is None."""
    if until_us is None:
        return numbers.held.last
    # A number of a client that received a sequence of its own is not expected here (ADR 45).
    others = (
        other.external
        for other in feed.evidence.logs.values()
        if other is not log and not feed.groups.are_apart(key, log.client, other.client)
    )
    ahead = [other.last_before(key, until_us - IN_FLIGHT_US) for other in others]
    return max([numbers.held.last, *(last for last in ahead if last is not None)])


def _missing(numbers: SequenceTracker, end: int) -> RangeSet:
    missing = numbers.missing()
    missing.add(numbers.held.last + 1, end)
    return missing


def by_cause(log: LogEvidence, key: SequenceName, missing: RangeSet, received_by_any: RangeSet) -> dict[str, RangeSet]:
    """Return the missing numbers of one sequence by cause."""
    hidden: list[Span] = []
    for file in log.files:
        session = file.segment[0] if file.segment else 1
        for damage in damages_of(log, file):
            below, above = log.external.around(key, session, damage.after, damage.before)
            # Numbers may begin at 0. Without a good block after it, damage may hide everything to the end.
            begin = 0 if below is None else below + 1
            hidden.append((begin, missing.last if above is None else above - 1))
    known = {
        "corrupt_block": RangeSet(span for span in hidden if span[0] <= span[1]),
        "sent_not_logged": received_by_any,
        "not_seen": missing,
    }
    return by_first_cause(missing, known, EXTERNAL_CAUSES)
