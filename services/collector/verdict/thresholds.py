"""Limits that the operator sets, in k6's style: the measurements that they refer to, and their evaluation.

Grammar and names of the metrics: ``docs/guides/thresholds.md``.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from services.collector import formatting
from services.collector.evidence.sparse_histogram import SparseHistogram
from services.collector.results.client_result import ClientResult
from services.collector.results.run_result import RunResult
from services.contract.summary import Threshold, Totals
from services.runtime.cli import suggest

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

EVERY = "*"
"""In place of a client's name: each client of the run; the worst one decides."""
OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


@dataclass(frozen=True)
class Measurements:
    """Measured values by name of metric; those that do not apply are absent or None.

    Attributes:
        durations: of each of `DURATIONS`, and of `CATCH_UP`.
        figures: counts, and the rate in messages per second.
    """

    durations: Mapping[str, SparseHistogram]
    figures: Mapping[str, float | int | None]


@dataclass(frozen=True)
class ThresholdLimit:
    """One threshold.

    Attributes:
        expression: as the operator wrote it, without spaces.
        metric: its name.
        client: the client that it is measured at; `EVERY` for each of them, None for the run as a whole.
        statistic: ``min``, ``avg``, ``max`` or a percentile as its number; None where the metric is one figure.
        relation: how it has to compare with ``bound``, which is in nanoseconds for a duration.
    """

    expression: str
    metric: str
    client: str | None
    statistic: str | float | None
    relation: str
    bound: float

    def judge(self, run: Measurements, clients: Mapping[str, Measurements], *, final: bool) -> Threshold:
        """Evaluate the threshold. It does not hold where its metric was not measured; an open run is not judged.

        Args:
            run: of all clients together.
            clients: of each, by name.
            final: nothing will be added any more, so there is an answer.
        """
        client, value = self._measured(run, clients)
        # A limit on latency at RATE=0, or for a misspelt client, must not pass unseen.
        holds = value is not None and OPERATORS[self.relation](value, self.bound)
        return Threshold(
            expression=self.expression,
            ok=holds if final else None,
            measured=value,
            client=client,
            detail=self._detail(client, value, clients),
        )

    def _measured(
        self, run: Measurements, clients: Mapping[str, Measurements]
    ) -> tuple[str | None, float | int | None]:
        if self.client is None:
            return None, self._read(run)
        if self.client != EVERY:
            return self.client, self._read(clients[self.client]) if self.client in clients else None
        values = [(name, self._read(measured)) for name, measured in clients.items()]
        return max(values, key=lambda pair: self._excess(pair[1]), default=(None, None))

    def _read(self, measures: Measurements) -> float | int | None:
        if self.statistic is None:
            return measures.figures.get(self.metric)
        histogram = measures.durations.get(self.metric)
        if histogram is None:
            return None
        if self.metric == CATCH_UP and not histogram.count:
            # Nothing was caught up, so no catch-up was later than any limit.
            return 0
        if isinstance(self.statistic, float):
            return histogram.percentile(self.statistic)
        return {"min": histogram.min, "avg": histogram.mean(), "max": histogram.max}[self.statistic]

    def _excess(self, value: float | None) -> float:
        """Return how far a value is on the wrong side of the bound; the greatest excess is the worst."""
        if value is None:
            # A client that measured nothing is the worst one, so that it is the one that is named.
            return float("inf")
        over = value - self.bound
        # For `!=` the value next to the bound is the worst.
        return {"<": over, "<=": over, ">": -over, ">=": -over, "==": abs(over), "!=": -abs(over)}[self.relation]

    def _detail(self, client: str | None, value: float | None, clients: Mapping[str, Measurements]) -> str:
        if value is not None:
            return f"measured {self._text(value)}" + (f" by {client}" if self.client == EVERY else "")
        if self.client in (None, EVERY):
            return "not measured in this run" + (f" by {client}" if client else "")
        if self.client in clients:
            return f"not measured by {client}"
        hint = suggest(client or "", clients)
        return f"not measured: there is no {client} in this run" + (hint and f"; {hint}")

    def _text(self, value: float) -> str:
        if self.statistic is not None or self.metric in LONGEST:
            return formatting.duration(value)
        return formatting.rate(value) if self.metric == RATE else formatting.number(value)


def measure_run(result: RunResult, totals: Totals) -> Measurements:
    """Return the measurements of a run as a whole."""
    figures: dict[str, float | int | None] = {name: getattr(totals, name) for name in COUNTS}
    figures |= {CATCH_UP: totals.catch_up, CLIENTS: len(result.clients), RATE: totals.messages_per_second}
    figures["silence"] = max((client.silence.ns for client in result.clients if client.silence), default=None)
    durations = result.durations.by_name()
    # Absent means not measured. An empty histogram means that nothing was caught up, and then every limit holds.
    if totals.catch_up is None:
        del durations[CATCH_UP]
    return Measurements(durations, figures)


def measure_client(client: ClientResult) -> Measurements:
    """Return the measurements of one client."""
    durations = {"latency": client.latency, "transit": client.transit, "block": client.block_duration}
    if client.catch_up is not None:
        durations[CATCH_UP] = client.catch_up
    figures: dict[str, float | int | None] = {name: getattr(client, name) for name in COUNTS}
    figures |= {CATCH_UP: client.catch_up.count if client.catch_up is not None else None, RATE: _client_rate(client)}
    figures["silence"] = client.silence.ns if client.silence else None
    return Measurements(durations, figures)


def judge(
    limits: Sequence[ThresholdLimit], run: Measurements, clients: Mapping[str, Measurements], *, final: bool
) -> list[Threshold]:
    """Check a run against its limits, in their order; the arguments are those of `ThresholdLimit.judge`."""
    return [limit.judge(run, clients, final=final) for limit in limits]


def _client_rate(client: ClientResult) -> float | None:
    if client.first_us is None or client.last_us is None or client.last_us <= client.first_us:
        return None
    return client.received * 1e6 / (client.last_us - client.first_us)
