"""The newest summary as Prometheus metrics. A bounded number of labels, however many clients there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily

from services.contract.summary import ClientSummary, Quantiles, RunState, Summary, Verdict

CONTENT_TYPE = CONTENT_TYPE_LATEST
MOST_CLIENTS = 200
OTHER = "other"

_TOTALS = {
    "expected": "Messages that the clients answer for.",
    "received": "Distinct messages logged.",
    "duplicates": "Messages received again.",
    "reordered": "Messages received out of order.",
    "corrupt": "Messages that failed their checksum in flight.",
    "residual": "Messages that no cause explains; not 0 means the books do not close.",
    "blocks": "Blocks logged.",
    "bytes": "Bytes of records logged.",
}
_QUANTILES = {"min": "0", "p50": "0.5", "p90": "0.9", "p95": "0.95", "p99": "0.99", "p99_9": "0.999", "max": "1"}
_PER_CLIENT = ("received", "missing", "duplicates", "blocks")


class _Shown:
    def __init__(self, made: Summary) -> None:
        self._made = made

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Return the metrics of the summary."""
        made = self._made
        for name, meaning in _TOTALS.items():
            yield GaugeMetricFamily(f"streamgauge_{name}", meaning, value=getattr(made.totals, name))
        yield _one_of("state", "State of the run.", get_args(RunState), made.state)
        yield _one_of("verdict", "Verdict on the run.", get_args(Verdict), made.verdict)
        missing = GaugeMetricFamily("streamgauge_missing", "Messages missing, by cause.", labels=["cause"])
        for cause in made.missing_by_cause.__struct_fields__:
            missing.add_metric([cause], getattr(made.missing_by_cause, cause))
        yield missing
        yield _quantiles("latency", "From due to received.", made.latency_ns)
        yield _quantiles("transit", "From sent to received.", made.transit_ns)
        yield _quantiles("spread", "From first to last client.", made.spread_ns)
        yield _quantiles("block_duration", "Time to receive a block.", made.block_duration_ns)
        for name in _PER_CLIENT:
            yield _per_client(name, made.clients)


def expose(made: Summary | None) -> bytes:
    """Return a summary in Prometheus' text format, nothing when there is none."""
    registry = CollectorRegistry(auto_describe=False)
    if made is not None:
        registry.register(_Shown(made))
    return generate_latest(registry)


def _one_of(name: str, meaning: str, choices: tuple[str, ...], chosen: str | None) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"streamgauge_{name}", f"{meaning} 1 is the one that holds.", labels=[name])
    for choice in choices:
        family.add_metric([choice], choice == chosen)
    return family


def _quantiles(name: str, meaning: str, quantiles: Quantiles) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"streamgauge_{name}_seconds", meaning, labels=["quantile"])
    for field, label in _QUANTILES.items():
        value = getattr(quantiles, field)
        if value is not None:
            family.add_metric([label], value / 1e9)
    return family


def _per_client(name: str, clients: list[ClientSummary]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"streamgauge_client_{name}", f"Of one client: {name}.", labels=["client"])
    for client in clients[:MOST_CLIENTS]:
        family.add_metric([client.client], getattr(client, name))
    if len(clients) > MOST_CLIENTS:
        family.add_metric([OTHER], sum(getattr(client, name) for client in clients[MOST_CLIENTS:]))
    return family
