"""The newest run, and what the collector has read, as Prometheus metrics. Specification: ``docs/reference/metrics.md``.

The number of series does not grow with the numbers of clients and runs. A value that only grows during a run is a
counter; the next run resets it, as Prometheus allows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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

from services.collector.evidence.sparse_histogram import SparseHistogram
from services.collector.publish.web.self_metrics import CollectorEffort
from services.collector.results.run_result import RunDurations
from services.collector.verdict.check_types import DAMAGE
from services.contract.histogram import BOUNDS_NS
from services.contract.summary import ClientState, ClientSummary, Quantiles, RunState, Summary, Verdict

CONTENT_TYPE = CONTENT_TYPE_LATEST
MAX_CLIENTS = 200
"""Clients with labels of their own."""
OTHER = "~other"
"""The label of all clients beyond `MAX_CLIENTS` together; no client can have this name."""

_COUNTERS = {
    "received_messages": ("received", "Distinct messages that clients logged."),
    "received_bytes": ("bytes", "Bytes of the records that clients logged."),
    "logged_blocks": ("blocks", "Blocks that clients logged."),
    "duplicate_messages": ("duplicates", "Messages that a client received more than once."),
    "reordered_messages": ("reordered", "Messages that a client received after a later one."),
    "caught_up_messages": ("catch_up", "Messages that were due before their client first tried to connect."),
    "corrupt_messages": ("corrupt", "Messages in batches that failed their digest in flight."),
}
_GAUGES = {
    "expected_messages": ("expected", "Messages that the clients should have logged."),
    "residual_messages": ("residual", "Messages that no cause explains: must be 0."),
    "unreceipted_messages": ("logged_not_receipted", "Messages on disk without a receipt in the ledger."),
}
_CLIENT_COUNTERS = {
    "received_messages": ("received", "Distinct messages that the client logged."),
    "received_bytes": ("bytes", "Bytes of the records that the client logged."),
    "logged_blocks": ("blocks", "Blocks that the client logged."),
    "duplicate_messages": ("duplicates", "Messages that the client received more than once."),
}
_CONNECTIONS: dict[str, tuple[str, float, type[GaugeMetricFamily | CounterMetricFamily], str]] = {
    "connected_seconds": ("connected_ns", 1e9, GaugeMetricFamily, "Time for which the client was connected."),
    "asked_seconds": ("asked_ns", 1e9, GaugeMetricFamily, "Time for which the client was to be connected."),
    "connections": ("count", 1, CounterMetricFamily, "Connections that the client opened."),
    "refused_attempts": ("refused", 1, CounterMetricFamily, "Attempts of the client that failed."),
}
_PERCENTS = {"min": "0", "p50": "50", "p90": "90", "p95": "95", "p99": "99", "p99_9": "99.9", "max": "100"}


def expose(newest: Summary | None, durations: RunDurations | None, effort: CollectorEffort | None, now: float) -> bytes:
    """Return all metrics in Prometheus' text format.

    Args:
        newest: the newest summary, if there is a run.
        durations: the histograms of its run; unknown if it was closed before the collector started.
        effort: what the collector has read.
        now: monotonic seconds.
    """
    # Described metrics would be computed once more when they are registered.
    registry = CollectorRegistry(auto_describe=False)
    ProcessCollector(registry=registry)
    if effort is not None:
        registry.register(_Families(lambda: _effort(effort, now)))
    if newest is not None:
        registry.register(_Families(lambda: _run(newest)))
        registry.register(_Families(lambda: _clients(newest.clients)))
    if durations is not None:
        registry.register(_Families(lambda: _histograms(durations)))
    return generate_latest(registry)


class _Families(Collector):
    """A function that yields metric families, in the shape that the registry accepts."""

    def __init__(self, families: Callable[[], Iterator[Metric]]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """Yield the families."""
        return self._families()


def _effort(effort: CollectorEffort, now: float) -> Iterator[Metric]:
    for name, meaning, value in (
        ("lines", "Lines read from logs and ledgers.", effort.lines),
        ("bytes", "Bytes read from logs and ledgers.", effort.bytes),
    ):
        yield CounterMetricFamily(f"streamgauge_collector_read_{name}", meaning, value=value)
    meaning, age = "Time since everything in logs and ledgers had been read.", now - effort.caught_up_at
    yield GaugeMetricFamily("streamgauge_collector_behind_seconds", meaning, value=max(0.0, age))


def _run(summary: Summary) -> Iterator[Metric]:
    yield InfoMetricFamily("streamgauge_run", "The newest run.", {"run": summary.run, "feed": summary.feed or ""})
    yield _one_of("run_state", "state", get_args(RunState), summary.state)
    yield _one_of("run_verdict", "verdict", get_args(Verdict), summary.verdict)
    checks = {check.name: float(check.ok) for check in summary.checks if check.ok is not None}
    yield _labelled("run_check", "1 if the check passed.", "check", checks)
    limits = {limit.expression: float(limit.ok) for limit in summary.thresholds if limit.ok is not None}
    yield _labelled("run_threshold", "1 if the threshold holds.", "expression", limits)
    states = summary.client_states
    counts = {state: states[state] for state in get_args(ClientState)}
    yield _labelled("run_clients", "Clients in this state.", "state", counts)
    for name, (field, meaning) in _COUNTERS.items():
        yield from _known(CounterMetricFamily, name, meaning, getattr(summary.totals, field))
    causes = {cause: getattr(summary.missing_by_cause, cause) for cause in summary.missing_by_cause.__struct_fields__}
    causes = {cause: count for cause, count in causes.items() if count is not None}
    yield _labelled("missing_messages", "Messages missing, by cause.", "cause", causes)
    for name, (field, meaning) in _GAUGES.items():
        yield from _known(GaugeMetricFamily, name, meaning, getattr(summary.totals, field))
    faults = Counter(dict.fromkeys(sorted(DAMAGE), 0))
    faults.update(fault.kind for fault in summary.faults)
    yield _labelled("faults", "Damage found in logs and ledgers, by kind.", "kind", faults)
    for name in ("latency", "transit", "block_duration", "spread"):
        yield _percentiles(name, getattr(summary, f"{name}_ns"))


def _known(
    family: type[CounterMetricFamily | GaugeMetricFamily], name: str, meaning: str, value: float | None
) -> Iterator[Metric]:
    # An unknown value is not 0: there is no such metric then.
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
        yield _labelled(
            "client_missing_messages",
            "Expected messages that the client did not log.",
            "client",
            missing,
        )
    yield from _connections([client for client in clients if client.connections.count is not None])
    # A client without any latency has no series, rather than one at 0.
    timed = [client for client in clients if client.latency_ns.p99 is not None]
    p99 = _by_client(timed, lambda client: (client.latency_ns.p99 or 0) / 1e9, max)
    yield _labelled("client_latency_p99_seconds", "99th percentile of the latency, due to received.", "client", p99)


def _connections(clients: Sequence[ClientSummary]) -> Iterator[Metric]:
    """Yield the connections to an external feed; nothing for our own feed, whose server counts them."""
    if not clients:
        return
    for name, (field, unit, kind, meaning) in _CONNECTIONS.items():
        value = attrgetter(f"connections.{field}")
        known = [client for client in clients if value(client) is not None]
        values = {label: number / unit for label, number in _by_client(known, value, sum).items()}
        yield _labelled(f"client_{name}", meaning, "client", values, kind)


def _by_client(
    clients: Sequence[ClientSummary],
    value: Callable[[ClientSummary], float],
    combine: Callable[[Iterable[float]], float],
) -> dict[str, float]:
    """Return the value of each client, and the combined one of those beyond `MAX_CLIENTS`."""
    # Prometheus keeps every series for its whole retention, so the number of labels is bounded.
    values = {client.client: value(client) for client in clients[:MAX_CLIENTS]}
    others = clients[MAX_CLIENTS:]
    return {**values, OTHER: combine(map(value, others))} if others else values


def _histograms(durations: RunDurations) -> Iterator[Metric]:
    for name, meaning, histogram in (
        ("latency", "Time of messages, from due to received.", durations.latency),
        ("transit", "Time of messages, from sent to received.", durations.transit),
        (
            "block_duration",
            "Time from the first message of a block to its last; 0 for a block in one read.",
            durations.block,
        ),
    ):
        yield HistogramMetricFamily(
            f"streamgauge_{name}_seconds", meaning, buckets=_buckets(histogram), sum_value=histogram.total_ns() / 1e9
        )


def _buckets(histogram: SparseHistogram) -> list[tuple[str, float]]:
    bounds = [f"{bound / 1e9:.12g}" for bound in BOUNDS_NS]
    return [*zip(bounds, histogram.up_to(BOUNDS_NS), strict=True), ("+Inf", histogram.count)]


def _percentiles(name: str, quantiles: Quantiles) -> Metric:
    values = {percent: getattr(quantiles, field) for field, percent in _PERCENTS.items()}
    seconds = {percent: value / 1e9 for percent, value in values.items() if value is not None}
    return _labelled(f"{name}_percentile_seconds", f"The summary's {name}_ns, of the whole run.", "percent", seconds)


def _one_of(name: str, label: str, choices: Sequence[str], current: str | None) -> Metric:
    return _labelled(name, f"1 for the current {label}.", label, {choice: choice == current for choice in choices})


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
