"""Adds the outcomes of the profile to the figures of a run: the project's server beside each other one."""

from __future__ import annotations

from benchmarks.measure import Figures, Metric
from benchmarks.profile.measurement import Outcome
from benchmarks.profile.servers import RECOVERY
from benchmarks.profile.suite import Results


def add(figures: Figures, results: Results) -> None:
    """Add what every server delivered and needed, and the comparison with the server that resumes clients, too."""
    what = f"{results.profile.clients:,} clients under the same cuts"
    for outcome in results.outcomes:
        _add_server(figures, what, outcome)
    outcomes = {outcome.server: outcome for outcome in results.outcomes}
    own = outcomes.get("ours")
    for title, outcome in outcomes.items():
        if own is not None and title.endswith(RECOVERY):
            _compare(figures, what, own, outcome)
    for name, reason in results.skipped.items():
        figures.skip(f"{what}: {name}", reason)


def _add_server(figures: Figures, what: str, outcome: Outcome) -> None:
    received = 100 * outcome.classes.received / outcome.expected
    # Of servers that lose what a client misses no more is expected.
    target = 100 if outcome.server == "ours" else None
    figures.add(Metric(f"{what}, {outcome.server}: received", "%", "more", target), received)
    figures.add(Metric(f"{what}, {outcome.server}: server CPU", "s", "less"), outcome.cpu_seconds)
    if outcome.replay.number:
        figures.add(_replay(what, outcome), outcome.replay.p99)


def _compare(figures: Figures, what: str, own: Outcome, other: Outcome) -> None:
    ratio = f"{what}: ours ÷ {other.server}"
    figures.add(Metric(f"{ratio}, server CPU", "×", "less", 1), own.cpu_seconds / other.cpu_seconds)
    if other.replay.p99:
        figures.add(Metric(f"{ratio}, p99 of the replay", "×", "less", 1), own.replay.p99 / other.replay.p99)


def _replay(what: str, outcome: Outcome) -> Metric:
    return Metric(f"{what}, {outcome.server}: p99 of the replay, from the return", "s", "less")
