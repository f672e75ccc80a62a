"""Finds the missing numbers of one client of an external feed that belong to times without a connection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from services.collector.evidence.log_evidence import LogEvidence
from services.collector.evidence.numbers.number_ranges import SequenceName
from services.collector.results.connection_history import ConnectionHistory
from services.contract.rangeset import RangeSet

Numbers = Mapping[SequenceName, RangeSet]


def missed_away(log: LogEvidence, missing: Numbers, connection: ConnectionHistory) -> tuple[Numbers, Numbers]:
    """Return the missing numbers of all absences, and of those right after a time without reading, by sequence.

    Args:
        log: of the client.
        missing: its missing numbers, by sequence.
        connection: when it was connected.
    """
    away: dict[SequenceName, RangeSet] = {}
    stalled: dict[SequenceName, RangeSet] = {}
    for skipped, stalled_us in (*_between(log, connection), *_at_the_end(log, missing, connection)):
        for key, numbers in skipped.items():
            found = numbers & missing.get(key, RangeSet())
            for part in (away, stalled) if stalled_us else (away,):
                part[key] = part.get(key, RangeSet()) | found
    return away, stalled


def _between(log: LogEvidence, connection: ConnectionHistory) -> Iterator[tuple[Numbers, int]]:
    opened = {(span.session, span.number): span.opened_us for span in connection.spans}
    stalled = {absence.until_us: absence.stalled_us for absence in connection.absences}
    for place, skipped in log.external.skipped().items():
        if place in opened and opened[place] in stalled:
            yield skipped, stalled[opened[place]]


def _at_the_end(log: LogEvidence, missing: Numbers, connection: ConnectionHistory) -> Iterator[tuple[Numbers, int]]:
    if connection.is_connected is False and not connection.is_ended:
        lasts = {key: numbers.held.last for key, numbers in log.external.sequences().items()}
        yield (
            {
                key: numbers.within(lasts[key] + 1, max(numbers.last, lasts[key] + 1))
                for key, numbers in missing.items()
            },
            connection.stalled_us,
        )
