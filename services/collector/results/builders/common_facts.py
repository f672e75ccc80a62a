"""Facts that both builders take from the evidence, in the same way for each kind of feed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from services.collector.evidence import server_processes
from services.collector.evidence.ledger_evidence import ClientLedger, LedgerEvidence
from services.collector.evidence.log_evidence import LogEvidence
from services.collector.evidence.run_evidence import RunEvidence
from services.collector.evidence.saturation import SaturationEvidence
from services.collector.evidence.sparse_histogram import EMPTY, SparseHistogram
from services.collector.evidence.timing import ClientTiming
from services.collector.results.client_result import ClientResult, GapTimes, LogConflicts
from services.collector.results.run_result import LedgerFacts, RunDurations, ServerEnd
from services.contract.ledger import EndEntry, MeasuredEntry
from services.contract.rangeset import RangeSet
from services.contract.summary import RunState


def run_state(evidence: RunEvidence, *, final: bool) -> RunState:
    """Return where a run is in its life."""
    # A run without a ledger has no end; once it is final it is closed nevertheless, and not read again.
    state = evidence.state
    return "closed" if final and (state == "ended" or not evidence.ledger.opens) else state


def run_durations(evidence: RunEvidence, clients: Sequence[ClientResult]) -> RunDurations:
    """Return the durations of all clients together, without the spread between them."""
    times = evidence.times.buckets
    return RunDurations(
        latency=scheduled(evidence, SparseHistogram.of(times.latency)),
        catch_up=SparseHistogram.merged(client.catch_up for client in clients if client.catch_up is not None),
        transit=SparseHistogram.of(times.transit),
        block=SparseHistogram.merged(client.block_duration for client in clients),
    )


def ledger_facts(ledger: LedgerEvidence) -> LedgerFacts:
    """Return the facts that the ledger has about the run as a whole."""
    servers, expected = ledger.servers.values(), ledger.expected
    conflict = server_processes.conflict(servers)
    return LedgerFacts(
        state=ledger.state,
        total=ledger.open.total if ledger.open else None,
        rate=ledger.rate,
        is_scheduled=ledger.is_scheduled,
        wanted=ledger.wanted,
        wanted_source=expected.source if expected else None,
        late=tuple(ledger.late),
        is_opened=bool(ledger.opens),
        is_abandoned=any(end.reason == "abandoned" for end in ledger.ends.values()),
        ends=tuple(_server_ends(ledger)),
        departed=tuple(_departed(ledger)),
        last=ledger.end.last if ledger.end else None,
        end_variants=len({(end.last, end.count, end.reason) for end in ledger.ends.values()}),
        feed_differences=server_processes.feed_differences(servers),
        unmeasured_servers=tuple(server.open.instance for server in server_processes.unmeasured(servers)),
        kernels=dict(sorted((server.open.instance, server.open.boot) for server in servers if server.took_part)),
        schedule_conflict=(conflict[0].open.instance, conflict[1].open.instance, conflict[2]) if conflict else None,
    )


def log_facts(evidence: RunEvidence, log: LogEvidence) -> ClientResult:
    """Return the facts that a client's block log alone shows, with any kind of feed."""
    times = log.times
    return ClientResult(
        client=log.client,
        state="running",
        has_log=log.client in evidence.logs,
        blocks=log.blocks.count,
        sessions=len(log.begun),
        messages=log.messages,
        bytes=log.bytes,
        torn_bytes=sum(log.torn.values()),
        first_us=times.first_us,
        last_us=times.last_us,
        latency=scheduled(evidence, times.latency),
        transit=times.transit,
        block_duration=times.block_durations,
        saturation=log.saturation.total(),
        stalled_ns=None if log.is_empty else log.stalls.total_ns,
        longest_stall_ns=None if log.is_empty else log.stalls.longest_ns,
        conflicts=_conflicts(log),
    )


def block_size(log: LogEvidence, ledger: ClientLedger) -> int | None:
    """Return how many messages a client puts into a block, None for not known."""
    if log.opens:
        # Several open lines of one segment are a contradiction, which is reported. Here it only matters that the same
        # one counts in any order of reading.
        versions = log.opens[max(log.opens)]
        return versions[min(versions)].block_size
    subscriptions = ledger.subscriptions
    return subscriptions[max(subscriptions)].block_size or None if subscriptions else None


def gap_times(times: ClientTiming, missing: RangeSet) -> dict[int, GapTimes]:
    """Return when the messages around each range of missing records were received, by its first number."""
    found: dict[int, GapTimes] = {}
    for first, last in missing:
        before_us, after_us = times.edges.around(first, last)
        # The clock's offset may change from one block to the next, and messages may come out of order.
        is_reversed = before_us is not None and after_us is not None and after_us < before_us
        found[first] = (after_us, before_us) if is_reversed else (before_us, after_us)
    return found


def by_first_cause(missing: RangeSet, known: Mapping[str, RangeSet], causes: Sequence[str]) -> dict[str, RangeSet]:
    """Return the missing records by cause, each with the first cause that has evidence for it."""
    lost, left = {}, missing
    for cause in causes:
        lost[cause] = left & known[cause]
        left -= known[cause]
    return lost


def scheduled(evidence: RunEvidence, histogram: SparseHistogram) -> SparseHistogram:
    """Return a histogram of durations since a due time; without a schedule nothing is due, so nothing is late."""
    return histogram if evidence.ledger.is_scheduled else EMPTY


def _conflicts(log: LogEvidence) -> LogConflicts:
    lines = [("open", segment, len(versions)) for segment, versions in log.opens.items()]
    lines += [("end", segment, len(reasons)) for segment, reasons in log.ends.items()]
    several = sorted(line for line in lines if line[2] > 1)
    return LogConflicts(blocks=tuple(sorted(log.blocks.repeated.items())), lines=tuple(several))


def _server_ends(ledger: LedgerEvidence) -> Iterator[ServerEnd]:
    instances = {crc: server.open.instance for server in ledger.servers.values() for crc in server.ends}
    # By digest, so that the order of reading does not matter.
    for crc, end in sorted(ledger.ends.items()):
        yield _server_end(instances.get(crc, ""), end, SaturationEvidence.of(end))


def _departed(ledger: LedgerEvidence) -> Iterator[ServerEnd]:
    for _, server in sorted(ledger.servers.items()):
        if server.measured is not None and not server.ends:
            saturation = SaturationEvidence.of(server.measured)
            # Of a process that was there for a few seconds only, one late timer would leave the question open.
            if saturation.p99_ns is None:
                saturation = saturation._replace(max_ns=None)
            yield _server_end(server.open.instance, server.measured, saturation)


def _server_end(instance: str, entry: EndEntry | MeasuredEntry, saturation: SaturationEvidence) -> ServerEnd:
    return ServerEnd(
        instance=instance,
        late_p99_ns=entry.late_p99_ns,
        late_max_ns=entry.late_max_ns,
        saturation=saturation,
    )
