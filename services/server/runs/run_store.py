"""Opens new runs in the ledger folder, and continues a run that a stop or a crash interrupted."""

from __future__ import annotations

import contextlib
import logging
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from services import SOFTWARE
from services.contract import ledger
from services.contract.scalars import utc_text, utc_us
from services.runtime.clock import STEP_NS, Clock
from services.runtime.errors import AnotherServer
from services.runtime.saturation import SaturationMonitor
from services.runtime.volumes import claim_run, run_name, run_names
from services.server.feed.faker_pools import POOL
from services.server.feed.generator import FAKER_VERSION, FeedGenerator
from services.server.runs import other_servers, process_identity
from services.server.runs.agreement import Agreement, DecidedEntry, decided_after, entry_key
from services.server.runs.decisions import FOLDER, supports_links
from services.server.runs.ledger_writer import LedgerWriter, last_alive_us, read_entries
from services.server.runs.other_servers import FolderSnapshot, StoppedWhileWatching
from services.server.runs.run import Run
from services.server.runs.run_state import RecordedRun
from services.server.settings import ServerSettings

log = logging.getLogger(__name__)

_UNREADABLE = "a line of its ledger is intact but in an unknown format"
_UNPLAYABLE = "its ledger has a gap in the schedule, or no fence is left for another subscription"


class PastRun:
    """A run as the ledgers of earlier server processes have it.

    Attributes:
        opening: first entry of the oldest ledger; None without one.
        recorded: the state of the run.
        last_us: time of the latest entry, epoch microseconds; 0 without one.
        entered: keys of the decided entries in the ledgers, as `entry_key` returns them.
    """

    def __init__(self, entries: Iterable[ledger.Entry | None]) -> None:
        """Fold the entries, in the order of their times; None stands for an intact line in an unknown format."""
        self.opening: ledger.OpenEntry | None = None
        self.recorded = RecordedRun(1)
        self.entered: set[object] = set()
        self._is_readable, last = True, ""
        for entry in entries:
            if entry is None:
                self._is_readable = False
                continue
            last = max(last, entry.at)
            if isinstance(entry, ledger.OpenEntry):
                self.recorded.boots.add(entry.boot)
                if self.opening is None:
                    self.opening = entry
                    self.recorded.total = self.recorded.schedule.total = entry.total
            if isinstance(entry, DecidedEntry):
                # Each server of the run has entered it, the slowest one perhaps after later ones.
                if entry_key(entry) in self.entered:
                    continue
                self.entered.add(entry_key(entry))
            self.recorded.apply(entry)
        self.last_us = utc_us(last) if last else 0

    @property
    def has_ended(self) -> bool:
        """Whether the run has an end entry."""
        return self.recorded.end is not None

    @property
    def obstacle(self) -> str | None:
        """Why no server can continue the run, with any settings; None if one can."""
        if not self._is_readable:
            return _UNREADABLE
        return None if self.recorded.can_be_continued else _UNPLAYABLE


