"""The benchmarks: figures are compared with those of an earlier run by their noise, and the new parts run."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import evidence, half_busy, report, stripped
from benchmarks.comparison import ASSUMED_NOISE, LEAST_NOISE, EarlierFigure, EarlierRun, compare, noise
from benchmarks.comparison import report as comparison_report
from benchmarks.measure import Figures, Metric
from benchmarks.peers import connecting
from benchmarks.profile import figures as profile_figures
from benchmarks.profile import suite as profile
from benchmarks.scale import two_servers
from tests.repo.repository import ROOT

SPEED = Metric("speed", "deliveries/s", "more")
DELAY = Metric("delay", "ms", "less")
VALUES = st.lists(st.floats(1, 1e6), min_size=3, max_size=9)


def before(metric: Metric, *values: float) -> EarlierRun:
    """Return an earlier run with one figure."""
    return EarlierRun("2026-11-29", [EarlierFigure(metric.name, metric.unit, metric.better, list(values))])


def now(metric: Metric, *values: float) -> Figures:
    """Return the figures of a run with one metric."""
    return Figures({metric: list(values)})


@pytest.mark.parametrize(
    ("metric", "earlier", "later", "is_named"),
    [
        (SPEED, (98, 100, 102), (70, 71, 72), True),
        (SPEED, (98, 100, 102), (130, 131, 132), False),
        (SPEED, (98, 100, 102), (95.5, 96, 97), False),
        (SPEED, (60, 100, 140), (70, 71, 72), False),
        (SPEED, (98, 100, 102), (40, 71, 110), False),
        (SPEED, (100,), (85,), False),
        (SPEED, (100,), (75,), True),
        (DELAY, (98, 100, 102), (130, 131, 132), True),
        (DELAY, (98, 100, 102), (70, 71, 72), False),
        (DELAY, (98, 100, 160), (130, 131, 132), False),
        (DELAY, (0,), (0,), False),
        (DELAY, (0,), (1,), True),
    ],
)
def test_a_figure_is_named_if_it_is_worse_than_its_noise(
    metric: Metric, earlier: tuple[float, ...], later: tuple[float, ...], is_named: bool
) -> None:
    """A figure is named if it became worse by more than the noise of the noisier run, and never if it is better."""
    found = compare(before(metric, *earlier), now(metric, *later))

    assert (is_named, 1) == (bool(found.falls), found.compared)


@given(VALUES, st.sampled_from([SPEED, DELAY]))
def test_a_run_is_not_worse_than_itself(values: list[float], metric: Metric) -> None:
    """Equal figures are never named, and their noise contains every round."""
    found = compare(before(metric, *values), now(metric, *values))
    worst = min(values) if metric.better == "more" else max(values)

    assert [] == found.falls
    assert noise(values, metric.better) >= max(LEAST_NOISE, abs(worst - median(values)) / median(values) - 1e-9)


def test_few_rounds_have_the_assumed_noise() -> None:
    """One or two rounds say nothing of a figure's noise."""
    assert [ASSUMED_NOISE] * 2 == [noise([5], "more"), noise([5, 9], "less")]


def test_the_comparison_names_figure_noise_conditions_and_figures_of_one_run() -> None:
    """The report names every fallen figure with both medians, other conditions, and figures without a counterpart."""
    earlier = EarlierRun(
        "2026-11-29",
        [EarlierFigure("speed", "deliveries/s", "more", [100, 100, 101]), EarlierFigure("gone", "ms", "less", [1])],
        {"cores": "2"},
    )
    figures = Figures({SPEED: [50, 50, 51], DELAY: [1, 1, 1]})

    text = comparison_report(earlier, compare(earlier, figures), {"cores": "8"}, is_quick=True)

    assert [
        "compared with the run of 2026-11-29: 1 figures, 1 worse by more than their noise",
        "  speed: 100 → 50 deliveries/s, 50 % worse; its noise is 5 %",
        "  the runs now were shorter: a figure that contains a start is worse for that alone",
        "  other conditions: cores 2 → 8",
        "  only in this run: 1 figures, such as “delay”",
        "  only in the earlier run: 1 figures, such as “gone”",
    ] == text.splitlines()


def test_a_file_of_figures_is_read_as_an_earlier_run() -> None:
    """What ``--json`` writes is what ``--against`` reads."""
    written = report.as_json(now(SPEED, 1, 2, 3), "2026-11-29", profile={"servers": []})

    assert (before(SPEED, 1, 2, 3).figures, "2026-11-29") == (
        EarlierRun.of(written.encode()).figures,
        json.loads(written)["date"],
    )


def test_the_committed_figures_are_those_of_the_page() -> None:
    """``docs/performance.json`` has every figure of the page's table, of the same run."""
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    rows = [line.split(" | ")[0].removeprefix("| ") for line in page.split("<!-- measured: ")[1].splitlines()]
    run = EarlierRun.of((ROOT / "docs" / "performance.json").read_bytes())

    assert [row for row in rows if row in {figure.name for figure in run.figures}] == [
        figure.name for figure in run.figures
    ]
    assert run.date in page


def test_connections_are_opened_subscribed_and_ended(tmp_path: Path) -> None:
    """The server's time for a connection is measured for one that is closed and one that is cut off."""
    with connecting.own_server(tmp_path) as server:
        times = [connecting.seconds_each(server, 16, is_cut=is_cut) for is_cut in (False, True)]

    assert all(0 < seconds < 1 for seconds in times)


def test_a_run_is_measured_without_its_evidence(tmp_path: Path) -> None:
    """All records are logged with all evidence and without each part, and every part has a share."""
    figures = Figures()
    evidence.measure(figures, tmp_path, 10_000)

    assert {evidence.share(part) for part in stripped.PARTS} <= set(figures.values)
    assert all(values[0] > 0 for metric, values in figures.values.items() if metric.unit == "µs")


def test_two_servers_on_one_port_are_measured(tmp_path: Path) -> None:
    """Clients of two server processes on one port receive every record."""
    figures = Figures()
    two_servers.measure(figures, tmp_path, (8, 2_000))

    assert figures.values[two_servers.ratio(8)][0] > 0


def test_the_latency_beside_a_busy_processor_is_measured_with_the_share_of_the_system(tmp_path: Path) -> None:
    """The latency of a run is measured together with that of a bare pair of processes beside it."""
    figures = Figures()
    half_busy.measure(figures, tmp_path / "run", 200)

    assert 0 <= figures.values[half_busy.OWN][0] <= 100
    assert (25, 0, 0) == (half_busy.own_share(4, 3), half_busy.own_share(3, 4), half_busy.own_share(0, 0))


def test_a_profile_for_which_the_system_has_too_few_files_is_skipped(tmp_path: Path) -> None:
    """A profile with more clients than a process may open files is named as skipped, and its figures are left out."""
    figures = Figures()
    profile_figures.add(figures, profile.measure(tmp_path, profile.FULL._replace(clients=10**9), names=["ours"]))

    assert {} == figures.values
    assert ["1,000,000,000 clients under the same cuts: ours"] == list(figures.skipped)
