"""What the server tells Prometheus: read from the state when asked, counted nowhere twice. ``docs/metrics.md``.

What only grows while a run goes on is a counter; with the next run it begins anew, as any counter may.
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
from services.server.stream import Stream

CONTENT_TYPE = CONTENT_TYPE_LATEST


class ServerMetrics(Collector):
    """Metrics of one stream; no label has more values than there are states or causes."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._loop_lag = Histogram()
        self._registry = CollectorRegistry()
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def note_loop_lag(self, seconds: float) -> None:
        """Note how late the event loop was for something that was to be done at a certain time."""
        self._loop_lag.record([round(seconds * 1e9)])

    def text(self) -> str:
        """Return the metrics in Prometheus' text format."""
        return generate_latest(self._registry).decode()

    def collect(self) -> Iterator[Metric]:
        """Yield every metric with its value now."""
        run = self._stream.run
        yield from self._run(run)
        yield from self._sending(run)
        yield from self._books(run)
        yield _histogram("event_loop_lag", "How late the event loop was for what was to be done then.", self._loop_lag)

    @staticmethod
    def _run(run: Run) -> Iterator[Metric]:
        about = {"run": run.name, "feed": run.feed.identity}
        yield InfoMetricFamily("streamgauge_run", "The run that is on.", about)
        made_by = {"software": SOFTWARE, "faker": FAKER_VERSION, "schema": run.feed.schema, "locale": run.feed.locale}
        yield InfoMetricFamily("streamgauge_server", "What makes the records.", made_by)
        states = {state: float(run.state == state) for state in get_args(State)}
        yield _labelled(
            GaugeMetricFamily("streamgauge_run_state", "1 for the state that holds.", labels=["state"]), states
        )
        yield _gauge("run_records", "The length of the run.", run.book.total)
        paced = run.rate if run.state == "running" else 0
        yield _gauge("paced_records_per_second", "The pace that is on; 0 without a schedule.", paced)
        yield _counter("due_records", "Records that were due by now.", run.head())
        yield _histogram(
            "lateness", "Of the server itself, for the first of the records that it found due.", run.lateness
        )

    def _sending(self, run: Run) -> Iterator[Metric]:
        stream = self._stream
        open_ones = [session for session in stream.sessions.values() if session.open]
        lag = max((run.head() - session.cursor + 1 for session in open_ones), default=0)
        buffered = sum(session.connection.buffered for session in open_ones)
        yield _gauge("clients", "Clients that are subscribed.", len(open_ones))
        yield _gauge("observers", "Observers that are subscribed.", len(stream.observers))
        yield _labelled(
            CounterMetricFamily("streamgauge_refusals", "Peers, or what they sent, refused.", labels=["cause"]),
            stream.refusals.counts,
        )
        yield _gauge("lag_records", "How far the client that is most behind is behind what is due.", lag)
        yield _gauge("buffered_bytes", "Bytes that wait in this process for clients to read.", buffered)
        yield _counter("sent_records", "Records handed to clients.", stream.delivered)
        yield _counter("sent_bytes", "Bytes of records handed to clients.", stream.sent_bytes)

    @staticmethod
    def _books(run: Run) -> Iterator[Metric]:
        clients = run.book.clients.values()
        receipted = sum(len(blocks) for client in clients for blocks in client.receipts.values())
        mismatched = sum(len(client.mismatched) for client in clients)
        yield _labelled(
            CounterMetricFamily("streamgauge_receipts", "Receipts in the ledger, by their digest.", labels=["digest"]),
            {"matched": receipted - mismatched, "mismatched": mismatched},
        )
        gone = Counter(client.left for client in clients if client.left is not None)
        yield _labelled(
            GaugeMetricFamily("streamgauge_gone_clients", "Clients of the run that are gone.", labels=["cause"]),
            {cause: gone[cause] for cause in get_args(ledger.Cause)},
        )
        yield _counter("subscriptions", "Subscriptions to the run, those of who came back too.", run.book.fence)
        writer = run.ledger
        yield _counter("ledger_lines", "Lines that this server wrote to the ledger.", writer.lines)
        yield _gauge("ledger_writable", "1 while the ledger can be written and synced.", writer.writable)
        yield _gauge("ledger_waiting_lines", "Lines that a disk that refuses keeps waiting.", writer.waiting)
        yield _histogram("ledger_sync_duration", "What forcing the ledger to disk took.", writer.syncs)


def _gauge(name: str, meaning: str, value: float) -> Metric:
    return GaugeMetricFamily(f"streamgauge_{name}", meaning, float(value))


def _counter(name: str, meaning: str, value: float) -> Metric:
    return CounterMetricFamily(f"streamgauge_{name}", meaning, float(value))


def _labelled(family: GaugeMetricFamily | CounterMetricFamily, values: Mapping[str, float]) -> Metric:
    for label, value in values.items():
        family.add_metric([label], float(value))
    return family


def _histogram(name: str, meaning: str, histogram: Histogram) -> Metric:
    # The thread that syncs the ledger may be counting.
    counted = Histogram()
    counted.merge(histogram)
    counts = zip(BOUNDS_NS, counted.up_to(BOUNDS_NS), strict=True)
    buckets = [*((f"{bound / 1e9:.12g}", float(count)) for bound, count in counts), ("+Inf", float(counted.count))]
    return HistogramMetricFamily(f"streamgauge_{name}_seconds", meaning, buckets, counted.total_ns() / 1e9)
