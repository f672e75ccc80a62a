"""Opens new runs in the ledger folder, and continues a run that a stop or a crash interrupted."""

from __future__ import annotations

import contextlib
import logging
import shutil
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from services.contract import ledger
from services.contract.scalars import run_order, utc_text
from services.runtime.clock import STEP_NS, Clock
from services.runtime.errors import AnotherServer
from services.runtime.saturation import SaturationMonitor
from services.runtime.volumes import run_name, run_names
from services.server.feed.feed import Feed
from services.server.runs import other_servers, process_identity
from services.server.runs.agreement import Agreement, decided_after
from services.server.runs.decisions import FOLDER, supports_links
from services.server.runs.exchange import LedgerExchange
from services.server.runs.ledger_writer import LedgerWriter, last_alive_us, read_entries
from services.server.runs.opening import differences, has_same_settings, open_entry
from services.server.runs.other_servers import FileStamp, FolderSnapshot, StoppedWhileWatching
from services.server.runs.past_run import PastRun
from services.server.runs.run import Run
from services.server.runs.run_state import RecordedRun
from services.server.runs.timetable import RunTimes
from services.server.settings import ServerSettings

log = logging.getLogger(__name__)


_ATTEMPTS = 20
"""Attempts to decide the next run while other servers decide something else."""


class RunOpenedMeanwhile(Exception):
    """Another server has opened a run since this one looked."""


