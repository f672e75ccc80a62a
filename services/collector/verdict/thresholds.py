"""Limits the operator sets, in k6's style, and how a run is held to them. Grammar: ``docs/thresholds.md``."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from services.collector import formatting
from services.collector.results.client_result import ClientResult
from services.collector.results.totals import catch_up
from services.collector.verdict.unknown import unknown_figures
from services.contract.histogram import Histogram
from services.contract.summary import Threshold, Totals
from services.runtime.cli import suggest

DURATIONS = ("latency", "transit", "block", "spread")
"""Of these there are many, so a threshold says which: ``latency.p99``."""
LONGEST = ("silence",)
"""Durations of which each client has one, so nothing is left to say."""
CATCH_UP = "catch_up"
"""A figure, how many messages were caught up; and with a statistic a duration, how late these were."""
COUNTS = ("missing", "duplicates", "reordered", "corrupt", "residual", "received", "blocks")
CLIENTS = "clients"
RATE = "rate"
OF_THE_RUN = ("spread", CLIENTS)
"""What no single client has: the spread lies between them."""


@dataclass(frozen=True)
class Measurements:
    """What was measured, by name of metric; what does not apply is absent or None.

    Attributes:
        durations: of each of `DURATIONS`, and of `CATCH_UP`.
        figures: counts, and the rate in messages per second.
    """

    durations: Mapping[str, Histogram]
    figures: Mapping[str, float | int | None]


def of_run(every: Sequence[ClientResult], totals: Totals, durations: Mapping[str, Histogram]) -> Measurements:
    """Return the measures of a run as a whole."""
    figures: dict[str, float | int | None] = {name: getattr(totals, name) for name in COUNTS}
    figures |= {CATCH_UP: totals.catch_up, CLIENTS: len(every), RATE: totals.messages_per_second}
    figures["silence"] = max((account.silence.ns for account in every if account.silence), default=None)
    if totals.catch_up is None:
        durations = {name: some for name, some in durations.items() if name != CATCH_UP}
    return Measurements(durations, figures | dict.fromkeys(unknown_figures(every) & figures.keys()))


def of_client(account: ClientResult, *, scheduled: bool) -> Measurements:
    """Return the measures of one client; without a schedule nothing is due, so nothing is late."""
    log = account.log
    durations = {"transit": log.times.transit, "block": log.times.durations}
    if scheduled:
        durations["latency"] = log.times.latency
    caught_up = catch_up(account, scheduled=scheduled)
    if caught_up is not None:
        durations[CATCH_UP] = log.times.catch_up.histogram if caught_up else Histogram()
    figures: dict[str, float | int | None] = {
        "missing": account.missing_count,
        "duplicates": account.duplicates,
        "reordered": account.reordered,
        "corrupt": len(log.corrupt),
        "residual": account.residual,
        "received": account.received,
        "blocks": log.blocks.count,
        CATCH_UP: caught_up,
        RATE: _rate(account),
        "silence": account.silence.ns if account.silence else None,
    }
    return Measurements(durations, figures | dict.fromkeys(unknown_figures([account]) & figures.keys()))


def _rate(account: ClientResult) -> float | None:
    first_us, last_us = account.log.times.first_us, account.log.times.last_us
    if first_us is None or last_us is None or last_us <= first_us:
        return None
    return account.received * 1e6 / (last_us - first_us)


EVERY = "*"
"""Stands for each client of the run: the one that is worst decides."""
OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


def judge(
    limits: Sequence[ThresholdLimit], run: Measurements, clients: Mapping[str, Measurements], *, final: bool
) -> list[Threshold]:
    """Hold a run to its limits, in their order; the arguments are those of `ThresholdLimit.judge`."""
    return [limit.judge(run, clients, final=final) for limit in limits]


@dataclass(frozen=True)
class ThresholdLimit:
    """One threshold.

    Attributes:
        expression: as the operator wrote it, without spaces.
        metric: what is measured.
        client: of which client; `EVERY` for each of them, None for the run as a whole.
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
        """Compare with what was measured. What could not be measured does not hold; an open run is not judged.

        Args:
            run: of all clients together.
            clients: of each, by name.
            final: nothing will be added any more, so there is an answer.
        """
        client, value = self._measured(run, clients)
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
        every = [(name, self._read(of_client)) for name, of_client in clients.items()]
        return max(every, key=lambda one: self._excess(one[1]), default=(None, None))

    def _read(self, measures: Measurements) -> float | int | None:
        if self.statistic is None:
            return measures.figures.get(self.metric)
        histogram = measures.durations.get(self.metric)
        if histogram is None:
            return None
        if self.metric == CATCH_UP and not histogram.count:
            # Nothing was caught up, so nothing was caught up later than any limit says.
            return 0
        if isinstance(self.statistic, float):
            return histogram.percentile(self.statistic)
        return {"min": histogram.min, "avg": histogram.mean(), "max": histogram.max}[self.statistic]

    def _excess(self, value: float | None) -> float:
        """Return how far a value is on the wrong side of the bound: of several clients the greatest is the worst."""
        if value is None:
            return float("inf")
        over = value - self.bound
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
