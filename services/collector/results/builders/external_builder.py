"""Builds the result of a run of an external feed from its block logs: no ledger records what was sent.

The clients are judged by each other: a record that any client of a group received was sent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import msgspec

from services.collector.evidence.external_evidence import DECLARED
from services.collector.evidence.ledger_evidence import ClientLedger
from services.collector.evidence.log_evidence import LogEvidence
from services.collector.evidence.numbers.number_ranges import SequenceName
from services.collector.evidence.run_evidence import RunEvidence
from services.collector.evidence.silence import LongestSilence, longest
from services.collector.evidence.sparse_histogram import SparseHistogram
from services.collector.results.builders.client_comparison import all_jumps, conflicts_of, groups_of, jumps_of, union_of
from services.collector.results.builders.common_facts import (
    block_size,
    gap_times,
    ledger_facts,
    log_facts,
    run_durations,
    run_state,
)
from services.collector.results.builders.connection_builder import connection_history
from services.collector.results.builders.external_client_state import client_state
from services.collector.results.builders.file_faults import ledger_faults, log_faults
from services.collector.results.builders.lacking_numbers import FeedEvidence, by_cause, lacking_numbers
from services.collector.results.builders.missed_away import missed_away
from services.collector.results.builders.sequence_contradictions import contradictions
from services.collector.results.builders.sequence_counts import counts_of, lost_beginnings, lowest_starts
from services.collector.results.builders.uncompared_sequences import highest_ends, uncertain_ends, unheard
from services.collector.results.builders.unnumbered_comparison import Ends, compared_contents
from services.collector.results.client_result import (
    EXTERNAL_CAUSES,
    IN_FLIGHT_US,
    ClientResult,
    ExternalClientFacts,
    client_order,
)
from services.collector.results.connection_history import ConnectionHistory
from services.collector.results.run_result import FeedComparison, RunResult
from services.collector.results.silence_limit import FeedRhythm, StoppedSequence, rhythm, stopped
from services.contract.rangeset import RangeSet
from services.contract.sequence_tracker import SequenceTracker
from services.contract.summary import Causes, ClientState


def external_run_result(evidence: RunEvidence, *, final: bool) -> RunResult:
    """Return the result of a run of an external feed. ``final`` is whether nothing more will be logged."""
    # A client that only claimed a file took part: its disk may have refused its lines, or lost them.
    taking_part = (name for name, log in evidence.logs.items() if log.claimed or not log.is_empty)
    names = sorted(taking_part, key=client_order)
    jumps = jumps_of(evidence, names)
    uncertain = {key for of_client in jumps.values() for key, numbers in of_client.items() if numbers}
    groups = groups_of(evidence, names, uncertain)
    union = union_of(evidence, names, groups, uncertain)
    lowest = lowest_starts(evidence.logs[name].external.sequences() for name in names)
    feed = FeedEvidence(evidence, groups, union, jumps, lowest, highest_ends(evidence, names), final=final)
    clients = []
    for name in names:
        evidence.yield_cpu()
        clients.append(_client_result(feed, name))
    urls = sorted({log.feed.url for log in evidence.logs.values() if log.feed is not None})
    conflicts, openings = conflicts_of(evidence, groups) if final else ({}, 0)
    unnumbered = compared_contents(evidence, _connection_ends(clients)) if final else None
    spread = SparseHistogram.of(evidence.times.external_spread.histogram(groups))
    return RunResult(
        run=evidence.run,
        books="one-sided",
        is_final=final,
        state=run_state(evidence, final=final),
        feed=urls[0] if urls else None,
        total=None,
        rate=None,
        lacks_ledger=evidence.lacks_ledger,
        lacks_open=False,
        clients=tuple(clients),
        durations=replace(run_durations(evidence, clients), spread=spread),
        ledger_faults=ledger_faults(evidence),
        ledger_facts=ledger_facts(evidence.ledger),
        comparison=FeedComparison(groups=groups, conflicts=conflicts, openings=openings, unnumbered=unnumbered),
        spread_sample=None,
    )


def _connection_ends(clients: Iterable[ClientResult]) -> dict[str, Ends]:
    """Return when each connection of each client ended, or until when it is known to have been open."""
    return {
        client.client: {
            (span.session, span.number): span.known_until_us if span.ended_us is None else span.ended_us
            for span in client.external.connection.spans
        }
        for client in clients
    }


def _client_result(feed: FeedEvidence, name: str) -> ClientResult:
    log = feed.evidence.logs[name]
    state = client_state(log, final=feed.final)
    connection = connection_history(log, state, log.external.productive())
    # The rhythm takes a pass over all blocks, and is needed only if the end is known.
    known_rhythm = rhythm(log.external.rows()) if connection.end_us is not None else None
    declared = _declared(log)
    facts = msgspec.structs.replace(
        log_facts(feed.evidence, log),
        state=state,
        block_size=block_size(log, ClientLedger()),
        unsequenced=log.external.unsequenced,
        faults=log_faults(log, RangeSet()),
        silence=_silence(log, state, connection, final=feed.final),
        missing_by_cause=_causes(None),
        lost={cause: RangeSet() for cause in EXTERNAL_CAUSES},
        without_key=declared["without_key"],
        without_time=declared["without_time"],
        ignored=declared["ignored"],
        pings=declared["pings"],
        external=ExternalClientFacts(
            feed=log.feed,
            number_path=log.feed.seq if log.feed else None,
            expected_clients=log.feed.clients if log.feed else None,
            silence_s=log.silence_s,
            until_us=log.until_us,
            # A session is numbered one above the last one, so that all before it have a file.
            lost_sessions=RangeSet([(1, max(log.begun, default=0))]) - RangeSet.from_numbers(log.sessions),
            connection=connection,
            rhythm=known_rhythm,
            unread=log.external.usual_unread(),
        ),
    )
    sequences = log.external.sequences()
    if not sequences:
        return msgspec.structs.replace(facts, received=log.messages)
    return _with_numbers(feed, facts, log, _until(feed.evidence, log, state, connection, known_rhythm))


def _declared(log: LogEvidence) -> dict[str, int | None]:
    """Return the counts of what a client did not find and what it passed over, None for not known."""
    counts = {name: log.external.declared.get(name) for name in DECLARED}
    for line in log.connections.values():
        # Of messages after the last block of a connection.
        for name, count in (("ignored", line.ignored), ("pings", line.pings)):
            counts[name] = (counts[name] or 0) + count if count else counts[name]
    return counts


def _with_numbers(feed: FeedEvidence, facts: ClientResult, log: LogEvidence, until_us: int | None) -> ClientResult:
    """Return the result of a client whose messages have numbers, completed by what follows from these."""
    sequences, rules = log.external.sequences(), log.external.rules
    union = feed.received_by_any(log.client, sequences)
    lacking = lacking_numbers(feed, log, union, until_us)
    lost = {key: by_cause(log, key, numbers, union.get(key, RangeSet())) for key, numbers in lacking.missing.items()}
    # Ranges and causes in detail are published of a feed with one sequence.
    only = lacking.missing.get(None, RangeSet()) if set(lacking.missing) <= {None} else RangeSet()
    counts = counts_of(sequences.values(), rules, [*lost.values()], lacking.before.values(), lacking.unreadable_count)
    allowed = _sum(sequences, "repeated") if rules.repeats == "reconnect" else 0
    number_facts = _number_facts(feed, log, union, lacking.gaps, facts.external.connection)
    number_facts |= missed_away(log, lacking.missing, facts.external.connection)
    number_facts["unheard"] = unheard(feed.evidence, log.client, union, until_us)
    if number_facts["contradictions"]:
        # Counts of numbers that are not what the settings say would be untrue.
        return msgspec.structs.replace(facts, received=log.messages, external=replace(facts.external, **number_facts))
    return msgspec.structs.replace(
        facts,
        expected=counts.expected,
        received=counts.received,
        missing=counts.missing,
        duplicates=_sum(sequences, "duplicates") - allowed,
        reordered=_sum(sequences, "reordered"),
        restarts=_sum(sequences, "restarts"),
        unreadable=lacking.unreadable_count,
        missing_seqs=only,
        lost=lost[None] if only else facts.lost,
        missing_by_cause=_causes(counts.causes),
        gap_times=gap_times(log.times, only),
        external=replace(
            facts.external,
            missing=lacking.missing,
            missing_before_restart=lacking.before,
            unreadable=lacking.unreadable,
            unreadable_before_restart=lacking.unreadable_before,
            gaps=counts.gaps,
            **number_facts,
        ),
    )


def _number_facts(
    feed: FeedEvidence,
    log: LogEvidence,
    union: Mapping[SequenceName, RangeSet],
    gaps: Mapping[SequenceName, int],
    connection: ConnectionHistory,
) -> dict[str, Any]:
    """Return what the numbers of a client leave open, and what contradicts them, as fields of its facts."""
    sequences = log.external.sequences()
    counted = ("restarts_by_connection", "restarts_elsewhere", "unlinked", "doubtful_wraps", "repeated")
    return {
        **{name: _sum(sequences, name) for name in counted},
        "rules": log.external.rules,
        "differing": sum(course.facts.differing for course in log.external.courses().values()),
        "silent_keys": tuple(log.external.silent_keys()) if len(sequences) > 1 else (),
        "outlasted_by": tuple(_outlasted_by(feed, log, connection)),
        "stopped": _stopped(log, connection) if len(sequences) > 1 else (),
        "jumps": all_jumps(log, feed.jumps.get(log.client, {})),
        "uncertain_beginnings": _uncertain_beginnings(feed, log),
        "beside_wraps": {key: course.open_at_wraps() for key, course in log.external.courses().items()},
        "uncertain_ends": {key: uncertain_ends(key, one, feed.highest_ends) for key, one in sequences.items()},
        "unkeyed": sequences[None].messages if len(sequences) > 1 and None in sequences else 0,
        "contradictions": contradictions(log, union, gaps, is_divided=bool(feed.groups.divided)),
    }


def _outlasted_by(feed: FeedEvidence, log: LogEvidence, connection: ConnectionHistory) -> Iterator[str]:
    """Yield the clients for which the feed went on, though it said to this one that it had ended."""
    # A number of messages is each client's own end, and a last number is the same for all.
    if connection.end_us is None or not connection.end_condition.startswith(("close", "message ")):
        return
    after_us = connection.end_us + IN_FLIGHT_US
    for name, other in feed.evidence.logs.items():
        if other is log or (other.external.last_us or 0) <= after_us:
            continue
        of_other = other.external.sequences()
        if any(
            key in of_other and of_other[key].held.last > numbers.held.last
            for key, numbers in log.external.sequences().items()
            if not feed.groups.are_apart(key, log.client, name)
        ):
            yield name


def _stopped(log: LogEvidence, connection: ConnectionHistory) -> tuple[StoppedSequence, ...]:
    """Return the sequences that stopped while the client was connected; none if the feed itself has ended."""
    if connection.end_us is None or connection.is_ended or connection.is_connected is False:
        return ()
    arrivals = {key: course.arrivals for key, course in log.external.courses().items()}
    return stopped(arrivals, connection.end_us, log.silence_s)


def _uncertain_beginnings(feed: FeedEvidence, log: LogEvidence) -> dict[SequenceName, RangeSet]:
    """Return the numbers before first ones that may have been sent or not.

    They are those of a client that seems to have been numbered for itself, and those that are too many for a loss.
    """
    rules, found = log.external.rules, {}
    is_scoped, is_auto = rules.scope == "connection", rules.scope == "auto"
    seems_own = is_auto and log.client in feed.groups.own
    for key, numbers in log.external.sequences().items():
        # Other records under the same numbers may be those of another server, whose stream this client joined.
        seems_apart = is_auto and key in feed.groups.divided
        is_own = is_scoped or ((seems_own or seems_apart) and not numbers.restarts)
        lost, too_many = lost_beginnings(numbers, feed.lowest.get(key), rules, is_own=is_own)
        counted = [] if is_scoped or not is_own else lost.last
        joined = too_many.last if seems_own or not seems_apart else []
        found[key] = RangeSet([*too_many.earlier, *joined, *counted])
    return found


def _sum(sequences: Mapping[SequenceName, SequenceTracker], name: str) -> int:
    return sum(getattr(numbers, name) for numbers in sequences.values())


def _causes(counts: Mapping[str, int] | None) -> Causes:
    """Return the missing records by cause; None where they are not known. Other causes need a ledger."""
    known: Mapping[str, int | None] = dict.fromkeys(EXTERNAL_CAUSES) if counts is None else counts
    return Causes(never_sent=None, corrupt_in_flight=None, receipted_not_logged=None, foreign=None, **known)


def _silence(
    log: LogEvidence, state: ClientState, connection: ConnectionHistory, *, final: bool
) -> LongestSilence | None:
    end_us = connection.end_us if connection.end_us is not None else log.until_us if final else None
    # A client that stayed to its end received nothing after its last message; in the state "lost" that time counts.
    judged: ClientState = "running" if state == "left" and connection.end_us is None else "lost"
    return longest(log.times.silences, ClientLedger(), judged, None, end_us)


def _until(
    evidence: RunEvidence,
    log: LogEvidence,
    state: ClientState,
    connection: ConnectionHistory,
    known_rhythm: FeedRhythm | None,
) -> int | None:
    """Return until when a client should have received what others received, epoch microseconds.

    None if only its own numbers count.
    """
    if connection.end_us is None:
        return log.until_us if state in ("finished", "lost") else None
    is_open = connection.is_connected is not False and not connection.is_ended
    if is_open and known_rhythm is not None and known_rhythm.last_us is not None:
        quiet_us = connection.end_us - known_rhythm.last_us
        if known_rhythm.is_silent(quiet_us, log.silence_s):
            # The run is doubtful already; when the whole feed stops, the last records of others were in flight.
            lasts = [last_us for other in evidence.logs.values() if (last_us := other.external.last_us) is not None]
            return min([connection.end_us, *([max(lasts)] if lasts else [])])
    return connection.end_us