class RunStore:
    """The runs of one ledger folder, as one server process opens, continues and joins them.

    Args:
        root: the folder.
        feed: has the records.
        settings: of the server.
        clock: of the process.
        saturation: of the process.
        boot: identity of the running kernel.
        instance: identity of this process, the name of its ledgers.
        ensure_alone: see `other_servers.ensure_alone`.
        invocation: of ``python -m services`` that started this server; empty without one.
        exchange: with servers that have folders of their own; None if all have this one.

    Attributes:
        is_waiting: `survey` waits for the next run of living servers, whose run has ended.
    """

    def __init__(
        self,
        root: Path,
        feed: Feed,
        settings: ServerSettings,
        clock: Clock,
        saturation: SaturationMonitor,
        *,
        boot: str,
        instance: str,
        ensure_alone: Callable[[Path, Callable[[], bool]], FolderSnapshot] = other_servers.ensure_alone,
        invocation: str = "",
        exchange: LedgerExchange | None = None,
    ) -> None:
        self._exchange = exchange
        self.root, self.feed, self.settings, self.clock, self.saturation = root, feed, settings, clock, saturation
        self.boot, self.instance, self.invocation = boot, instance, invocation
        self.ensure_alone = ensure_alone
        self._process = process_identity.own()
        self.is_waiting = False
        self._is_shared: bool | None = None
        self._last_read: tuple[str, Mapping[str, FileStamp], PastRun] | None = None

    def open_or_continue(self, seen: FolderSnapshot | None = None) -> Run:
        """Continue the newest run if it was interrupted and can be continued; otherwise open a new one.

        Args:
            seen: what `other_servers.ensure_alone` returned, if it was called already.

        Raises:
            AnotherServer: another server uses this folder.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        seen = self.survey() if seen is None else seen
        while True:
            with other_servers.start_lock(self.root):
                if (past := self.joinable()) is not None:
                    return self._join(*past)
                newest = other_servers.take_snapshot(self.root)
                if not newest.has_changed_since(seen):
                    with contextlib.suppress(RunOpenedMeanwhile):
                        return self._open_or_abandon(newest.run)
            # Another server was first. Watch it without the lock, since others wait for that.
            seen = self.survey()

    def survey(self, is_stopped: Callable[[], bool] = lambda: False) -> FolderSnapshot:
        """Return once this server may open a run in the folder, or join one. May block for seconds.

        Args:
            is_stopped: returns whether this process was asked to stop.

        Returns:
            The contents of the folder, which no server has changed for a while; an empty snapshot if there is a run to
            join.

        Raises:
            AnotherServer: another server plays a run that this one cannot join.
            StoppedWhileWatching: this process was asked to stop.
        """
        if self._exchange is not None:
            self._exchange.settle(is_stopped)
        while self.joinable() is None:
            try:
                return self.ensure_alone(self.root, is_stopped)
            except AnotherServer as other:
                self.is_waiting = self._awaits_next_run(other.run)
                if self.joinable() is None and not self.is_waiting:
                    raise AnotherServer(other.run, str(self.root), self._obstacle(other.run)) from None
            if is_stopped():
                raise StoppedWhileWatching
            time.sleep(other_servers.LOOK_SECONDS)
        # If the run ends before it is joined, its servers may live: an empty snapshot has this server look again.
        return FolderSnapshot("", {})

    def joinable(self) -> tuple[str, PastRun, dict[str, int]] | None:
        """Return the newest run if it has not ended and this server can continue it, beside others or after them.

        Returns:
            Its name, its past, and the bytes of its ledgers; None if it has to be opened, abandoned or left alone.
        """
        newest = other_servers.take_snapshot(self.root).run
        if not newest:
            return None
        _, past, known = self._read(newest)
        opening = past.opening
        if opening is None or past.has_ended or past.obstacle is not None or not self._has_same_settings(opening):
            return None
        outage_us = self.clock.now_us() - last_alive_us(self.root / newest)
        if outage_us > self.settings.resume_seconds * 1_000_000:
            return None
        return (newest, past, known) if self._is_of_this_invocation(newest) else None

    def _read(self, run: str) -> tuple[str, PastRun, dict[str, int]]:
        """Return a run's name, its past, and the bytes of its ledgers; read again only if a ledger has changed."""
        ledgers = other_servers.stamps(self.root / run)
        if self._last_read is None or self._last_read[:2] != (run, ledgers):
            self._last_read = run, ledgers, PastRun(read_entries(self.root / run))
        return run, self._last_read[2], {name: size for name, (_, size) in ledgers.items()}

    def _is_of_this_invocation(self, run: str) -> bool:
        """Return whether a run can be shared, and its servers were started in the same way as this one.

        A run without decisions may be played by a server that cannot share it: it is continued after a watch. Servers
        of two invocations of ``python -m services`` would mix their clients, which have the same names.
        """
        if not self.is_shared():
            return False
        agreement = self._agreement(run)
        agreement.decisions()
        return agreement.invocation == self.invocation

    def _agreement(self, run: str, known: dict[str, int] | None = None) -> Agreement:
        shared = self.is_shared()
        return Agreement(self.root / run, self.instance, is_shared=shared, known=known, exchange=self._exchange)

    def is_shared(self) -> bool:
        """Return whether the file system has links, so that several servers can play one run."""
        if self._is_shared is None:
            self._is_shared = self._exchange is not None or supports_links(self.root)
        return self._is_shared

    def _awaits_next_run(self, run: str) -> bool:
        """Return whether a run with this server's settings has ended and other servers may begin the next one."""
        past = self._read(run)[1]
        has_same_settings = past.opening is not None and self._has_same_settings(past.opening)
        return past.has_ended and has_same_settings and self._is_of_this_invocation(run)

    def _obstacle(self, run: str) -> str:
        opening = self._read(run)[1].opening
        if opening is not None and not self._has_same_settings(opening):
            found = "; ".join(differences(opening, self.feed, self.settings))
            return f"its settings are not those of this server: {found}"
        if not self.is_shared() or not (self._exchange or (self.root / run / FOLDER).is_dir()):
            return "several servers need hard links, which this folder or that server does not support"
        if not self._is_of_this_invocation(run):
            return "it was not started together with this one"
        return "its ledger is damaged, or RESUME_SECONDS is shorter than its last pause between two lines"

    def _join(self, name: str, past: PastRun, known: dict[str, int]) -> Run:
        """Continue a run: its servers may be gone, or play it beside this one."""
        self._set_clock_not_before(past.last_us)
        # The run changes the state that was read.
        self._last_read = None
        run = self._make_run(name, past.recorded, known)
        # Read after this server's ledger was created: a server that decides something later sees this one.
        for entries in decided_after(past.entered, run.agreement.decisions()):
            run.enter(entries)
        run.follow()
        log.info("run continued", extra={"run": run.name, "state": run.state})
        return run

    def _open_or_abandon(self, newest: str) -> Run:
        """Open a run after the newest one with a ledger, which is continued or ended as abandoned if it is open."""
        if newest:
            past = self._read(newest)[1]
            self._set_clock_not_before(past.last_us)
            if past.opening is not None and not past.has_ended:
                outage_us = self.clock.now_us() - last_alive_us(self.root / newest)
                self._last_read = None
                # Also if the run cannot be continued: to record that it is abandoned needs a ledger of this process.
                run = self._make_run(newest, past.recorded)
                run.agreement.decisions()
                run.agreement.decide_opened(run.at(), run.agreement.number, self.invocation)
                if past.obstacle is not None:
                    log.warning("run cannot be continued", extra={"run": newest, "why": past.obstacle})
                elif self._has_same_settings(past.opening) and outage_us <= self.settings.resume_seconds * 1_000_000:
                    log.info("run continued", extra={"run": run.name, "state": run.state})
                    return run
                run.finish("abandoned")
                run.ledger.close()
        return self.open_new(newest=newest)

    def _set_clock_not_before(self, last_us: int) -> None:
        """Continue from the ledger's last time if the wall clock was set back while no server ran.

        Otherwise records that were sent would become due again, and the order of runs would not be that of their names.
        """
        moved_us = self.clock.not_before(last_us)
        if moved_us > STEP_NS // 1000:
            log.warning("wall clock is behind the ledger", extra={"seconds": moved_us / 1_000_000})

    def open_new(self, before: Run | None = None, newest: str | None = None) -> Run:
        """Open a new run, or join the one that another server has opened at the same time.

        Args:
            before: the run that this server has played before; None at its start.
            newest: at its start, the newest run with a ledger, which is over; empty without one, None to look for it.

        Raises:
            OSError: the folder or the ledger cannot be created; nothing is left behind.
            RunOpenedMeanwhile: at a start, another server was first.
            AnotherServer: while this process was frozen, one with other settings has begun to use the folder.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        if before is not None:
            before.follow()
            if self.has_missed_runs(before):
                return self._join_newest()
            name = self._decide_after(before.agreement, before.follow)
            self._refuse_run_of_others(name)
        elif self._exchange is not None:
            claimed = self._exchange.claim_run(self.clock.now_us())
            if claimed is None:
                raise RunOpenedMeanwhile
            name = claimed
        else:
            name = self._decide_first(other_servers.take_snapshot(self.root).run if newest is None else newest)
        number = 1 if before is None else before.agreement.number + 1
        try:
            run = self._make_run(name, RecordedRun(self.settings.records), number=number)
        except OSError:
            # A folder without a ledger would be mistaken for a run that lost it. In one that several servers open at
            # the same time, the decisions stay.
            if before is None:
                shutil.rmtree(self.root / name / FOLDER, ignore_errors=True)
            with contextlib.suppress(OSError):
                (self.root / name).rmdir()
            raise
        finally:
            # Once the first run has a ledger, its servers decide there.
            shutil.rmtree(self.root / FOLDER, ignore_errors=True)
        run.enter_past(run.agreement.decisions())
        log.info("run opened", extra={"run": name, "total": self.settings.records, "rate": run.recorded_rate})
        return run

    def has_next(self, run: Run) -> bool:
        """Return whether another run follows this one."""
        is_decided = bool(run.agreement.next_run)
        return is_decided or self.settings.runs == 0 or run.agreement.number < self.settings.runs

    def _join_newest(self) -> Run:
        """Join the newest run, also if it has ended: the next one follows it."""
        newest = other_servers.take_snapshot(self.root).run
        self._refuse_run_of_others(newest)
        _, past, known = self._read(newest)
        log.warning("runs were played and removed meanwhile", extra={"run": newest})
        return self._join(newest, past, known)

    def _refuse_run_of_others(self, run: str) -> None:
        """Refuse to open a run that servers with other settings have opened meanwhile.

        Raises:
            AnotherServer: they play it with other settings.
        """
        opening = self._read(run)[1].opening
        if opening is not None and not self._has_same_settings(opening):
            raise AnotherServer(run, str(self.root), self._obstacle(run))

    def _decide_first(self, newest: str) -> str:
        """Return the name of the run that servers which start at the same time open; its folder exists.

        They decide in the folder of the newest run with a ledger, or in that of all runs while there is none: so they
        open one run also where locks do not work.

        Raises:
            RunOpenedMeanwhile: another server was first, and this one can join it.
        """
        agreement = self._agreement(newest)
        name = self._decide_after(agreement, agreement.decisions)
        # The decisions of an empty folder are removed as soon as there is a ledger, so they may be new ones.
        if other_servers.take_snapshot(self.root).run in (newest, name) and not self._read(name)[1].has_ended:
            return name
        with contextlib.suppress(OSError):
            (self.root / name).rmdir()
        shutil.rmtree(self.root / FOLDER, ignore_errors=True)
        raise RunOpenedMeanwhile

    def _decide_after(self, agreement: Agreement, look: Callable[[], object]) -> str:
        """Return the name of a run that follows by the decisions in ``agreement``; ``look`` reads new ones.

        Raises:
            OSError: it cannot be decided now.
        """
        for _ in range(_ATTEMPTS):
            look()
            name, now_us = agreement.next_run, self.clock.now_us()
            if not name or not self._may_follow(agreement, now_us):
                name = next(name for name in run_names(run_name(now_us)) if not (self.root / name).exists())
                if not agreement.decide_next(utc_text(now_us), name):
                    continue
                if self._exchange is not None:
                    self._exchange.announce_run(name)
            # Only now: the collector shows every folder as a run.
            (self.root / name).mkdir(exist_ok=True)
            return name
        raise OSError("the next run could not be decided")

    def _may_follow(self, agreement: Agreement, now_us: int) -> bool:
        """Return whether the next run that was decided can be played."""
        # One that was decided long ago and is missing was removed: its name may be in the logs of clients. Servers with
        # folders of their own make that of a run when they first play it.
        is_here = self._exchange is not None or (self.root / agreement.next_run).is_dir()
        return is_here or agreement.is_next_run_new(now_us, other_servers.LOCK_SECONDS)

    def has_missed_runs(self, run: Run) -> bool:
        """Return whether others have played on and have removed the ledgers of a run, or of the one after it.

        A process that was frozen for long would otherwise play on alone what is over for all others.
        """
        following = run.agreement.next_run
        is_gone = not run.ledger.path.exists() or bool(following and not (self.root / following).is_dir())
        return is_gone and run_order(other_servers.take_snapshot(self.root).run) > run_order(run.name)

    def _has_same_settings(self, opening: ledger.OpenEntry) -> bool:
        return has_same_settings(opening, self.feed, self.settings)

    def _make_run(
        self,
        name: str,
        recorded: RecordedRun,
        known: dict[str, int] | None = None,
        number: int = 0,
        times: RunTimes | None = None,
    ) -> Run:
        """Return a run with a new ledger of this process, which begins with its `open` entry.

        Args:
            name: of the run; its folder exists.
            recorded: its state.
            known: bytes of the ledgers that the state was folded from, by name.
            number: of the run among those of its servers, if it is opened and not joined.
            times: when it begins and ends by ``START_AT``.
        """
        agreement = self._agreement(name, known)
        if not agreement.is_shared:
            log.warning("no hard links, so no other server can join", extra={"run": name})
        if number:
            # Before the ledger, so that a server that finds the ledger knows whether it can join.
            agreement.decide_opened(utc_text(self.clock.now_us()), number, self.invocation)
        listener = None if self._exchange is None else self._exchange.listener(name)
        writer = LedgerWriter(self.root / name / f"{self.instance}.jsonl", listener)
        window = self.saturation.window()
        made = name, self.feed, recorded, writer, self.settings, self.clock, window
        run = Run(*made, boot=self.boot, agreement=agreement, times=times)
        run.append(open_entry(run, self.instance, None if self._process is None else str(self._process)))
        # If the disk refuses now, the server's periodic sync tries again.
        with contextlib.suppress(OSError):
            run.ledger.sync()
        return run
