"""Tests of services/collector/cpu_yield.py."""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from services.collector.cpu_yield import MOST_WORK_SECONDS, NICE, REST_SECONDS, WORK_SECONDS, CpuYield

SAYS = """
import os
from services.collector.cpu_yield import give_way
give_way()
give_way()
print(os.nice(0), open("/proc/self/autogroup").read() if os.path.exists("/proc/self/autogroup") else "")
"""


def test_long_work_is_done_with_rests() -> None:
    """Whoever asks all the time rests once in so much processor time, and not for having waited for a processor."""
    used, rests = 0.0, list[float]()

    def sleep(seconds: float) -> None:
        assert REST_SECONDS == seconds
        rests.append(used)

    rest = CpuYield(lambda: used, sleep)
    for _ in range(100):
        rest()

    assert [] == rests

    for _ in range(1000):
        used += WORK_SECONDS / 100
        rest()

    assert 9 <= len(rests) <= 10
    assert [WORK_SECONDS] * (len(rests) - 1) == pytest.approx([two - one for one, two in pairwise(rests)], rel=0.05)


@pytest.mark.parametrize("own_session", [False, True])
def test_the_collector_gives_way(own_session: bool) -> None:
    """Its niceness rises, once; that of its session too where it is its own, and a terminal's is left alone."""
    found = subprocess.run(
        [sys.executable, "-c", SAYS], capture_output=True, text=True, check=True, start_new_session=own_session
    ).stdout.split()

    assert max(NICE, os.nice(0)) == int(found[0])
    if found[1:] and own_session and os.access("/proc/self/autogroup", os.W_OK):
        assert str(NICE) == found[-1]
    elif found[1:]:
        assert Path("/proc/self/autogroup").read_text(encoding="ascii").split()[-1] == found[-1]


def test_what_is_late_is_done_without_rests() -> None:
    """While something waits for this work no rest is taken."""
    used, rests, late = 0.0, list[float](), True
    rest = CpuYield(lambda: used, rests.append, is_late=lambda: late)
    for _ in range(100):
        used += WORK_SECONDS
        rest()

    assert [] == rests

    late = False
    rest()

    assert [REST_SECONDS] == rests


@pytest.mark.parametrize(("took", "work"), [(REST_SECONDS, 0.0), (0.003, 0.015), (1.0, MOST_WORK_SECONDS)])
def test_a_rest_that_others_made_long_counts_for_several(took: float, work: float) -> None:
    """On a busy machine a rest lasts long: so much more is done before the next, and no more than a bound."""
    used, now, rests = 0.0, 0.0, list[float]()

    def sleep(_: float) -> None:
        nonlocal now
        now += took
        rests.append(used)

    rest = CpuYield(lambda: used, sleep, now=lambda: now)
    while len(rests) < 2:
        used += WORK_SECONDS / 10
        rest()

    assert pytest.approx(work + WORK_SECONDS, rel=0.15) == rests[1] - rests[0]
