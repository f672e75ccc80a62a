"""What the server tells Prometheus: read from the state when asked, counted nowhere twice."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from services.server.stream import Stream


class ServerMetrics(Collector):
    """Metrics of one stream; no label has more values than there are states."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def text(self) -> str:
        """Return the metrics in Prometheus' text format."""
        return generate_latest(self._registry).decode()

    def collect(self) -> Iterator[Metric]:
        """Yield every metric with its value now."""
        stream, run = self._stream, self._stream.run
        yield InfoMetricFamily("streamgauge_run", "The run that is on.", {"run": run.name, "feed": run.feed.identity})
        state = GaugeMetricFamily("streamgauge_run_state", "1 for the state the run is in.", labels=["state"])
        for name in ("waiting", "running", "paused", "ended"):
            state.add_metric([name], float(run.state == name))
        yield state
        sessions = [session for session in stream.sessions.values() if session.open]
        lag = max((run.head() - session.cursor + 1 for session in sessions), default=0)
        lateness = run.lateness.percentile(99)
        for name, text, value in (
            ("streamgauge_clients", "Clients that are subscribed.", len(sessions)),
            ("streamgauge_observers", "Observers that are subscribed.", len(stream.observers)),
            ("streamgauge_head_records", "The last seq that is due.", run.head()),
            ("streamgauge_total_records", "The length of the run.", run.book.total),
            ("streamgauge_lag_records", "How far the client that is most behind is behind the head.", lag),
            ("streamgauge_lateness_seconds", "How late the server itself is, 99th percentile.", (lateness or 0) / 1e9),
            ("streamgauge_ledger_writable", "1 while the ledger can be written.", run.ledger.writable),
        ):
            yield GaugeMetricFamily(name, text, float(value))
        for name, text, value in (
            ("streamgauge_sent_records", "Records handed to clients.", stream.delivered),
            ("streamgauge_sent_bytes", "Bytes of records handed to clients.", stream.sent_bytes),
            ("streamgauge_ledger_lines", "Lines written to the ledger of the run.", run.ledger.lines),
        ):
            yield CounterMetricFamily(name, text, float(value))
