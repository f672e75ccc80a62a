"""Finds what clients of an external feed may lack of sequences that are not compared by number.

After a wrap or a new beginning one number stands for several records, and of a sequence without a single record no
number is known. How far each client came is still known: where that differs, records may have been lost.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from services.collector.evidence.numbers.number_ranges import SequenceName
from services.collector.evidence.run_evidence import RunEvidence
from services.collector.results.client_result import IN_FLIGHT_US, Unheard
from services.contract.rangeset import RangeSet
from services.contract.sequence_tracker import SequenceTracker

FEWEST_UNHEARD = 10
"""Fewest records of a sequence by which a client that received none of it raises a doubt."""
Ends = dict[tuple[SequenceName, int], int]
"""By sequence, and by how many times it began again after that, the highest number with which it ended anywhere."""


def highest_ends(evidence: RunEvidence, names: Sequence[str]) -> Ends:
    """Return the highest number with which each sequence ended anywhere, each time before it began again.

    A sequence is left out if it began again with a connection of a client: then it is numbered for each connection, and
    ends at another number on each.
    """
    every = [evidence.logs[name].external for name in names]
    left_out = {
        key
        for external in every
        for key, numbers in external.sequences().items()
        if numbers.restarts_by_connection or external.rules.scope == "connection"
    }
    highest: Ends = {}
    for external in every:
        for key, numbers in external.sequences().items():
            for place, last in _ends(numbers) if key not in left_out else ():
                highest[key, place] = max(last, highest.get((key, place), 0))
    return highest


def uncertain_ends(key: SequenceName, numbers: SequenceTracker, highest: Ends) -> RangeSet:
    """Return the numbers that other clients received before a sequence began again, and this one did not."""
    found = RangeSet()
    for (place, last), gaps in zip(_ends(numbers), numbers.gaps, strict=True):
        # What lies before a wrap is known to be missing, and is counted.
        found = found | RangeSet([(last + 1, highest.get((key, place), last))]) - gaps
    return found


def _ends(numbers: SequenceTracker) -> list[tuple[int, int]]:
    # Counted from the last one, because clients may have joined a stream at different times.
    return [(len(numbers.lasts) - place, last) for place, last in enumerate(numbers.lasts)]


def unheard(
    evidence: RunEvidence, client: str, compared: Collection[SequenceName], until_us: int | None
) -> dict[SequenceName, Unheard]:
    """Return the sequences of which other clients received records, and this client did not, or not any more.

    Args:
        evidence: of the run.
        client: the name of the client.
        compared: its sequences that are compared by number: there the numbers show what it lacks.
        until_us: until when it should have received what others received, epoch microseconds; None for not known.
    """
    external, begin_us = evidence.logs[client].external, evidence.logs[client].times.first_us
    if until_us is None or begin_us is None or external.rules.scope == "connection":
        return {}
    found: dict[SequenceName, Unheard] = {}
    sequences = external.sequences()
    for key, others in _others(evidence, client).items():
        own = sequences.get(key)
        if key in compared or (own is not None and own.restarts_by_connection):
            continue
        since_us = begin_us if own is None else external.last_time(key, until_us)
        times = {name: evidence.logs[name].external.last_time(key, until_us - IN_FLIGHT_US) for name in others}
        later = {
            name: at_us
            for name, at_us in times.items()
            if since_us is not None and at_us is not None and at_us > since_us + IN_FLIGHT_US
        }
        if later:
            found[key] = Unheard(tuple(later), None if own is None else max(later.values()) - (since_us or 0))
    return found


def _others(evidence: RunEvidence, client: str) -> dict[SequenceName, list[str]]:
    """Return the sequences of other clients, and who received them.

    A sequence that this client did not receive counts if it had several records, at a client that received another one
    of this client's: clients may have asked for different sequences, or been greeted by a record under a name of its
    own.
    """
    own = evidence.logs[client].external.sequences().keys()
    found: dict[SequenceName, list[str]] = {}
    for name, log in evidence.logs.items():
        sequences = log.external.sequences() if name != client else {}
        for key, numbers in sequences.items():
            if key in own or (own & sequences.keys() and numbers.messages + numbers.duplicates >= FEWEST_UNHEARD):
                found.setdefault(key, []).append(name)
    return found
