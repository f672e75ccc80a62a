"""Tests of services/collector/cpu_yield.py."""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from services.collector.cpu_yield import POLICY, CpuBudget, CpuYield, no_yield

LOWERS_PRIORITY = """
import os
from services.collector.cpu_yield import lower_priority
lower_priority()
lower_priority()
print(os.nice(0), open("/proc/self/autogroup").read() if os.path.exists("/proc/self/autogroup") else "")
"""


def test_long_work_is_interrupted_by_sleeps() -> None:
    """A regular caller sleeps once per 0.5 ms of processor time, and not for elapsed time alone."""
    used, sleeps = 0.0, list[float]()

    def sleep(seconds: float) -> None:
        assert POLICY.sleep_seconds == seconds
        sleeps.append(used)

    yield_cpu = CpuYield(used=lambda: used, sleep=sleep)
    for _ in range(100):
        yield_cpu()

    assert [] == sleeps

    for _ in range(1000):
        used += POLICY.work_seconds / 100
        yield_cpu()

    assert 9 <= len(sleeps) <= 10
    assert [POLICY.work_seconds] * (len(sleeps) - 1) == pytest.approx(
        [two - one for one, two in pairwise(sleeps)], rel=0.05
    )


@pytest.mark.parametrize("own_session", [False, True])
def test_the_priority_is_lowered_once(own_session: bool) -> None:
    """The niceness rises once, and that of the session if the process leads it; a terminal's session is unchanged."""
    printed = subprocess.run(
        [sys.executable, "-c", LOWERS_PRIORITY],
        capture_output=True,
        text=True,
        check=True,
        start_new_session=own_session,
    ).stdout.split()

    assert max(POLICY.niceness, os.nice(0)) == int(printed[0])
    if printed[1:] and own_session and os.access("/proc/self/autogroup", os.W_OK):
        assert str(POLICY.niceness) == printed[-1]
    elif printed[1:]:
        assert Path("/proc/self/autogroup").read_text(encoding="ascii").split()[-1] == printed[-1]


def test_urgent_work_is_not_interrupted() -> None:
    """There are no sleeps while something is urgent."""
    used, sleeps, is_urgent = 0.0, list[float](), True
    yield_cpu = CpuYield(used=lambda: used, sleep=sleeps.append, is_urgent=lambda: is_urgent)
    for _ in range(100):
        used += POLICY.work_seconds
        yield_cpu()

    assert [] == sleeps

    is_urgent = False
    yield_cpu()

    assert [POLICY.sleep_seconds] == sleeps


@pytest.mark.parametrize(("took", "work"), [(POLICY.sleep_seconds, 0.0), (0.003, 0.015), (1.0, 0.02)])
def test_a_sleep_that_took_long_counts_for_several(took: float, work: float) -> None:
    """After a sleep that took long, more work is done before the next one, up to a bound."""
    used, now, sleeps = 0.0, 0.0, list[float]()

    def sleep(_: float) -> None:
        nonlocal now
        now += took
        sleeps.append(used)

    yield_cpu = CpuYield(used=lambda: used, sleep=sleep, now=lambda: now)
    while len(sleeps) < 2:
        used += POLICY.work_seconds / 10
        yield_cpu()

    assert pytest.approx(work + POLICY.work_seconds, rel=0.15) == sleeps[1] - sleeps[0]


def test_repeated_work_gets_a_share_of_a_processor() -> None:
    """The pause is a multiple of the used processor time, within its bounds."""
    budget = CpuBudget(share=10, least_seconds=0.1, most_seconds=0.2)

    assert [0.1, 0.15, 0.2] == pytest.approx([budget.pause(used) for used in (0.001, 0.015, 1.0)])


def test_commands_do_not_yield(monkeypatch: pytest.MonkeyPatch) -> None:
    """The function for commands never sleeps."""
    monkeypatch.setattr("select.select", pytest.fail)

    no_yield()
