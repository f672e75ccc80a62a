"""The newest run, and the collector's own effort, as Prometheus metrics. Specification: ``docs/reference/metrics.md``.

The number of series is bounded, however many clients and runs there are. What only grows while a run goes on is a
counter; with the next run it begins anew, as any counter may.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import get_args

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from services.collector.results.run_durations import RunDurations
from services.collector.verdict.check_types import DAMAGE
from services.contract.histogram import BOUNDS_NS, Histogram
from services.contract.summary import ClientState, ClientSummary, Quantiles, RunState, Summary, Verdict

CONTENT_TYPE = CONTENT_TYPE_LATEST
MOST_CLIENTS = 200
OTHER = "~other"
"""Stands for the clients beyond `MOST_CLIENTS`; no client has this name."""

_COUNTERS = {
    "received_messages": ("received", "Distinct messages that clients logged."),
    "received_bytes": ("bytes", "Bytes of the records that clients logged."),
    "logged_blocks": ("blocks", "Blocks that clients logged."),
    "duplicate_messages": ("duplicates", "Messages that a client received again."),
    "reordered_messages": ("reordered", "Messages that a client received after a later one."),
    "caught_up_messages": ("catch_up", "Messages that were due before their client first tried to take part."),
    "corrupt_messages": ("corrupt", "Messages in batches that failed their digest in flight."),
}
_GAUGES = {
    "expected_messages": ("expected", "Messages that the clients answer for."),
    "residual_messages": ("residual", "Messages that no cause explains: must be 0."),
    "unreceipted_messages": ("logged_not_receipted", "Messages on disk without a receipt in the ledger."),
}
_CLIENT_COUNTERS = {
    "received_messages": ("received", "Distinct messages that the client logged."),
    "received_bytes": ("bytes", "Bytes of the records that the client logged."),
    "logged_blocks": ("blocks", "Blocks that the client logged."),
    "duplicate_messages": ("duplicates", "Messages that the client received again."),
}
_PERCENTS = {"min": "0", "p50": "50", "p90": "90", "p95": "95", "p99": "99", "p99_9": "99.9", "max": "100"}


@dataclass(frozen=True)
class CollectorEffort:
    """What the collector has done since it started.

    Attributes:
        lines: it has read, of all runs.
        bytes: of these lines.
        caught_up_at: when everything in the files had been read last, in monotonic seconds.
    """

    lines: int
    bytes: int
    caught_up_at: float

    def more(self, lines: int, size: int) -> CollectorEffort:
        """Return it after more was read."""
        return CollectorEffort(self.lines + lines, self.bytes + size, self.caught_up_at)


def expose(made: Summary | None, durations: RunDurations | None, effort: CollectorEffort | None, now: float) -> bytes:
    """Return everything in Prometheus' text format.

    Args:
        made: the newest summary, if there is a run.
        durations: what it was measured by; of a run that was closed before the collector started nobody knows.
        effort: what was done for it.
        now: monotonic seconds.
    """
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    if effort is not None:
        registry.register(_Families(lambda: _effort(effort, now)))
    if made is not None:
        registry.register(_Families(lambda: _run(made)))
        registry.register(_Families(lambda: _clients(made.clients)))
    if durations is not None:
        registry.register(_Families(lambda: _histograms(durations)))
    return generate_latest(registry)


class _Families(Collector):
    """What the registry asks; it wants an object."""

    def __init__(self, ask: Callable[[], Iterator[Metric]]) -> None:
        self._ask = ask

    def collect(self) -> Iterator[Metric]:
        """Return the families."""
        return self._ask()


def _effort(effort: CollectorEffort, now: float) -> Iterator[Metric]:
    for name, meaning, value in (
        ("lines", "Lines of the books that were read.", effort.lines),
        ("bytes", "Bytes of the books that were read.", effort.bytes),
    ):
        yield CounterMetricFamily(f"streamgauge_collector_read_{name}", meaning, value=value)
    behind, age = "How long ago everything that lay in the books had been read.", now - effort.caught_up_at
    yield GaugeMetricFamily("streamgauge_collector_behind_seconds", behind, value=max(0.0, age))


def _run(made: Summary) -> Iterator[Metric]:
    yield InfoMetricFamily("streamgauge_run", "The newest run.", {"run": made.run, "feed": made.feed or ""})
    yield _one_of("run_state", "state", get_args(RunState), made.state)
    yield _one_of("run_verdict", "verdict", get_args(Verdict), made.verdict)
    answers = {check.name: float(check.ok) for check in made.checks if check.ok is not None}
    yield _labelled("run_check", "1 if the check is answered with yes.", "check", answers)
    limits = {limit.expression: float(limit.ok) for limit in made.thresholds if limit.ok is not None}
    yield _labelled("run_threshold", "1 if the threshold holds.", "expression", limits)
    states = Counter(client.state for client in made.clients)
    counts = {state: states[state] for state in get_args(ClientState)}
    yield _labelled("run_clients", "Clients in this state.", "state", counts)
    for name, (field, meaning) in _COUNTERS.items():
        yield from _known(CounterMetricFamily, name, meaning, getattr(made.totals, field))
    every = {cause: getattr(made.missing_by_cause, cause) for cause in made.missing_by_cause.__struct_fields__}
    causes = {cause: count for cause, count in every.items() if count is not None}
    yield _labelled("missing_messages", "Messages missing, by cause.", "cause", causes)
    for name, (field, meaning) in _GAUGES.items():
        yield from _known(GaugeMetricFamily, name, meaning, getattr(made.totals, field))
    faults = Counter(dict.fromkeys(sorted(DAMAGE), 0))
    faults.update(fault.kind for fault in made.faults)
    yield _labelled("faults", "Damage found in the books, by kind.", "kind", faults)
    for name in ("latency", "transit", "block_duration", "spread"):
        yield _percentiles(name, getattr(made, f"{name}_ns"))


def _known(
    family: type[CounterMetricFamily | GaugeMetricFamily], name: str, meaning: str, value: float | None
) -> Iterator[Metric]:
    # What nobody knows is no 0: then there is no such metric.
    if value is not None:
        yield family(f"streamgauge_{name}", meaning, value=value)


def _clients(clients: Sequence[ClientSummary]) -> Iterator[Metric]:
    for name, (field, meaning) in _CLIENT_COUNTERS.items():
        if any(getattr(client, field) is None for client in clients):
            continue
        values = _by_client(clients, attrgetter(field), sum)
        yield _labelled(f"client_{name}", meaning, "client", values, CounterMetricFamily)
    if all(client.missing is not None for client in clients):
        missing = _by_client(clients, attrgetter("missing"), sum)
        yield _labelled("client_missing_messages", "Messages that the client is missing.", "client", missing)
    timed = [client for client in clients if client.latency_ns.p99 is not None]
    late = _by_client(timed, lambda client: (client.latency_ns.p99 or 0) / 1e9, max)
    yield _labelled("client_latency_p99_seconds", "99th percentile, due to received.", "client", late)


def _by_client(
    clients: Sequence[ClientSummary],
    value: Callable[[ClientSummary], float],
    together: Callable[[Iterable[float]], float],
) -> dict[str, float]:
    found = {client.client: value(client) for client in clients[:MOST_CLIENTS]}
    others = clients[MOST_CLIENTS:]
    return {**found, OTHER: together(map(value, others))} if others else found


def _histograms(durations: RunDurations) -> Iterator[Metric]:
    for name, meaning, histogram in (
        ("latency", "Of messages, from due to received.", durations.latency),
        ("transit", "Of messages, from sent to received.", durations.transit),
        ("block_duration", "Of blocks, from first to last message.", durations.block),
    ):
        yield HistogramMetricFamily(
            f"streamgauge_{name}_seconds", meaning, buckets=_buckets(histogram), sum_value=histogram.total_ns() / 1e9
        )


def _buckets(histogram: Histogram) -> list[tuple[str, float]]:
    bounds = [f"{bound / 1e9:.12g}" for bound in BOUNDS_NS]
    return [*zip(bounds, histogram.up_to(BOUNDS_NS), strict=True), ("+Inf", histogram.count)]


def _percentiles(name: str, quantiles: Quantiles) -> Metric:
    values = {percent: getattr(quantiles, field) for field, percent in _PERCENTS.items()}
    seconds = {percent: value / 1e9 for percent, value in values.items() if value is not None}
    return _labelled(f"{name}_percentile_seconds", f"The summary's {name}_ns, of the whole run.", "percent", seconds)


def _one_of(name: str, label: str, choices: Sequence[str], chosen: str | None) -> Metric:
    return _labelled(name, f"1 for the {label} that holds.", label, {choice: choice == chosen for choice in choices})


def _labelled(
    name: str,
    meaning: str,
    label: str,
    values: Mapping[str, float],
    kind: type[GaugeMetricFamily | CounterMetricFamily] = GaugeMetricFamily,
) -> Metric:
    family = kind(f"streamgauge_{name}", meaning, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family
