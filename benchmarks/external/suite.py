"""The figures of a client of an external feed: what a message costs it, and how late it reads one."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.external import clients
from benchmarks.external.clients import Load
from benchmarks.measure import Figures, Metric
from benchmarks.peers.install import NotAvailable

FEED = "external feed, a record of 260 bytes a message"
FULL = f"{FEED}, as fast as it is taken"
OWN = Metric(f"{FULL}: client CPU per message: stamped, checked, logged, synced", "µs", "less", 8)
NPM = Metric(f"{FULL}: npm ws, parsed, number checked, a line appended", "µs", "less")
RATIO = Metric(f"{FULL}: ours ÷ npm ws", "×", "less", 1.5)
SENDER = Metric(f"{FULL}: sender CPU per message, not in the above", "µs", "less")
PACED = Metric(f"{FEED}, 10,000/s: client CPU per message", "µs", "less")
NPM_PACED = Metric(f"{FEED}, 10,000/s: npm ws", "µs", "less")
RATES = (2_000, 10_000)
"""Rates at which the latency is measured, messages per second."""
ABOVE_MS = {2_000: None, 10_000: 1.0}
"""Targets of the difference at each rate."""


def measure(figures: Figures, folder: Path, messages: int, product: Path | None = None) -> None:
    """Measure once: the own client and npm ``ws`` in turn, then the own client beside a bare reader.

    Args:
        figures: gets the values.
        folder: for the logs, which are removed.
        messages: of each run at full speed; a run with a rate has a third of them.
        product: a checkout with the client to measure, None for this one.
    """
    with TemporaryDirectory(dir=folder) as name:
        here = Path(name)
        for number, load in enumerate((Load(messages), Load(messages // 3, RATES[-1]))):
            own, npm = (PACED, NPM_PACED) if load.rate else (OWN, NPM)
            cost = clients.own_cost(here / f"own-{number}", load, product)
            figures.add(own, cost.client_us)
            if not load.rate:
                figures.add(SENDER, cost.sender_us)
            try:
                figures.add(npm, clients.npm_cost(here / f"npm-{number}", load).client_us)
            except NotAvailable as problem:
                figures.skip(npm.name, str(problem))
                continue
            if not load.rate:
                figures.add(RATIO, figures.values[OWN][-1] / figures.values[NPM][-1])
        for rate in RATES:
            found = clients.latencies(here / f"at-{rate}", Load(min(messages // 3, 4 * rate), rate), product)
            own_ms, bare_ms = (_p99(values) / 1e6 for values in found)
            what = f"{FEED}, {rate:,}/s: p99 from the time of sending"
            figures.add(Metric(f"{what}, by the client's log", "ms", "less"), own_ms)
            figures.add(Metric(f"{what}, by a bare reader beside it", "ms", "less"), bare_ms)
            figures.add(
                Metric(f"{what}, the client's above the bare reader's", "ms", "less", ABOVE_MS[rate]), own_ms - bare_ms
            )


def _p99(values: list[int]) -> int:
    return sorted(values)[len(values) * 99 // 100]
