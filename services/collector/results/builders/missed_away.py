"""Finds the missing numbers of one client of an external feed that belong to times without a connection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from services.collector.evidence.log_evidence import LogEvidence
from services.collector.evidence.numbers.number_ranges import SequenceName
from services.collector.results.connection_history import ConnectionHistory
from services.contract.rangeset import RangeSet

Numbers = Mapping[SequenceName, RangeSet]


def missed_away(log: LogEvidence, missing: Numbers, connection: ConnectionHistory) -> dict[str, Numbers]:
    """Return the missing numbers of all absences, and of those right after a time without reading, by sequence.

    They are fields of `ExternalClientFacts`, by their names.

    Args:
        log: of the client.
        missing: its missing numbers, by sequence.
        connection: when it was connected.
    """
    away: dict[SequenceName, RangeSet] = {}
    stalled: dict[SequenceName, RangeSet] = {}
    for skipped, is_own in (*_between(log, connection), *_at_the_end(log, missing, connection)):
        for key, numbers in skipped.items():
            found = numbers & missing.get(key, RangeSet())
            for part in (away, stalled) if is_own else (away,):
                part[key] = part.get(key, RangeSet()) | found
    return {"missed_away": away, "missed_stalled": stalled}


def _between(log: LogEvidence, connection: ConnectionHistory) -> Iterator[tuple[Numbers, bool]]:
    opened = {(span.session, span.number): span.opened_us for span in connection.spans}
    stopped = {absence.until_us: absence.stop.us > 0 for absence in connection.absences}
    for place, skipped in log.external.skipped().items():
        if place in opened and opened[place] in stopped:
            yield skipped, stopped[opened[place]]


def _at_the_end(log: LogEvidence, missing: Numbers, connection: ConnectionHistory) -> Iterator[tuple[Numbers, bool]]:
    if connection.is_connected is False and not connection.is_ended:
        lasts = {key: numbers.held.last for key, numbers in log.external.sequences().items()}
        yield (
            {
                key: numbers.within(lasts[key] + 1, max(numbers.last, lasts[key] + 1))
                for key, numbers in missing.items()
            },
            connection.stop.us > 0,
        )
