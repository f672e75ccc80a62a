"""What thresholds can be set on: the durations and figures of a run, and those of each of its clients."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.collector.results.client_result import Account
from services.collector.results.totals import catch_up
from services.collector.verdict.unknown import unknown_figures
from services.contract.histogram import Histogram
from services.contract.summary import Totals

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
class Measures:
    """What was measured, by name of metric; what does not apply is absent or None.

    Attributes:
        durations: of each of `DURATIONS`, and of `CATCH_UP`.
        figures: counts, and the rate in messages per second.
    """

    durations: Mapping[str, Histogram]
    figures: Mapping[str, float | int | None]


def of_run(every: Sequence[Account], totals: Totals, durations: Mapping[str, Histogram]) -> Measures:
    """Return the measures of a run as a whole."""
    figures: dict[str, float | int | None] = {name: getattr(totals, name) for name in COUNTS}
    figures |= {CATCH_UP: totals.catch_up, CLIENTS: len(every), RATE: totals.messages_per_second}
    figures["silence"] = max((account.silence.ns for account in every if account.silence), default=None)
    if totals.catch_up is None:
        durations = {name: some for name, some in durations.items() if name != CATCH_UP}
    return Measures(durations, figures | dict.fromkeys(unknown_figures(every) & figures.keys()))


def of_client(account: Account, *, scheduled: bool) -> Measures:
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
    return Measures(durations, figures | dict.fromkeys(unknown_figures([account]) & figures.keys()))


def _rate(account: Account) -> float | None:
    first_us, last_us = account.log.times.first_us, account.log.times.last_us
    if first_us is None or last_us is None or last_us <= first_us:
        return None
    return account.received * 1e6 / (last_us - first_us)
