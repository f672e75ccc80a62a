"""Looks again and again at every run that is not closed: reads what is new of it, publishes it, speaks of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from services.collector import retention
from services.collector.cpu_yield import CpuYield
from services.collector.open_run import OpenRun
from services.collector.publish.files import run_files
from services.collector.publish.terminal.printer import ProgressTimer, TerminalPrinter
from services.collector.publish.web.prometheus import CollectorEffort
from services.collector.publish_times import PublishTimes
from services.collector.results.run_durations import RunDurations
from services.collector.scan import find_runs
from services.collector.settings import CollectorSettings
from services.collector.verdict.snapshot import Snapshot
from services.contract.scalars import run_order, utc_text
from services.runtime.clock import Clock
from services.runtime.jsonlogs import ErrorLog

POLL_SECONDS, MOST_POLL_SECONDS = 0.1, 0.2
"""The more there is to look at, the longer the pause: looking takes a tenth of the time, a hundredth when idle."""
IDLE_POLL_SECONDS, MOST_IDLE_POLL_SECONDS = 0.2, 0.5
IDLE_AFTER_SECONDS = 10.0
SLICE_SECONDS = 0.5
"""So long one round may read, so that a backlog does not silence the page and the terminal."""
LAST_SLICE_SECONDS = 5.0
RECHECK_SLICE_SECONDS, MOST_RECHECK_SLICE_SECONDS = 0.05, 0.25
"""So much processor time, and so long, one round may read again what was read, which may be gigabytes."""
PRUNE_SECONDS = 10.0
STUCK_SECONDS = 30.0
"""A round that takes longer hangs on its disk: the heartbeat stops until it comes back."""

log = logging.getLogger(__name__)


class PolledRun:
    """One run that is followed: its books, what was published of it, what was said."""

    def __init__(self, follow: OpenRun, now: float) -> None:
        self.follow = follow
        self.voice = ProgressTimer()
        self.published: Snapshot | None = None
        self.due = PublishTimes(now)
        self.told = False


class Poller:
    """The service without its page. `round` may run in a thread, one at a time.

    Args:
        settings: what the operator chose.
        clock: the time of day.
        speaker: says how runs go.
        now: monotonic seconds.
        used: the processor time of the thread that calls, in seconds.
    """

    def __init__(
        self,
        settings: CollectorSettings,
        clock: Clock,
        speaker: TerminalPrinter,
        now: Callable[[], float] = time.monotonic,
        used: Callable[[], float] = time.thread_time,
    ) -> None:
        self.newest: Snapshot | None = None
        self.durations: RunDurations | None = None
        self.changed_at = self._round_at = now()
        self.effort = CollectorEffort(0, 0, self.changed_at)
        self._settings, self._clock, self._speaker, self._now, self._used = settings, clock, speaker, now, used
        self._rest = CpuYield(is_late=self._is_late)
        self._runs: list[str] = []
        self._followed: dict[str, PolledRun] = {}
        self._closed: set[str] = set()
        self.complaints = ErrorLog(log)
        self._prune_at = 0.0

    def is_alive(self) -> bool:
        """Tell whether the rounds follow each other; a slow disk may hold one up for a while."""
        return self._now() - self._round_at < STUCK_SECONDS

    def _note_life(self) -> None:
        self._round_at = self._now()

    def _is_late(self) -> bool:
        now = self._now()
        return any(one.due.is_late(now) for one in self._followed.values())

    def round(self, *, last: bool = False) -> bool:
        """Look once at everything that is not closed; return whether more is waiting to be read."""
        self._note_life()
        is_hindered = not self._tried("cannot look for runs", "", self._discover)
        is_hindered |= not self._tried("cannot remove old summaries", "", self._prune)
        started = self._now()
        limit = started + (LAST_SLICE_SECONDS if last else SLICE_SECONDS)
        for run in sorted(self._followed, key=run_order):
            look = partial(self._look, self._followed[run], newest=run == self._runs[-1], limit=limit, last=last)
            is_hindered |= not self._tried("cannot read or publish a run", run, look)
        behind = any(one.follow.behind for one in self._followed.values())
        if not behind and not is_hindered:
            self.effort = replace(self.effort, caught_up_at=started)
        return behind

    def _tried(self, what: str, run: str, step: Callable[[], None]) -> bool:
        """Do one step; return whether it succeeded. What one run's files cause must not end the others' following."""
        try:
            step()
        except Exception as problem:  # noqa: BLE001
            self.complaints.report(what, run, problem)
            return False
        return True

    def _discover(self) -> None:
        runs = self._runs = find_runs(self._settings.volumes)
        for run in runs:
            if run in self._followed or run in self._closed:
                continue
            known = run_files.load_snapshot(self._settings.volumes, run)
            if known is not None and known.summary.state == "closed":
                self._closed.add(run)
                if run == runs[-1]:
                    self.newest, self.durations = known, None
            else:
                now = self._now()
                self._followed[run] = PolledRun(OpenRun(self._settings.volumes, run, now, self._rest), now)
        for run in set(self._followed) - set(runs):
            del self._followed[run]

    def _look(self, one: PolledRun, *, newest: bool, limit: float, last: bool) -> None:
        follow = one.follow
        state, lines, size, was_behind = follow.books.state, follow.lines, follow.bytes, follow.behind

        def enough() -> bool:
            # One that is behind has no time for rests.
            if not was_behind:
                self._rest()
            return self._now() > limit

        if follow.read(self._now(), enough):
            self.changed_at = self._now()
            one.due.news(self.changed_at)
        self.effort = self.effort.more(follow.lines - lines, follow.bytes - size)
        now = self._now()
        final = follow.is_over(now, followed=not newest, wall_us=self._clock.now_us()) or (
            last and follow.has_ended and not follow.behind
        )
        if not follow.behind and (final or one.due.must_recheck(now)):
            self._recheck(one, now, final=final)
        if follow.rereading:
            return
        turned = state != follow.books.state
        if final or last or turned or one.due.must_publish(now):
            self._publish(one, newest=newest, final=final)
        if one.published is not None and not final:
            self._speak(one, now, last=last)

    def _recheck(self, one: PolledRun, now: float, *, final: bool) -> None:
        began = self._used()

        def enough() -> bool:
            self._note_life()
            # Before a run is closed all of it is held to what is there then.
            if final:
                return False
            self._rest()
            used, took = self._used() - began, self._now() - now
            return used > RECHECK_SLICE_SECONDS or took > MOST_RECHECK_SLICE_SECONDS

        done = one.follow.recheck(enough, anew=final)
        idle = now - one.follow.changed_at > IDLE_AFTER_SECONDS
        one.due.rechecked(self._now(), self._used() - began, done=done, idle=idle)

    def _publish(self, one: PolledRun, *, newest: bool, final: bool) -> None:
        began = self._used()
        made = one.follow.snapshot(self._settings.limits, final=final)
        # The files of a closed run are a function of its books, so it is dated by its end.
        closed = made.summary.state == "closed"
        dated = run_files.dated(made, one.follow.books.ended_at if closed else utc_text(self._clock.now_us()))
        if newest:
            self.newest, self.durations = dated, one.follow.durations
        if final and not one.told:
            # Before it is stored: a full disk must not silence the verdict.
            self._speaker.final(made)
            one.told = True
        if one.published is None or made.summary != one.published.summary:
            run_files.store(self._settings.volumes, dated, newest=newest)
        one.published = made
        one.due.published(self._now(), self._used() - began)
        if final:
            self._closed.add(one.follow.run)
            del self._followed[one.follow.run]

    def _speak(self, one: PolledRun, now: float, *, last: bool) -> None:
        made, follow = one.published, one.follow
        if made is None:
            return
        if last:
            if one.voice.has_spoken and made.summary.state not in ("opened", "waiting"):
                self._speaker.final(made)
        elif made.summary.state != "ended" and one.voice.is_due(made.summary, now, now - follow.changed_at):
            start_us = follow.elapsed_from_us
            elapsed = (self._clock.now_us() - start_us) / 1e6 if start_us is not None else None
            self._speaker.progress(made, elapsed, follow.rate())

    def _prune(self) -> None:
        if self._now() < self._prune_at:
            return
        self._prune_at = self._now() + PRUNE_SECONDS
        # A summary whose books are gone belongs to a closed run as well.
        closed = self._closed | (retention.summed_up(self._settings.volumes) - set(self._followed))
        self._closed -= retention.prune(self._settings.volumes, closed, self._settings.keep_runs, self.complaints)

    def pause_seconds(self, took: float) -> float:
        """Return how long to wait for the next round; the last one ``took`` so many seconds of processor time."""
        if self._is_late():
            return 0.0
        if not self._followed or self._now() - self.changed_at > IDLE_AFTER_SECONDS:
            return min(max(IDLE_POLL_SECONDS, 100 * took), MOST_IDLE_POLL_SECONDS)
        return min(max(POLL_SECONDS, 10 * took), MOST_POLL_SECONDS)
