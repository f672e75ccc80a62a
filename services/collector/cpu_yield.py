"""The collector gives way: an instrument must not slow down what it measures.

What it has no time for now still lies in the files, and is read the moment there is room.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

NICE = 5
"""A quarter of a processor at most, wherever server and clients want all of it: with less, damage is named too late."""
WORK_SECONDS, REST_SECONDS = 0.0005, 0.0001
"""So long it has a processor in a row, and so long it rests then."""
LONG_REST_SECONDS, MOST_WORK_SECONDS = 0.002, 0.02
"""After a rest that lasted so long, because others had the processor, so much is done at most before the next one."""
_AUTOGROUP = Path("/proc/self/autogroup")


def give_way() -> None:
    """Let every other process go first, as far as the system lets one say so."""
    os.nice(max(0, NICE - os.nice(0)))
    # Linux may weigh sessions before it weighs their processes; but a terminal's session is not ours to weigh.
    if os.getsid(0) == os.getpid():
        with suppress(OSError):
            _AUTOGROUP.write_text(str(NICE), encoding="ascii")


def _doze(seconds: float) -> None:
    # Not by time.sleep, which waits for a moment: a library that is preloaded to set a process's clock, as in
    # chaos, takes that for one of the clock it has set, and sleeps for an hour.
    select.select((), (), (), seconds)


class CpuYield:
    """Called again and again in the course of long work, rests now and then.

    Niceness alone does not do: Linux may leave whoever has a processor there until its next tick, milliseconds later,
    although somebody more important has woken up meanwhile. By processor time: who hardly gets any needs no rest.

    Args:
        used: the processor time used so far, in seconds.
        sleep: sleeps for so many seconds.
        is_late: tells whether there is no time for rests. On a busy machine a process that slept for a moment gets a
            processor again only tens of milliseconds later.
        now: monotonic seconds.
    """

    def __init__(
        self,
        used: Callable[[], float] = time.process_time,
        sleep: Callable[[float], None] = _doze,
        is_late: Callable[[], bool] = lambda: False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._used, self._sleep, self._is_late, self._now = used, sleep, is_late, now
        self._rested_at = used()

    def __call__(self) -> None:
        """Rest for a moment, if since the last time enough was done and nothing is late."""
        if self._used() - self._rested_at >= WORK_SECONDS and not self._is_late():
            began = self._now()
            self._sleep(REST_SECONDS)
            took = self._now() - began
            # Others have had the processor for longer than was asked: that counts for the rests to come.
            earned = min(took * WORK_SECONDS / REST_SECONDS, MOST_WORK_SECONDS) if took >= LONG_REST_SECONDS else 0.0
            self._rested_at = self._used() + earned
