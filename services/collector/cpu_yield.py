"""The collector's policy of yielding the processor: an instrument must not slow down the services that it measures.

All that the collector reads is in files, so work that it postpones is not lost. The policy has three parts; all of
their parameters are in `CpuPolicy`.

* Share. `lower_priority` sets a niceness, so that server and clients get most of a busy processor.
  Between containers niceness has no effect; there ``cpu_shares`` in the compose file has the same one.
* Timing. A share says how much of a processor a process gets, not when: the process that has one may keep it until the
  kernel's next tick, up to 4 ms, although a more important one has woken up. Therefore long work calls a `CpuYield`
  regularly, which sleeps 0.1 ms after every 0.5 ms of processor time.
* Budgets. Work that is repeated waits for a multiple of the processor time that it used the last time (`CpuBudget`).

While published numbers are late, or lines wait to be read, the sleeps are left out: a number has to be published within
2 s even beside a busy loop on every processor.

Scheduling classes do not replace the sleeps (measured on Linux 6.18, two cores). Between sessions and between
containers ``SCHED_IDLE`` has no effect, since there the groups compete; within a session it leaves 0.3 % beside a busy
loop, with gaps of 1.4 s. ``SCHED_BATCH`` does not let a waking process go first. ``cpu.idle`` of a cgroup needs a
privilege.
"""

from __future__ import annotations

import math
import os
import select
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_AUTOGROUP = Path("/proc/self/autogroup")


@dataclass(frozen=True)
class CpuBudget:
    """Keeps work that is repeated within a fraction of a processor.

    Counts processor time, not elapsed time: on a busy machine the same work takes many times as long, and a share of
    the elapsed time would let the published numbers grow old.

    Attributes:
        share: the work gets at most one part in ``share`` of a processor.
        least_seconds: the shortest pause.
        most_seconds: the longest pause, even if the work then takes more than its share.
    """

    share: int
    least_seconds: float
    most_seconds: float = math.inf

    def pause(self, used_seconds: float) -> float:
        """Return the seconds to wait after work that used this processor time."""
        return min(max(self.least_seconds, self.share * used_seconds), self.most_seconds)


@dataclass(frozen=True)
class CpuPolicy:
    """All parameters of the policy; times are in seconds.

    Attributes:
        niceness: leaves a quarter of a processor where server and clients want all of it. With 10, damage was reported
            later than after 5 s beside a busy loop on each of two cores.
        work_seconds: processor time between two sleeps.
        sleep_seconds: duration of a sleep.
        long_sleep_seconds: a sleep that took this long shows that other processes had the processor meanwhile. Then
            more may be done before the next sleep, in proportion.
        most_work_seconds: upper bound of that.
        late_seconds: when something has waited this long to be published although its summary is due, do not sleep.
        summaries: a block is in the summary 0.2 s after its newline, plus a poll of 0.1 s, if the machine has room. A
            quarter of a poll less, or else every summary would come one poll later than intended.
        rechecks: how often the lines already read are compared with the files, which may be gigabytes.
        idle_rechecks: the same for a run to which nothing is added any more.
        events: view and chart data for the page's listeners.
        polls: how often the folders are looked at.
        idle_polls: the same while no run changes.
    """

    niceness: int = 5
    work_seconds: float = 0.0005
    sleep_seconds: float = 0.0001
    long_sleep_seconds: float = 0.002
    most_work_seconds: float = 0.02
    late_seconds: float = 0.5
    summaries: CpuBudget = CpuBudget(10, 0.175)
    rechecks: CpuBudget = CpuBudget(10, 2.0)
    idle_rechecks: CpuBudget = CpuBudget(100, 2.0)
    events: CpuBudget = CpuBudget(10, 0.0)
    polls: CpuBudget = CpuBudget(10, 0.1, 0.2)
    idle_polls: CpuBudget = CpuBudget(100, 0.2, 0.5)


POLICY = CpuPolicy()


def lower_priority(niceness: int = POLICY.niceness) -> None:
    """Raise the niceness of this process, and of its session, to at least this value.

    Call it before the first thread is started: a thread inherits the niceness of the one that starts it.
    """
    os.nice(max(0, niceness - os.nice(0)))
    # With autogrouping Linux weighs sessions against each other before it weighs the processes within one. Only change
    # the weight of a session that this process leads: a terminal's session belongs to the user.
    if os.getsid(0) == os.getpid():
        with suppress(OSError):
            _AUTOGROUP.write_text(str(niceness), encoding="ascii")


def no_yield() -> None:
    """Never yield: for callers that have the machine to themselves, such as the commands."""


def _sleep(seconds: float) -> None:
    # Not time.sleep, which waits until an absolute time: under a preloaded library that changes the process's clock,
    # as the chaos tests use, it would sleep for as long as the clock was moved.
    select.select((), (), (), seconds)


class CpuYield:
    """Sleeps now and then when it is called regularly in the course of long work.

    Measures processor time, so a process that hardly gets a processor does not sleep in addition.

    Args:
        policy: how long to work and to sleep.
        used: returns the processor time used so far, in seconds.
        sleep: sleeps for a number of seconds.
        is_urgent: returns whether there is no time to sleep now. On a busy machine a process that slept 0.1 ms gets a
            processor again only tens of milliseconds later.
        now: returns monotonic seconds.
    """

    def __init__(
        self,
        policy: CpuPolicy = POLICY,
        used: Callable[[], float] = time.process_time,
        sleep: Callable[[float], None] = _sleep,
        is_urgent: Callable[[], bool] = lambda: False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy = policy
        self._used, self._sleep, self._is_urgent, self._now = used, sleep, is_urgent, now
        self._slept_at = used()

    def __call__(self) -> None:
        """Sleep if enough processor time was used since the last sleep and nothing is urgent."""
        policy = self._policy
        if self._used() - self._slept_at < policy.work_seconds or self._is_urgent():
            return
        began = self._now()
        self._sleep(policy.sleep_seconds)
        took = self._now() - began
        credit = 0.0
        if took >= policy.long_sleep_seconds:
            credit = min(took * policy.work_seconds / policy.sleep_seconds, policy.most_work_seconds)
        self._slept_at = self._used() + credit
