"""The collector's poll: look at every run that is not closed, read its new lines, publish it and print its progress."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from services.collector.cpu_yield import POLICY, CpuPolicy, CpuYield
from services.collector.open_run import OpenRun
from services.collector.publish.files import run_files
from services.collector.publish.terminal.printer import TerminalPrinter
from services.collector.publish.terminal.progress import ProgressTimer
from services.collector.publish.web.self_metrics import CollectorEffort
from services.collector.results.run_result import RunDurations
from services.collector.scan import find_runs, newest_run
from services.collector.settings import CollectorSettings
from services.collector.verdict.snapshot import Snapshot
from services.contract.nodes import PulledRun
from services.contract.scalars import run_order, utc_text
from services.runtime.clock import Clock
from services.runtime.jsonlogs import ErrorLog

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PollLimits:
    """Bounds of one poll, all in seconds.

    Attributes:
        read: a poll reads for at most this long, so that a backlog does not hold up page and terminal.
        last_read: the same for the last poll before the process ends.
        recheck_cpu: processor time of one slice of a recheck.
        recheck: elapsed time of one slice of a recheck.
        prune: time between two looks for old summaries.
        idle: a run to which nothing was added for this long is looked at less often.
        nodes: a node that does not answer is waited for so long after the run is over.
        stuck: a poll that takes longer hangs on its disk: the heartbeat stops until it is over.
    """

    read: float = 0.5
    last_read: float = 5.0
    recheck_cpu: float = 0.05
    recheck: float = 0.25
    prune: float = 10.0
    idle: float = 10.0
    nodes: float = 30.0
    stuck: float = 30.0


class PublishTimes:
    """When the next summary of a run is due, and the next comparison of its files with the lines that were read. Pure.

    ``now`` is monotonic seconds, ``used`` seconds of processor time.
    """

    def __init__(self, now: float, policy: CpuPolicy = POLICY) -> None:
        """Begin with a run that was never published: a first summary is due at once."""
        self._policy = policy
        self._publish_at = self._recheck_at = self._recheck_used = 0.0
        self._changed_at: float | None = now

    def note_change(self, now: float) -> None:
        """Note that something was read that is not published yet."""
        # The oldest change counts: a later one must not make the numbers look recent.
        if self._changed_at is None:
            self._changed_at = now

    def must_publish(self, now: float) -> bool:
        """Return whether something changed and the next summary is due."""
        return self._changed_at is not None and now >= self._publish_at

    def note_published(self, now: float, used: float) -> None:
        """Note that everything read so far has been published, and the processor time which that used."""
        self._changed_at = None
        self._publish_at = now + self._policy.summaries.pause(used)

    def is_late(self, now: float) -> bool:
        """Return whether a change has waited too long, although its summary is due."""
        changed_at = self._changed_at
        return changed_at is not None and now >= self._publish_at and now - changed_at > self._policy.late_seconds

    def must_recheck(self, now: float) -> bool:
        """Return whether a comparison is due, or was begun and not finished."""
        return now >= self._recheck_at

    def note_recheck(self, now: float, used: float, *, is_done: bool, is_idle: bool) -> None:
        """Note a slice of a comparison.

        Args:
            now: the time at its end.
            used: the processor time of this slice.
            is_done: everything has been compared, so the next comparison starts from the beginning.
            is_idle: nothing was added to the run for a long time.
        """
        # All slices of one comparison count together, or else one of gigabytes would use more than its share.
        self._recheck_used += used
        if is_done:
            budget = self._policy.idle_rechecks if is_idle else self._policy.rechecks
            self._recheck_at = now + budget.pause(self._recheck_used)
            self._recheck_used = 0.0


class Pulls(Protocol):
    """Says how far the files of a run were pulled from other hosts; see `NodePulls`."""

    def complete_from(self, run: str) -> float:
        """Return since when every node is known to have given everything, monotonic seconds."""

    def is_settled(self, run: str) -> bool:
        """Return whether everything of a run that was over is here."""

    def seal(self, run: str, since: float) -> PulledRun:
        """Record how far a run was pulled that was over at a time."""

    def close(self, run: str) -> None:
        """Pull a run no longer."""


class PolledRun:
    """A run that is followed, with the state of its published files and printed lines.

    Attributes:
        over_since: since when its files say that it is over, monotonic seconds; None while it goes on.
        over_at: when that was last found although lines had come; the nodes have to be asked after it.
    """

    def __init__(self, run: OpenRun, now: float, policy: CpuPolicy) -> None:
        self.run = run
        self.times = PublishTimes(now, policy)
        self.progress = ProgressTimer()
        self.published: Snapshot | None = None
        self.is_verdict_printed = False
        self.over_since: float | None = None
        self.over_at = now


class Poller:
    """The service without its page. `poll` may run in a thread, one call at a time.

    Args:
        settings: the operator's settings.
        clock: the time of day.
        printer: prints progress and summaries.
        now: returns monotonic seconds.
        used: returns the processor time of the calling thread, in seconds.
        policy: how to yield the processor.
        limits: the bounds of one poll.
        pulls: the other hosts from which the files come, None if they are those of this one.

    Attributes:
        newest: the newest run as it was published last.
        durations: the histograms of this run, None for one that was closed before the collector started.
        effort: lines and bytes read so far.
        errors: the errors that were logged.
    """

    def __init__(
        self,
        settings: CollectorSettings,
        clock: Clock,
        printer: TerminalPrinter,
        now: Callable[[], float] = time.monotonic,
        used: Callable[[], float] = time.thread_time,
        policy: CpuPolicy = POLICY,
        limits: PollLimits = PollLimits(),
        pulls: Pulls | None = None,
    ) -> None:
        self.newest: Snapshot | None = None
        self.durations: RunDurations | None = None
        self.effort = CollectorEffort(0, 0, now())
        self.errors = ErrorLog(log)
        self._settings, self._clock, self._printer, self._now, self._used = settings, clock, printer, now, used
        self._policy, self._limits, self._pulls = policy, limits, pulls
        self._yield_cpu = CpuYield(policy, is_urgent=self._is_urgent)
        self._runs: list[str] = []
        self._newest_name: str | None = None
        self._open: dict[str, PolledRun] = {}
        self._closed: set[str] = set()
        self._incomplete: dict[str, float] = {}
        self._changed_at = self._alive_at = now()
        self._is_behind = False
        self._prune_at = 0.0

    def is_alive(self) -> bool:
        """Return whether polls make progress; a slow disk may delay one for a while."""
        return self._now() - self._alive_at < self._limits.stuck

    def pause_seconds(self, used: float) -> float:
        """Return how long to wait until the next poll; ``used`` is the processor seconds of the last one."""
        if self._is_late():
            return 0.0
        is_idle = not self._open or self._now() - self._changed_at > self._limits.idle
        return (self._policy.idle_polls if is_idle else self._policy.polls).pause(used)

    def poll(self, *, last: bool = False) -> bool:
        """Look once at every run that is not closed; return whether more lines are waiting to be read."""
        self._note_alive()
        has_failed = not self._try("cannot look for runs", "", self._find_runs)
        has_failed |= not self._try("cannot remove old summaries", "", self._prune)
        started = self._now()
        # The last poll is the last chance to read a backlog; the others must not hold up page and terminal.
        deadline = started + (self._limits.last_read if last else self._limits.read)
        for name in sorted(self._open, key=run_order):
            is_newest = name == self._newest_name
            look = partial(self._look, self._open[name], is_newest=is_newest, deadline=deadline, last=last)
            has_failed |= not self._try("cannot read or publish a run", name, look)
        self._is_behind = any(polled.run.is_behind for polled in self._open.values())
        # While a disk refuses, numbers are old although nothing is left to read.
        if not self._is_behind and not has_failed:
            self.effort = replace(self.effort, caught_up_at=started)
        return self._is_behind

    def _note_alive(self) -> None:
        self._alive_at = self._now()

    def _is_late(self) -> bool:
        now = self._now()
        return any(polled.times.is_late(now) for polled in self._open.values())

    def _is_urgent(self) -> bool:
        # While catching up, do not sleep between lines: published numbers would grow old.
        return self._is_behind or self._is_late()

    def _try(self, event: str, run: str, step: Callable[[], None]) -> bool:
        """Run a step; log an error and return whether there was none. One run's files must not stop the others."""
        try:
            step()
        except Exception as error:  # noqa: BLE001
            self.errors.report(event, run, error)
            return False
        return True

    def _find_runs(self) -> None:
        volumes, has_server = self._settings.volumes, self._settings.server_url is not None
        self._runs = find_runs(volumes)
        self._newest_name = newest_run(volumes, self._runs, has_server=has_server)
        for name in self._runs:
            if name in self._open or name in self._closed:
                continue
            published = run_files.load_snapshot(self._settings.volumes, name)
            if published is not None and self._pulls is not None and not self._pulls.is_settled(name):
                # Its verdict was that a node is missing. It is judged again, since that node may answer now.
                published = None
            # A closed run is neither read nor printed again after a restart: its verdict is final.
            if published is not None and published.summary.state == "closed":
                self._close(name)
                if name == self._newest_name:
                    self.newest, self.durations = published, None
            else:
                now = self._now()
                run = OpenRun(self._settings.volumes, name, now, self._yield_cpu)
                self._open[name] = PolledRun(run, now, self._policy)
        for name, closed_at in list(self._incomplete.items()):
            if self._pulls is not None and self._pulls.complete_from(name) > closed_at:
                # Files of a node have come that was missing: the verdict is given again.
                del self._incomplete[name]
                self._closed.discard(name)
        # An operator may remove the files of an open run by hand.
        for name in set(self._open) - set(self._runs):
            del self._open[name]

    def _look(self, polled: PolledRun, *, is_newest: bool, deadline: float, last: bool) -> None:
        run = polled.run
        state_before = run.evidence.state
        # Asked before the files are read: what was complete then is read now.
        complete_from = self._pulls.complete_from(run.run) if self._pulls is not None else None
        self._read(polled, deadline)
        now = self._now()
        is_over = run.is_over(now, has_successor=run.run != self._runs[-1], wall_us=self._clock.now_us()) or (
            # A collector that is stopped right after the end still gives the verdict, since all servers have ended or
            # are gone.
            last and run.has_ended and not run.is_behind
        )
        final = is_over if complete_from is None else self._may_close(polled, complete_from, now, is_over=is_over)
        if not run.is_behind and (final or polled.times.must_recheck(now)):
            self._recheck(polled, now, final=final)
        # The evidence has not reached its former state yet: a summary now would take back published numbers.
        if run.is_rereading:
            return
        if final or last or run.evidence.state != state_before or polled.times.must_publish(now):
            self._publish(polled, is_newest=is_newest, final=final)
        if not final:
            self._print_progress(polled, now, last=last)

    def _may_close(self, polled: PolledRun, complete_from: float, now: float, *, is_over: bool) -> bool:
        """Return whether the verdict of a pulled run can be given: it is over, and every node has been asked since.

        A node that does not answer is waited for, but not for ever: the verdict names it, and is given again when its
        files have come.
        """
        run = polled.run
        if not is_over:
            polled.over_since = None
            return False
        if polled.over_since is None:
            polled.over_since = polled.over_at = now
        # A client that connects again and again adds lines for ever, and must not put off the verdict for ever.
        if run.changed_at > polled.over_at and now - polled.over_since < self._limits.nodes:
            polled.over_at = now
        is_complete = complete_from > polled.over_at
        if self._pulls is None or not (is_complete or now - polled.over_at >= self._limits.nodes):
            return False
        if not self._pulls.is_settled(run.run):
            self._pulls.seal(run.run, polled.over_at)
        return True

    def _close(self, name: str) -> None:
        """Read a run no longer; one of which a node is missing is read again when that node has answered."""
        self._closed.add(name)
        if self._pulls is None:
            return
        if self._pulls.is_settled(name):
            self._pulls.close(name)
        else:
            self._incomplete[name] = self._now()

    def _read(self, polled: PolledRun, deadline: float) -> None:
        run = polled.run
        lines_before, bytes_before = run.lines_read, run.bytes_read

        def must_stop() -> bool:
            self._yield_cpu()
            return self._now() > deadline

        if run.read(self._now(), must_stop):
            self._changed_at = self._now()
            polled.times.note_change(self._changed_at)
        self.effort = self.effort.plus(run.lines_read - lines_before, run.bytes_read - bytes_before)

    def _recheck(self, polled: PolledRun, now: float, *, final: bool) -> None:
        used_before = self._used()

        def must_stop() -> bool:
            self._note_alive()
            # Before a run is closed, all of it is compared in one go.
            if final:
                return False
            self._yield_cpu()
            used, took = self._used() - used_before, self._now() - now
            return used > self._limits.recheck_cpu or took > self._limits.recheck

        is_done = polled.run.recheck(must_stop, restart=final)
        is_idle = now - polled.run.changed_at > self._limits.idle
        polled.times.note_recheck(self._now(), self._used() - used_before, is_done=is_done, is_idle=is_idle)

    def _publish(self, polled: PolledRun, *, is_newest: bool, final: bool) -> None:
        used_before = self._used()
        run = polled.run
        snapshot = run.snapshot(self._settings.limits, final=final)
        # A closed run is dated by its end, so that the same logs always give the same files.
        is_closed = snapshot.summary.state == "closed"
        dated = run_files.dated(snapshot, run.evidence.ended_at if is_closed else utc_text(self._clock.now_us()))
        if is_newest:
            self.newest, self.durations = dated, run.durations
        if final and not polled.is_verdict_printed:
            # Before the files are written: a full disk must not suppress the verdict.
            self._printer.print_summary(snapshot)
            polled.is_verdict_printed = True
        if polled.published is None or snapshot.summary != polled.published.summary:
            run_files.store(self._settings.volumes, dated, newest=is_newest)
        polled.published = snapshot
        polled.times.note_published(self._now(), self._used() - used_before)
        if final:
            self._close(run.run)
            del self._open[run.run]

    def _print_progress(self, polled: PolledRun, now: float, *, last: bool) -> None:
        snapshot, run = polled.published, polled.run
        if snapshot is None:
            return
        state = snapshot.summary.state
        if last:
            # A stopped collector prints the run as far as it got, unless nothing of it was ever shown.
            if polled.progress.has_printed and state not in ("opened", "waiting"):
                self._printer.print_summary(snapshot)
        # After the end only the verdict is left to be printed.
        elif state != "ended" and polled.progress.claim_line(snapshot.summary, now, now - run.changed_at):
            start_us = run.elapsed_from_us
            elapsed = (self._clock.now_us() - start_us) / 1e6 if start_us is not None else None
            self._printer.print_progress(snapshot, elapsed, run.rate())

    def _prune(self) -> None:
        if self._now() < self._prune_at:
            return
        self._prune_at = self._now() + self._limits.prune
        # A summary whose logs and ledger are gone belongs to a closed run as well.
        closed = self._closed | (run_files.runs_with_summary(self._settings.volumes) - set(self._open))
        self._closed -= run_files.remove_surplus(self._settings.volumes, closed, self._settings.keep_runs, self.errors)
