"""Looks again and again at every run that is not closed: reads what is new of it, publishes it, speaks of it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import replace

from services.collector import keep
from services.collector.complaints import Complaints
from services.collector.follow import Follow
from services.collector.modest import Rest
from services.collector.publish import store
from services.collector.publish.metrics import Effort
from services.collector.publish.speaker import Speaker
from services.collector.publish.voice import Voice
from services.collector.reconcile.durations import Durations
from services.collector.reconcile.snapshot import Snapshot
from services.collector.scan import find_runs
from services.collector.settings import CollectorSettings
from services.contract.fields import run_order, utc_text
from services.runtime.clock import Clock

POLL_SECONDS, MOST_POLL_SECONDS = 0.1, 0.2
"""The more there is to look at, the longer the pause: looking takes a tenth of the time, a hundredth when idle."""
IDLE_POLL_SECONDS, MOST_IDLE_POLL_SECONDS = 0.2, 0.5
IDLE_AFTER_SECONDS = 10.0
SLICE_SECONDS = 0.5
"""So long one round may read, so that a backlog does not silence the page and the terminal."""
LAST_SLICE_SECONDS = 5.0
PUBLISH_SECONDS = 0.2
"""A block is in the summary this long after its newline, and 0.1 s for a poll: if the machine has room."""
PUBLISH_SHARE = 10
"""Making summaries takes at most one part in so many of the time."""
RECHECK_SLICE_SECONDS = 0.05
"""So long one round may read again what was read, which may be gigabytes."""
RECHECK_SECONDS = 2.0
"""How often what was read of an open run is held to what is there."""
RECHECK_SHARE = 10
IDLE_RECHECK_SHARE = 100
"""… which takes one part in so many of the time at most, less where nothing comes any more."""
PRUNE_SECONDS = 10.0
STUCK_SECONDS = 30.0
"""A round that takes longer hangs on its disk: the heartbeat stops until it comes back."""

log = logging.getLogger(__name__)


class Followed:
    """One run that is followed: its books, what was published of it, what was said."""

    def __init__(self, follow: Follow) -> None:
        self.follow = follow
        self.voice = Voice()
        self.published: Snapshot | None = None
        self.due_at = self.recheck_at = self.recheck_took = 0.0
        self.dirty = True
        self.told = False


class Collector:
    """The service without its page. `round` may run in a thread, one at a time."""

    def __init__(
        self,
        settings: CollectorSettings,
        clock: Clock,
        speaker: Speaker,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self.newest: Snapshot | None = None
        self.durations: Durations | None = None
        self.changed_at = self._round_at = now()
        self.effort = Effort(0, 0, self.changed_at)
        self._settings, self._clock, self._speaker, self._now = settings, clock, speaker, now
        self._rest = Rest()
        self._followed: dict[str, Followed] = {}
        self._closed: set[str] = set()
        self.complaints = Complaints(log)
        self._prune_at = 0.0

    def is_alive(self) -> bool:
        """Tell whether the rounds follow each other; a slow disk may hold one up for a while."""
        return self._now() - self._round_at < STUCK_SECONDS

    def _note_life(self) -> None:
        self._round_at = self._now()

    def round(self, *, last: bool = False) -> bool:
        """Look once at everything that is not closed; return whether more is waiting to be read."""
        self._note_life()
        runs = self._discover()
        self._prune()
        started, is_hindered = self._now(), False
        limit = started + (LAST_SLICE_SECONDS if last else SLICE_SECONDS)
        for run in sorted(self._followed, key=run_order):
            try:
                self._look(self._followed[run], newest=run == runs[-1], limit=limit, last=last)
            except OSError as problem:
                is_hindered = True
                self.complaints.say("cannot read or publish a run", run, problem)
        behind = any(one.follow.behind for one in self._followed.values())
        if not behind and not is_hindered:
            self.effort = replace(self.effort, caught_up_at=started)
        return behind

    def _discover(self) -> list[str]:
        runs = find_runs(self._settings.volumes)
        for run in runs:
            if run in self._followed or run in self._closed:
                continue
            known = store.load_snapshot(self._settings.volumes, run)
            if known is not None and known.summary.state == "closed":
                self._closed.add(run)
                if run == runs[-1]:
                    self.newest, self.durations = known, None
            else:
                self._followed[run] = Followed(Follow(self._settings.volumes, run, self._now(), self._rest))
        for run in set(self._followed) - set(runs):
            del self._followed[run]
        return runs

    def _look(self, one: Followed, *, newest: bool, limit: float, last: bool) -> None:
        follow = one.follow
        state, lines, size, was_behind = follow.books.state, follow.lines, follow.bytes, follow.behind

        def enough() -> bool:
            # Who is behind has no time for rests.
            if not was_behind:
                self._rest()
            return self._now() > limit

        if follow.read(self._now(), enough):
            self.changed_at, one.dirty = self._now(), True
        self.effort = self.effort.more(follow.lines - lines, follow.bytes - size)
        now = self._now()
        final = follow.is_over(now, followed=not newest, wall_us=self._clock.now_us()) or (
            last and follow.has_ended and not follow.behind
        )
        if not follow.behind and (final or now >= one.recheck_at):
            self._recheck(one, now, final=final)
        if follow.rereading:
            return
        turned = state != follow.books.state
        if final or last or turned or (one.dirty and now >= one.due_at):
            self._publish(one, newest=newest, final=final)
        if one.published is not None and not final:
            self._speak(one, now, last=last)

    def _recheck(self, one: Followed, now: float, *, final: bool) -> None:
        def enough() -> bool:
            self._note_life()
            # Before a run is closed all of it is held to what is there then.
            if not final:
                self._rest()
            return not final and self._now() - now > RECHECK_SLICE_SECONDS

        done = one.follow.recheck(enough, anew=final)
        one.recheck_took += self._now() - now
        if done:
            share = IDLE_RECHECK_SHARE if now - one.follow.changed_at > IDLE_AFTER_SECONDS else RECHECK_SHARE
            one.recheck_at = self._now() + max(RECHECK_SECONDS, share * one.recheck_took)
            one.recheck_took = 0.0

    def _publish(self, one: Followed, *, newest: bool, final: bool) -> None:
        started = self._now()
        made = one.follow.snapshot(self._settings.limits, final=final)
        # The files of a closed run are a function of its books, so it is dated by its end.
        closed = made.summary.state == "closed"
        dated = store.dated(made, one.follow.books.ended_at if closed else utc_text(self._clock.now_us()))
        if newest:
            self.newest, self.durations = dated, one.follow.durations
        if final and not one.told:
            # Before it is stored: a full disk must not silence the verdict.
            self._speaker.final(made)
            one.told = True
        if one.published is None or made.summary != one.published.summary:
            store.store(self._settings.volumes, dated, newest=newest)
        one.published, one.dirty = made, False
        finished = self._now()
        one.due_at = finished + max(PUBLISH_SECONDS - POLL_SECONDS / 4, PUBLISH_SHARE * (finished - started))
        if final:
            self._closed.add(one.follow.run)
            del self._followed[one.follow.run]

    def _speak(self, one: Followed, now: float, *, last: bool) -> None:
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
        closed = self._closed | (keep.summed_up(self._settings.volumes) - set(self._followed))
        self._closed -= keep.prune(self._settings.volumes, closed, self._settings.keep_runs, self.complaints)

    def pause_seconds(self, took: float) -> float:
        """Return how long to wait for the next round; the last one ``took`` so many seconds of processor time."""
        if not self._followed or self._now() - self.changed_at > IDLE_AFTER_SECONDS:
            return min(max(IDLE_POLL_SECONDS, 100 * took), MOST_IDLE_POLL_SECONDS)
        return min(max(POLL_SECONDS, 10 * took), MOST_POLL_SECONDS)
