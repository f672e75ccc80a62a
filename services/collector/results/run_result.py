"""The result of one run: its clients' results, and what concerns the run as a whole. Pure data.

Results of parts merge exactly: a part has the whole ledger and the block logs of some of the clients.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import reduce
from typing import NamedTuple

from services.collector.evidence import server_clocks
from services.collector.evidence.comparison.client_groups import Groups
from services.collector.evidence.numbers.number_ranges import SequenceName
from services.collector.evidence.sampling import SpreadSample
from services.collector.evidence.saturation import SaturationEvidence
from services.collector.evidence.server_clocks import Offsets
from services.collector.evidence.sparse_histogram import EMPTY, SparseHistogram
from services.collector.results.client_result import ClientResult, client_order
from services.contract.nodes import PulledNode, PulledRun
from services.contract.rangeset import RangeSet
from services.contract.summary import Books, Fault, RunState

NO_LEDGER = "there is no ledger of this run: it is not known which records were sent"
"""The sentence for a run without a ledger, in its faults and in its reasons."""
TWICE = "give each part once, and the clients of each node names of their own"
"""What an operator is to do about a client with logs in two parts."""


@dataclass(frozen=True, kw_only=True)
class ServerEnd:
    """What a server process measured of itself, by the end line of its ledger or, without one, by its last measurement.

    Attributes:
        instance: of the server, empty where the ledger does not name it.
        late_p99_ns: how late it sent, None for not measured; ``late_max_ns`` at most.
        saturation: of its event loop and its CPU limit.
    """

    instance: str
    late_p99_ns: int | None
    late_max_ns: int | None
    saturation: SaturationEvidence


@dataclass(frozen=True, kw_only=True)
class LedgerFacts:
    """Facts that the ledger has about the run as a whole; without a ledger nothing is known.

    Attributes:
        state: where the run is in its life, by the ledger.
        total: how many records the run was opened for.
        rate: records per second; 0 without a schedule, None for not known.
        is_scheduled: whether any record had a due time of its own.
        wanted: how many clients are to take part, at least.
        wanted_source: where that number was found, None where an operator set it.
        late: the clients that asked to take part after the run had ended, by name.
        is_opened: there is an open line.
        is_abandoned: the run was interrupted and not continued.
        ends: of its servers.
        departed: last measurements of the servers that did not play the run to its end.
        last: the last record of the run by its end, None without an end.
        end_variants: how many different ends its servers recorded; more than one is a contradiction.
        feed_differences: the settings in which they differ, each with its values; any is a contradiction.
        unmeasured_servers: servers that took part, recorded neither an end nor how late they were until they were gone,
            and were not continued by another one.
        schedule_conflict: two servers with different schedules, and from which record on they differ.
        kernels: of the servers that took part, by instance: servers of one kernel share a clock.
    """

    state: RunState
    total: int | None
    rate: float | int | None
    is_scheduled: bool
    wanted: int
    wanted_source: str | None
    late: tuple[str, ...]
    is_opened: bool
    is_abandoned: bool
    ends: tuple[ServerEnd, ...]
    departed: tuple[ServerEnd, ...]
    last: int | None
    end_variants: int
    feed_differences: tuple[str, ...]
    unmeasured_servers: tuple[str, ...]
    schedule_conflict: tuple[str, str, int] | None
    kernels: Mapping[str, str]


class DifferingContents(NamedTuple):
    """What one client lacks of the records without numbers that another one received while both were connected.

    Attributes:
        client: the one that lacks them.
        other: the other one.
        lacking: how many records it did not receive at all.
        fewer: how many more times the other one received records that both have.
        block: session and number of the other one's block with the first of them.
    """

    client: str
    other: str
    lacking: int
    fewer: int
    block: tuple[int, int]


class RecurringDifference(NamedTuple):
    """How far one client received the same records as another one, where only counts and turns can be compared.

    Attributes:
        client: the first one.
        other: the second one.
        records: how many the second one received in the common time, about; 0 if it was too short to compare.
        fewer: how many fewer the first one received; 0 if that may be chance.
        out_of_turn: how many records of the first one came after another one than they always did at the second one.
        chance: by how many the counts may differ by chance.
    """

    client: str
    other: str
    records: int
    fewer: int
    out_of_turn: int
    chance: int


class UnnumberedComparison(NamedTuple):
    """How far the clients of a feed without numbers received the same records.

    Attributes:
        alike: the clients that were compared: each has most of its records in common with another one.
        apart: clients whose records are mostly different ones.
        recurring: comparisons of clients whose records recur so often that only counts and turns can be compared.
        differing: what clients lack.
        is_sampled: only a part of the records was compared.
        bridged: by client the connections before which it was away, as session and number, if another client was
            connected and shows that it missed nothing meanwhile.
    """

    alike: tuple[str, ...] = ()
    apart: tuple[str, ...] = ()
    recurring: tuple[RecurringDifference, ...] = ()
    differing: tuple[DifferingContents, ...] = ()
    is_sampled: bool = False
    bridged: Mapping[str, frozenset[tuple[int, int]]] = {}


@dataclass(frozen=True, kw_only=True)
class FeedComparison:
    """How far the clients of an external feed received the same records.

    Attributes:
        groups: the clients that are compared with each other.
        conflicts: by sequence and two clients, the numbers under which they hold different records.
        openings: how many first records over a connection differ from what other clients received under their numbers.
        unnumbered: the comparison of a feed without numbers; None for other feeds, a single client, or an open run.
    """

    groups: Groups = field(default_factory=Groups)
    conflicts: Mapping[tuple[SequenceName, str, str], RangeSet] = field(default_factory=dict)
    openings: int = 0
    unnumbered: UnnumberedComparison | None = None


@dataclass(frozen=True)
class RunDurations:
    """Five histograms of a run.

    Attributes:
        latency: of messages, from due to received; empty without a schedule.
        catch_up: from due to received, of messages that were due before their client first tried to take part. They
            are not in `latency`.
        transit: of messages, from sent to received.
        block: of blocks, from their first message to their last.
        spread: of records, from the first client to the last; sampled.
    """

    latency: SparseHistogram = EMPTY
    catch_up: SparseHistogram = EMPTY
    transit: SparseHistogram = EMPTY
    block: SparseHistogram = EMPTY
    spread: SparseHistogram = EMPTY

    def by_name(self) -> dict[str, SparseHistogram]:
        """Return the histograms by the names that thresholds use."""
        return {kind.name: getattr(self, kind.name) for kind in fields(self)}

    @classmethod
    def merged(cls, parts: Sequence[RunDurations], spread: SpreadSample) -> RunDurations:
        """Return the durations of a run from those of its parts; ``spread`` is the sample of all of them."""
        by_name = [part.by_name() for part in parts]
        # The spread lies between clients, so that of a run does not follow from the spreads within its parts.
        sums = {
            kind.name: SparseHistogram.merged(part[kind.name] for part in by_name)
            for kind in fields(cls)
            if kind.name != "spread"
        }
        return cls(**sums, spread=SparseHistogram.of(spread.histogram()))


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """The finished figures of one run.

    Attributes:
        run: its name.
        books: whether there is a ledger beside the block logs, or the feed is an external one.
        is_final: nothing will be logged any more, so there is a verdict.
        state: where the run is in its life.
        feed: the name of our own feed, or the address of an external one.
        total: how many records were sent, or are to be sent; None for not known.
        rate: records per second, None for not known.
        lacks_ledger: clients logged under subscriptions, and there is no line of any ledger.
        lacks_open: no ledger has an open line, as a ledger of our own feed must.
        clients: the results of all clients, by name and number.
        durations: of all clients together.
        ledger_faults: of the ledger's files.
        ledger_facts: what the ledger records about the run as a whole.
        comparison: of the clients of an external feed, None for our own; conflicts are looked for once it is final.
        spread_sample: what ``durations.spread`` is made of, None for an external feed.
        clock_offsets: of servers against clients, by their kernels; empty if all servers share a clock.
        pulled: how far the files were pulled from other hosts; None if they were written on this one.
    """

    run: str
    books: Books
    is_final: bool
    state: RunState
    feed: str | None
    total: int | None
    rate: float | int | None
    lacks_ledger: bool
    lacks_open: bool
    clients: tuple[ClientResult, ...]
    durations: RunDurations
    ledger_faults: tuple[Fault, ...]
    ledger_facts: LedgerFacts
    comparison: FeedComparison | None
    spread_sample: SpreadSample | None
    clock_offsets: Offsets = field(default_factory=dict)
    pulled: PulledRun | None = None

    @property
    def is_external(self) -> bool:
        """Whether the feed is an external one: then no ledger records what was sent."""
        return self.books == "one-sided"

    @property
    def faults(self) -> list[Fault]:
        """The faults of all files, by file and line."""
        faults = [fault for client in self.clients for fault in client.faults]
        return sorted([*faults, *self.ledger_faults], key=fault_order)


class NotMergeable(ValueError):
    """Two results are not parts of one run of our own feed, read with the same ledger."""


def merge(parts: Sequence[RunResult]) -> RunResult:
    """Return the result of a run from the results of its parts, in any order.

    Raises:
        NotMergeable: the parts do not belong together, or are of an external feed: its clients are judged by what the
            others received, so they have to be read together.
    """
    first = parts[0]
    samples = []
    for part in parts:
        # An external feed has none: its spread depends on the clients that are compared, which takes all of them.
        if part.spread_sample is None:
            raise NotMergeable(f"run {part.run} is of an external feed: its clients have to be read together")
        # Only with the same ledger are the facts of one part also those of the other.
        if _shared(part) != _shared(first):
            raise NotMergeable(f"runs {first.run} and {part.run} do not have the same ledger")
        samples.append(part.spread_sample)
    # All at once: 100 parts of 1,000 clients one after the other would sort the clients a hundred times.
    clients: dict[str, ClientResult] = {}
    for client in (client for part in parts for client in part.clients):
        # A client that a part has no log of is known there by the ledger alone.
        known = clients.get(client.client)
        if known is not None and known.has_log and client.has_log:
            raise NotMergeable(f"{client.client} has a log in two parts; {TWICE}")
        if known is None or client.has_log:
            clients[client.client] = client
    sample = reduce(SpreadSample.merged, samples)
    # A part without any log does not show that the ledger is missing; a part that shows it has the fault.
    showing = max(parts, key=lambda part: part.lacks_ledger)
    return replace(
        first,
        lacks_ledger=showing.lacks_ledger,
        clients=tuple(clients[name] for name in sorted(clients, key=client_order)),
        durations=RunDurations.merged([part.durations for part in parts], sample),
        ledger_faults=showing.ledger_faults,
        spread_sample=sample,
        clock_offsets=server_clocks.merged([part.clock_offsets for part in parts]),
        pulled=merged_pulls([part.pulled for part in parts if part.pulled is not None]),
    )


def fault_order(fault: Fault) -> tuple[str, int, str, str]:
    """Return the key by which faults are sorted: file and line."""
    # With kind and detail, so that several faults of one line have a fixed order too.
    return fault.file, fault.line, fault.kind, fault.detail


def merged_pulls(pulls: Sequence[PulledRun]) -> PulledRun | None:
    """Return the nodes of all parts; one whose files were pulled twice is there twice if it was in two states."""
    nodes: list[PulledNode] = []
    for node in (node for pull in pulls for node in pull.nodes):
        if node not in nodes:
            nodes.append(node)
    return PulledRun(run=pulls[0].run, nodes=sorted(nodes, key=repr)) if pulls else None


def _shared(part: RunResult) -> tuple[object, ...]:
    """Return what all parts of a run have in common, since each has the whole ledger."""
    return part.run, part.is_final, part.ledger_facts, part.lacks_open
