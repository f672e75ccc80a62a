"""Tests of services/collector/modest.py."""

import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from services.collector.modest import NICE, REST_SECONDS, WORK_SECONDS, Rest

SAYS = """
import os
from services.collector.modest import give_way
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

    rest = Rest(lambda: used, sleep)
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
