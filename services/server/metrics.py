"""The server's Prometheus metrics, read from its state at each scrape; described in ``docs/reference/metrics.md``.

A value that only grows during a run is a counter; it restarts at 0 with the next run, as Prometheus allows. A scrape
changes nothing: a stage of the rate plan that is due counts as begun, but is recorded by the send loop alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
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

from services import SOFTWARE
from services.contract import ledger
from services.contract.histogram import BOUNDS_NS, Histogram
from services.contract.wire import State
from services.server.feed.generator import FAKER_VERSION
from services.server.runs.run import Run
from services.server.runs.run_state import RunStatus
from services.server.streaming.stream import Stream

CONTENT_TYPE = CONTENT_TYPE_LATEST


class ServerMetrics(Collector):
    """Metrics of one stream. Labels have only fixed values (states, causes), so the number of series is bounded."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._loop_lag = Histogram()
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def add_loop_lag(self, seconds: float) -> None:
        """Add how late the event loop woke a timer."""
        self._loop_lag.record([round(seconds * 1e9)])

    def text(self) -> str:
        """Return the metrics in Prometheus' text format."""
        return generate_latest(self._registry).decode()

    def collect(self) -> Iterator[Metric]:
        """Yield every metric with its current value."""
        run = self._stream.run
        # One status for all metrics of a scrape, so that they agree with each other.
        status = run.status()
        yield from _run_metrics(run, status)
        yield from self._stream_metrics(status)
        yield from _ledger_metrics(run)
        yield _histogram("event_loop_lag", "How late the event loop woke a timer.", self._loop_lag)

    def _stream_metrics(self, status: RunStatus) -> Iterator[Metric]:
        stream = self._stream
        subscriptions = [subscription for subscription in stream.subscriptions.values() if subscription.is_open]
        lag = max((status.head - subscription.cursor + 1 for subscription in subscriptions), default=0)
        buffered = sum(subscription.connection.buffered for subscription in subscriptions)
        yield _gauge("clients", "Clients that are subscribed.", len(subscriptions))
        yield _gauge("observers", "Observers that are subscribed.", len(stream.observers))
        yield _labelled(
            CounterMetricFamily("streamgauge_refusals", "Refused peers and frames.", labels=["cause"]),
            stream.refusals.counts,
        )
        yield _gauge("lag_records", "Records that are due and not yet sent to the slowest client.", lag)
        yield _gauge("buffered_bytes", "Bytes that wait in this process for clients to read.", buffered)
        yield _counter("sent_records", "Records sent, counted for each client.", stream.sent_records)
        yield _counter("sent_bytes", "Bytes of records sent, counted for each client.", stream.sent_bytes)


def _run_metrics(run: Run, status: RunStatus) -> Iterator[Metric]:
    about = {"run": run.name, "feed": run.feed.identity}
    yield InfoMetricFamily("streamgauge_run", "The current run.", about)
    made_by = {"software": SOFTWARE, "faker": FAKER_VERSION, "schema": run.feed.schema, "locale": run.feed.locale}
    yield InfoMetricFamily("streamgauge_server", "Software and settings that generate the records.", made_by)
    states = {state: float(status.state == state) for state in get_args(State)}
    yield _labelled(GaugeMetricFamily("streamgauge_run_state", "1 for the current state.", labels=["state"]), states)
    yield _gauge("run_records", "Number of records of the run.", run.total)
    rate = status.rate if status.state == "running" else 0
    yield _gauge("paced_records_per_second", "The current rate; 0 without a schedule.", rate)
    yield _counter("due_records", "Records that are due.", status.head)
    yield _histogram("lateness", "How late the server found the first record due in a round.", run.lateness)


def _ledger_metrics(run: Run) -> Iterator[Metric]:
    clients = run.recorded.clients.values()
    receipted = sum(blocks.count for client in clients for blocks in client.receipts.values())
    mismatched = sum(len(client.mismatched) for client in clients)
    yield _labelled(
        CounterMetricFamily("streamgauge_receipts", "Receipts in the ledger, by their digest.", labels=["digest"]),
        {"matched": receipted - mismatched, "mismatched": mismatched},
    )
    gone = Counter(client.leave_cause for client in clients if client.leave_cause is not None)
    yield _labelled(
        GaugeMetricFamily("streamgauge_gone_clients", "Clients whose subscription ended.", labels=["cause"]),
        {cause: gone[cause] for cause in get_args(ledger.Cause)},
    )
    yield _counter("subscriptions", "Subscriptions to the run, repeated ones included.", run.recorded.fence)
    writer = run.ledger
    yield _counter("ledger_lines", "Lines that this server wrote to the ledger.", writer.line_count)
    yield _gauge("ledger_writable", "1 while the ledger can be written and synced.", writer.is_writable)
    yield _gauge("ledger_waiting_lines", "Lines that the disk has not accepted yet.", writer.waiting_lines)
    yield _histogram("ledger_sync_duration", "Duration of a sync of the ledger.", writer.sync_durations)


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(f"streamgauge_{name}", meaning, float(value))


def _counter(name: str, meaning: str, value: float) -> Metric:
    return CounterMetricFamily(f"streamgauge_{name}", meaning, float(value))


def _labelled(family: GaugeMetricFamily | CounterMetricFamily, values: Mapping[str, float]) -> Metric:
    for label, value in values.items():
        family.add_metric([label], float(value))
    return family


def _histogram(name: str, meaning: str, histogram: Histogram) -> Metric:
    # A copy: the thread that syncs the ledger may record a duration meanwhile.
    copy = Histogram()
    copy.merge(histogram)
    counts = zip(BOUNDS_NS, copy.up_to(BOUNDS_NS), strict=True)
    buckets = [*((f"{bound / 1e9:.12g}", float(count)) for bound, count in counts), ("+Inf", float(copy.count))]
    return HistogramMetricFamily(f"streamgauge_{name}_seconds", meaning, buckets, copy.total_ns() / 1e9)