class RunStore:
    """The runs of one ledger folder, as one server process opens, continues and joins them.

    Args:
        root: the folder.
        feed: generates the records.
        settings: of the server.
        clock: of the process.
        saturation: of the process.
        boot: identity of the running kernel.
        instance: identity of this process, the name of its ledgers.
        ensure_alone: see `other_servers.ensure_alone`.
        invocation: of ``python -m services`` that started this server; empty without one.
    """

    def __init__(
        self,
        root: Path,
        feed: FeedGenerator,
        settings: ServerSettings,
        clock: Clock,
        saturation: SaturationMonitor,
        *,
        boot: str,
        instance: str,
        ensure_alone: Callable[[Path, Callable[[], bool]], FolderSnapshot] = other_servers.ensure_alone,
        invocation: str = "",
    ) -> None:
        self.root, self.feed, self.settings, self.clock, self.saturation = root, feed, settings, clock, saturation
        self.boot, self.instance, self.invocation = boot, instance, invocation
        self.ensure_alone = ensure_alone
        self._process = process_identity.own()
        self._is_shared: bool | None = None

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
                if not other_servers.take_snapshot(self.root).has_changed_since(seen):
                    return self._open_or_abandon()
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
        while self.joinable() is None:
            try:
                return self.ensure_alone(self.root, is_stopped)
            except AnotherServer as other:
                if self.joinable() is None and not self._awaits_next_run(other.run):
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
        newest = other_servers.newest_run(self.root)
        if not newest:
            return None
        known = {path.name: path.stat().st_size for path in (self.root / newest).glob("*.jsonl")}
        past = PastRun(read_entries(self.root / newest))
        opening = past.opening
        if opening is None or past.has_ended or past.obstacle is not None or not self._has_same_settings(opening):
            return None
        outage_us = self.clock.now_us() - last_alive_us(self.root / newest)
        if outage_us > self.settings.resume_seconds * 1_000_000:
            return None
        return (newest, past, known) if self._is_of_this_invocation(newest) else None

    def _is_of_this_invocation(self, run: str) -> bool:
        """Return whether a run can be shared, and its servers were started in the same way as this one.

        A run without decisions may be played by a server that cannot share it: it is continued after a watch. Servers
        of two invocations of ``python -m services`` would mix their clients, which have the same names.
        """
        if not self.is_shared():
            return False
        agreement = Agreement(self.root / run, self.instance, is_shared=True)
        agreement.decisions()
        return agreement.invocation == self.invocation

    def is_shared(self) -> bool:
        """Return whether the file system has links, so that several servers can play one run."""
        if self._is_shared is None:
            self._is_shared = supports_links(self.root)
            if not self._is_shared:
                log.warning("no hard links, so no other server can join", extra={"path": str(self.root)})
        return self._is_shared

    def _awaits_next_run(self, run: str) -> bool:
        """Return whether a run with this server's settings has ended and other servers may begin the next one."""
        past = PastRun(read_entries(self.root / run))
        has_same_settings = past.opening is not None and self._has_same_settings(past.opening)
        return past.has_ended and has_same_settings and self._is_of_this_invocation(run)

    def _obstacle(self, run: str) -> str:
        opening = PastRun(read_entries(self.root / run)).opening
        if opening is not None and not self._has_same_settings(opening):
            return "its settings are not those of this server: " + "; ".join(self._differences(opening))
        if not self.is_shared() or not (self.root / run / FOLDER).is_dir():
            return "several servers need hard links, which this folder or that server does not support"
        if not self._is_of_this_invocation(run):
            return "it was not started together with this one"
        return "its ledger is damaged, or RESUME_SECONDS is shorter than its last pause between two lines"

    def _differences(self, opening: ledger.OpenEntry) -> list[str]:
        plan = self.settings.rate
        pairs = [
            ("feed", opening.feed, self.feed.identity),
            ("RECORDS", opening.total, self.settings.records),
            ("RATE", opening.plan or f"{opening.rate:g}", plan.text or f"{plan.rate:g}"),
        ]
        return [f"{name} {theirs}, here {here}" for name, theirs, here in pairs if theirs != here]

    def _join(self, name: str, past: PastRun, known: dict[str, int]) -> Run:
        """Continue a run: its servers may be gone, or play it beside this one."""
        self._set_clock_not_before(past.last_us)
        run = self._make_run(name, past.recorded, known)
        # Read after this server's ledger was created: a server that decides something later sees this one.
        for entries in decided_after(past.entered, run.agreement.decisions()):
            run.enter(entries)
        run.follow()
        log.info("run continued", extra={"run": run.name, "state": run.state})
        return run

    def _open_or_abandon(self) -> Run:
        if newest := other_servers.newest_run(self.root):
            past = PastRun(read_entries(self.root / newest))
            self._set_clock_not_before(past.last_us)
            if past.opening is not None and not past.has_ended:
                outage_us = self.clock.now_us() - last_alive_us(self.root / newest)
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
        return self.open_new()

    def _set_clock_not_before(self, last_us: int) -> None:
        """Continue from the ledger's last time if the wall clock was set back while no server ran.

        Otherwise records that were sent would become due again, and the order of runs would not be that of their names.
        """
        moved_us = self.clock.not_before(last_us)
        if moved_us > STEP_NS // 1000:
            log.warning("wall clock is behind the ledger", extra={"seconds": moved_us / 1_000_000})

    def open_new(self, before: Run | None = None) -> Run:
        """Open a new run, or join the one that another server has opened at the same time.

        Args:
            before: the run that this server has played before; None at its start.

        Raises:
            OSError: the folder or the ledger cannot be created; nothing is left behind.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        if before is None:
            name, number = claim_run(self.root, self.clock.now_us()), 1
        else:
            name, number = self._next_run(before), before.agreement.number + 1
            (self.root / name).mkdir(exist_ok=True)
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
        for entries in run.agreement.decisions():
            run.enter(entries)
        log.info("run opened", extra={"run": name, "total": self.settings.records, "rate": run.recorded_rate})
        return run

    def _next_run(self, before: Run) -> str:
        """Return the name of the run after another one, which its servers decide together."""
        agreement = before.agreement
        while True:
            before.follow()
            if agreement.next_run:
                return agreement.next_run
            stem = run_name(self.clock.now_us())
            name = next(name for name in run_names(stem) if not (self.root / name).exists())
            if agreement.decide_next(before.at(), name):
                return name

    def _has_same_settings(self, opening: ledger.OpenEntry) -> bool:
        plan = self.settings.rate
        current = (self.feed.identity, self.settings.records, plan.rate, plan.text)
        return current == (opening.feed, opening.total, opening.rate, opening.plan)

    def _make_run(self, name: str, recorded: RecordedRun, known: dict[str, int] | None = None, number: int = 0) -> Run:
        """Return a run with a new ledger of this process, which begins with its `open` entry.

        Args:
            name: of the run; its folder exists.
            recorded: its state.
            known: bytes of the ledgers that the state was folded from, by name.
            number: of the run among those of its servers, if it is opened and not joined.
        """
        agreement = Agreement(self.root / name, self.instance, is_shared=self.is_shared(), known=known)
        if number:
            # Before the ledger, so that a server that finds the ledger knows whether it can join.
            agreement.decide_opened(utc_text(self.clock.now_us()), number, self.invocation)
        writer = LedgerWriter(self.root / name / f"{self.instance}.jsonl")
        window = self.saturation.window()
        run = Run(
            name, self.feed, recorded, writer, self.settings, self.clock, window, boot=self.boot, agreement=agreement
        )
        run.append(
            ledger.OpenEntry(
                at=run.at(),
                run=name,
                instance=self.instance,
                boot=self.boot,
                software=SOFTWARE,
                feed=self.feed.identity,
                seed=self.feed.seed,
                schema=self.feed.schema,
                locale=self.feed.locale,
                faker=FAKER_VERSION,
                pool=POOL,
                total=recorded.total,
                rate=run.plan.rate,
                clients=self.settings.min_clients,
                plan=run.plan.text,
                process=None if self._process is None else str(self._process),
            )
        )
        # If the disk refuses now, the server's periodic sync tries again.
        with contextlib.suppress(OSError):
            run.ledger.sync()
        return run
