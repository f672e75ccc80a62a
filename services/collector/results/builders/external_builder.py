"""Builds the result of a run of an external feed from its block logs: no ledger records what was sent.

The clients are judged by each other: a record that any client of a group received was sent.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from services.collector.evidence.client_groups import Groups
from services.collector.evidence.external_evidence import DECLARED
from services.collector.evidence.ledger_evidence import ClientLedger
from services.collector.evidence.log_evidence import LogEvidence
from services.collector.evidence.numbers.number_ranges import SequenceName
from services.collector.evidence.run_evidence import RunEvidence
from services.collector.evidence.silence import LongestSilence, longest
from services.collector.results.builders.client_comparison import groups_of, jumps_of, union_of
from services.collector.results.builders.common_facts import (
    block_size,
    by_first_cause,
    gap_times,
    ledger_facts,
    log_facts,
    run_durations,
    run_state,
)
from services.collector.results.builders.connection_builder import connection_history
from services.collector.results.builders.external_client_state import client_state
from services.collector.results.builders.file_faults import damages_of, ledger_faults, log_faults
from services.collector.results.builders.missed_away import missed_away
from services.collector.results.builders.sequence_contradictions import contradictions
from services.collector.results.builders.sequence_counts import counts_of, lost_beginnings, lowest_starts
from services.collector.results.builders.uncompared_sequences import Ends, highest_ends, uncertain_ends, unheard
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
from services.collector.results.sparse_histogram import SparseHistogram
from services.contract.rangeset import RangeSet
from services.contract.scalars import Span
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
    feed = _FeedEvidence(evidence, groups, union, jumps, lowest, highest_ends(evidence, names), final=final)
    clients = []
    for name in names:
        evidence.yield_cpu()
        clients.append(_client_result(feed, name))
    urls = sorted({log.feed.url for log in evidence.logs.values() if log.feed is not None})
    conflicts = evidence.times.comparison.conflicts(groups) if final else {}
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
        comparison=FeedComparison(groups=groups, conflicts=conflicts),
        spread_sample=None,
    )


@dataclass(frozen=True)
class _FeedEvidence:
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


def _client_result(feed: _FeedEvidence, name: str) -> ClientResult:
    log = feed.evidence.logs[name]
    state = client_state(log, final=feed.final)
    connection = connection_history(log, state, log.external.productive())
    # The rhythm takes a pass over all blocks, and is needed only if the end is known.
    known_rhythm = rhythm(log.external.rows()) if connection.end_us is not None else None
    declared = _declared(log)
    facts = replace(
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
        ),
    )
    sequences = log.external.sequences()
    if not sequences:
        return replace(facts, received=log.messages)
    return _with_numbers(feed, facts, log, _until(feed.evidence, log, state, connection, known_rhythm))


def _declared(log: LogEvidence) -> dict[str, int | None]:
    """Return the counts of what a client did not find and what it passed over, None for not known."""
    counts = {name: log.external.declared.get(name) for name in DECLARED}
    for line in log.connections.values():
        # Of messages after the last block of a connection.
        for name, count in (("ignored", line.ignored), ("pings", line.pings)):
            counts[name] = (counts[name] or 0) + count if count else counts[name]
    return counts


def _with_numbers(feed: _FeedEvidence, facts: ClientResult, log: LogEvidence, until_us: int | None) -> ClientResult:
    """Return the result of a client whose messages have numbers, completed by what follows from these."""
    sequences, rules = log.external.sequences(), log.external.rules
    union = feed.received_by_any(log.client, sequences)
    lacking = _lacking(feed, log, union, until_us)
    lost = {key: _lost(log, key, numbers, union.get(key, RangeSet())) for key, numbers in lacking.missing.items()}
    # Ranges and causes in detail are published of a feed with one sequence.
    only = lacking.missing.get(None, RangeSet()) if set(lacking.missing) <= {None} else RangeSet()
    counts = counts_of(sequences.values(), rules, [*lost.values()], lacking.before.values(), lacking.unreadable_count)
    allowed = _sum(sequences, "repeated") if rules.repeats == "reconnect" else 0
    number_facts = _number_facts(feed, log, union, lacking.gaps, facts.external.connection)
    number_facts["unheard"] = unheard(feed.evidence, log.client, union, until_us)
    away, stalled = missed_away(log, lacking.missing, facts.external.connection)
    if number_facts["contradictions"]:
        # Counts of numbers that are not what the settings say would be untrue.
        return replace(facts, received=log.messages, external=replace(facts.external, **number_facts))
    return replace(
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
            missed_away=away,
            missed_stalled=stalled,
            missing_before_restart=lacking.before,
            unreadable=lacking.unreadable,
            unreadable_before_restart=lacking.unreadable_before,
            gaps=counts.gaps,
            **number_facts,
        ),
    )


class _Lacking(NamedTuple):
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


def _lacking(
    feed: _FeedEvidence, log: LogEvidence, union: Mapping[SequenceName, RangeSet], until_us: int | None
) -> _Lacking:
    """Return what a client did not receive, with what unreadable records account for apart."""
    absent, before = _absent(feed, log, union, until_us)
    unreadable = log.external.unreadable(absent)
    missing = {key: numbers - unreadable[key] for key, numbers in absent.items()}
    return _Lacking(missing, before, unreadable, log.external.unreadable_before())


def _number_facts(
    feed: _FeedEvidence,
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
        "silent_keys": tuple(log.external.silent_keys()) if len(sequences) > 1 else (),
        "stopped": _stopped(log, connection) if len(sequences) > 1 else (),
        "jumps": _all_jumps(log, feed.jumps.get(log.client, {})),
        "uncertain_beginnings": _uncertain_beginnings(feed, log),
        "uncertain_ends": {key: uncertain_ends(key, one, feed.highest_ends) for key, one in sequences.items()},
        "unkeyed": sequences[None].messages if len(sequences) > 1 and None in sequences else 0,
        "contradictions": contradictions(log, union, gaps, is_divided=bool(feed.groups.divided)),
    }


def _stopped(log: LogEvidence, connection: ConnectionHistory) -> tuple[StoppedSequence, ...]:
    """Return the sequences that stopped while the client was connected; none if the feed itself has ended."""
    if connection.end_us is None or connection.is_ended or connection.is_connected is False:
        return ()
    arrivals = {key: course.arrivals for key, course in log.external.courses().items()}
    return stopped(arrivals, connection.end_us, log.silence_s)


def _all_jumps(log: LogEvidence, jumps: Mapping[SequenceName, RangeSet]) -> dict[SequenceName, RangeSet]:
    """Return the jumps of each sequence together with those before it began again."""
    found = dict(jumps)
    for key, course in log.external.courses().items():
        for earlier in course.earlier_jumps:
            if earlier:
                found[key] = found.get(key, RangeSet()) | earlier
    return found


def _uncertain_beginnings(feed: _FeedEvidence, log: LogEvidence) -> dict[SequenceName, RangeSet]:
    """Return the numbers before the first ones of a client that seems to have been numbered for itself."""
    rules = log.external.rules
    if rules.scope != "auto" or log.client not in feed.groups.own:
        return {}
    found = {}
    for key, numbers in log.external.sequences().items():
        if not numbers.restarts:
            _, begin = lost_beginnings(numbers, feed.lowest.get(key), rules, is_own=True)
            found[key] = RangeSet(begin)
    return found


def _sum(sequences: Mapping[SequenceName, SequenceTracker], name: str) -> int:
    return sum(getattr(numbers, name) for numbers in sequences.values())


def _absent(
    feed: _FeedEvidence, log: LogEvidence, union: Collection[SequenceName], until_us: int | None
) -> tuple[dict[SequenceName, RangeSet], dict[SequenceName, list[Span]]]:
    """Return the absent numbers of each sequence: since it began for the last time, and whenever it began again."""
    rules, jumps, before = log.external.rules, feed.jumps.get(log.client, {}), log.external.gaps_before()
    absent = {}
    for key, numbers in log.external.sequences().items():
        is_own = rules.scope == "connection"
        earlier, begin = lost_beginnings(numbers, feed.lowest.get(key), rules, is_own=is_own)
        if earlier:
            before[key] = [*before.get(key, ()), *earlier]
        end = _end(feed, log, key, numbers, until_us if key in union else None)
        absent[key] = (_missing(numbers, end) | RangeSet(begin)) - jumps.get(key, RangeSet())
    return absent, before


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


def _end(
    feed: _FeedEvidence, log: LogEvidence, key: SequenceName, numbers: SequenceTracker, until_us: int | None
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


def _lost(log: LogEvidence, key: SequenceName, missing: RangeSet, received_by_any: RangeSet) -> dict[str, RangeSet]:
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
