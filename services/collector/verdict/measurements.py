"""What thresholds can refer to: measurements of a run and of each client, named as in ``docs/guides/thresholds.md``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.collector.results.client_result import ClientResult
from services.collector.results.run_result import RunResult
from services.collector.results.sparse_histogram import SparseHistogram
from services.contract.summary import Totals

DURATIONS = ("latency", "transit", "block", "spread")
"""Metrics with many values, so a threshold names a statistic: ``latency.p99``."""
LONGEST = ("silence",)
"""Durations with a single value for each client, so a threshold names no statistic."""
CATCH_UP = "catch_up"
"""A count, how many messages were caught up; and with a statistic a duration, how late these were."""
COUNTS = ("missing", "duplicates", "reordered", "corrupt", "residual", "received", "blocks")
CLIENTS = "clients"
RATE = "rate"
OF_THE_RUN = ("spread", CLIENTS)
"""Metrics that no single client has: the spread lies between clients."""


@dataclass(frozen=True)
class Measurements:
    """Measured values by name of metric; those that do not apply are absent or None.

    Attributes:
        durations: of each of `DURATIONS`, and of `CATCH_UP`.
        figures: counts, and the rate in messages per second.
    """

    durations: Mapping[str, SparseHistogram]
    figures: Mapping[str, float | int | None]


def of_run(result: RunResult, totals: Totals) -> Measurements:
    """Return the measurements of a run as a whole."""
    figures: dict[str, float | int | None] = {name: getattr(totals, name) for name in COUNTS}
    figures |= {CATCH_UP: totals.catch_up, CLIENTS: len(result.clients), RATE: totals.messages_per_second}
    figures["silence"] = max((client.silence.ns for client in result.clients if client.silence), default=None)
    durations = result.durations.by_name()
    # Absent means not measured. An empty histogram means that nothing was caught up, and then every limit holds.
    if totals.catch_up is None:
        del durations[CATCH_UP]
    return Measurements(durations, figures)


def of_client(client: ClientResult) -> Measurements:
    """Return the measurements of one client."""
    durations = {"latency": client.latency, "transit": client.transit, "block": client.block_duration}
    if client.catch_up is not None:
        durations[CATCH_UP] = client.catch_up
    figures: dict[str, float | int | None] = {name: getattr(client, name) for name in COUNTS}
    figures |= {CATCH_UP: client.catch_up.count if client.catch_up is not None else None, RATE: _rate(client)}
    figures["silence"] = client.silence.ns if client.silence else None
    return Measurements(durations, figures)


def _rate(client: ClientResult) -> float | None:
    if client.first_us is None or client.last_us is None or client.last_us <= client.first_us:
        return None
    return client.received * 1e6 / (client.last_us - client.first_us)
