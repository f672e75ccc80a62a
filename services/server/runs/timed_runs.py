"""Runs of ``START_AT``: a server finds them by its clock and its settings alone, beside others or without them."""

from __future__ import annotations

import logging
from collections.abc import Callable

from services.contract.scalars import MAX_INTEGER, utc_text
from services.runtime.errors import AnotherServer, NoSuchRun
from services.server.runs import other_servers
from services.server.runs.agreement import decided_after
from services.server.runs.ledger_writer import read_entries
from services.server.runs.opening import differences
from services.server.runs.other_servers import FolderSnapshot
from services.server.runs.past_run import PastRun
from services.server.runs.run import Run
from services.server.runs.run_state import RecordedRun
from services.server.runs.run_store import RunStore
from services.server.runs.timetable import RunTimes, Timetable

log = logging.getLogger(__name__)

MOST_AHEAD_US = 31 * 86_400 * 1_000_000
"""A start that is further ahead than this is taken for a mistake: the server would wait for ever."""


class TimedRunStore(RunStore):
    """The runs of ``START_AT`` in one ledger folder. The arguments are those of `RunStore`.

    Nothing is decided and nothing is waited for: name, start and end of a run follow from the settings, so a server
    that starts late, or again, plays the run that its clock shows.
    """

    @property
    def timetable(self) -> Timetable:
        """When the runs begin and end.

        Raises:
            TypeError: ``START_AT`` is not set.
        """
        found = self.settings.timetable
        if found is None:
            raise TypeError("START_AT is not set")
        return found

    def survey(self, is_stopped: Callable[[], bool] = lambda: False) -> FolderSnapshot:
        """Return once this server may play its run in the folder.

        Args:
            is_stopped: returns whether this process was asked to stop.

        Raises:
            NoSuchRun: all runs are over, the first is too far ahead, or the run has other settings in this folder.
            AnotherServer: another server plays a run in the folder that is not one of these.
            StoppedWhileWatching: this process was asked to stop.
        """
        self._refuse_other_settings(self._current())
        newest = other_servers.take_snapshot(self.root).run
        if newest and self.timetable.number_of(newest) is None:
            try:
                self.ensure_alone(self.root, is_stopped)
            except AnotherServer as other:
                why = "it is not the run of this server's START_AT"
                raise AnotherServer(other.run, str(self.root), why) from None
        return FolderSnapshot("", {})

    def open_or_continue(self, seen: FolderSnapshot | None = None) -> Run:
        """Open the run that the clock shows, or continue it.

        Args:
            seen: what `survey` returned, if it was called already.

        Raises:
            NoSuchRun: see `survey`.
        """
        if seen is None:
            self.survey()
        number = self._current()
        self._end_before(self.timetable.name(number))
        return self._play(number)

    def _end_before(self, name: str) -> None:
        """End the newest run if it is another one that was interrupted: its end has come while no server ran."""
        newest = other_servers.take_snapshot(self.root).run
        if newest in ("", name):
            return
        past = PastRun(read_entries(self.root / newest))
        if past.opening is None or past.has_ended or not past.recorded.schedule.has_started:
            return
        self._set_clock_not_before(past.last_us)
        number = self.timetable.number_of(newest)
        run = self._make_run(newest, past.recorded, times=None if number is None else self._times(number))
        run.agreement.decisions()
        if number is None:
            run.finish("abandoned")
        else:
            run.end_by_clock()
        run.ledger.close()

    def has_next(self, run: Run) -> bool:
        """Return whether another run follows this one."""
        return self.timetable.number_at(self.clock.now_us(), after=run.agreement.number) is not None

    def has_missed_runs(self, run: Run) -> bool:
        """Return whether the ledgers of a run were removed, and another one follows it."""
        return super().has_missed_runs(run) and self.has_next(run)

    def open_new(self, before: Run | None = None, newest: str | None = None) -> Run:  # noqa: ARG002
        """Open the run after another one; runs that ended meanwhile are left out.

        Args:
            before: the run that this server has played before.
            newest: not needed, since the clock says which run it is.

        Raises:
            NoSuchRun: there is none.
            OSError: the folder or the ledger cannot be created.
        """
        return self._play(self._current(after=0 if before is None else before.agreement.number))

    def _current(self, after: int = 0) -> int:
        """Return the number of the run that the clock shows, or that begins next."""
        runs, now_us = self.timetable, self.clock.now_us()
        number = runs.number_at(now_us, after)
        if number is None:
            ended = _text(runs.times(runs.runs).end_us)
            raise NoSuchRun(f"START_AT={_text(runs.start_us)}: the run is over, it ended at {ended}; set a later time")
        if runs.start_us - now_us > MOST_AHEAD_US:
            days = (runs.start_us - now_us) // 86_400_000_000
            raise NoSuchRun(f"START_AT={_text(runs.start_us)}: that is {days:,} days ahead; set a time within 31 days")
        return number

    def _refuse_other_settings(self, number: int) -> None:
        name = self.timetable.name(number)
        opening = PastRun(read_entries(self.root / name)).opening if (self.root / name).is_dir() else None
        if opening is None:
            return
        found = [] if self._has_same_settings(opening) else differences(opening, self.feed, self.settings)
        times = self._times(number)
        if opening.end_us is not None and (opening.start_us, opening.end_us) != times:
            found.append(f"played until {_text(opening.end_us)}, here until {_text(times.end_us)}")
        if found:
            why = "; ".join(found)
            raise NoSuchRun(f"run {name} in {self.root} has other settings: {why}; set them alike, or another START_AT")

    def _times(self, number: int) -> RunTimes:
        start_us, end_us = self.timetable.times(number)
        return RunTimes(start_us, min(end_us, MAX_INTEGER))

    def _play(self, number: int) -> Run:
        name = self.timetable.name(number)
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        known = {path.name: path.stat().st_size for path in folder.glob("*.jsonl")}
        past = PastRun(read_entries(folder))
        if past.obstacle is not None:
            # The schedule follows from the settings, so the run goes on without what a damaged ledger has.
            log.warning("the run's ledger is not continued", extra={"run": name, "why": past.obstacle})
        is_usable = past.opening is not None and past.obstacle is None
        recorded = past.recorded if is_usable else RecordedRun(self.settings.records)
        self._set_clock_not_before(past.last_us)
        run = self._make_run(name, recorded, known, number=number, times=self._times(number))
        # Another server of this folder may have dropped clients.
        for entries in decided_after(past.entered, run.agreement.decisions()):
            run.enter(entries)
        run.agreement.number = number
        run.follow()
        log.info("run opened", extra={"run": name, "total": recorded.total, "state": run.state})
        return run


def store_class(start_at: int | None) -> type[RunStore]:
    """Return the store for the setting ``START_AT``."""
    return RunStore if start_at is None else TimedRunStore


def _text(epoch_us: int) -> str:
    return utc_text(epoch_us)[:19] + "Z"
