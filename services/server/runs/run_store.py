"""Run after run: opens the next one, or continues the one that was interrupted."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable
from pathlib import Path

from services import SOFTWARE
from services.contract import ledger
from services.contract.scalars import utc_us
from services.runtime.clock import STEP_NS, Clock
from services.runtime.saturation import SaturationMonitor
from services.runtime.volumes import claim_run
from services.server.feed.faker_pools import POOL
from services.server.feed.generator import FAKER_VERSION, FeedGenerator
from services.server.runs import other_servers, process_identity
from services.server.runs.ledger_writer import LedgerWriter, entries, last_alive_us
from services.server.runs.other_servers import FolderLook
from services.server.runs.run import Run
from services.server.runs.run_state import RecordedRun
from services.server.settings import ServerSettings

_UNREADABLE = "a line of its ledger is whole and cannot be understood"
_UNPLAYABLE = "its ledger holds a schedule that cannot be played"


class PastRun:
    """The fold over a run's ledger, line by line.

    Attributes:
        opening: the first line of the oldest ledger; None when there is none.
        book: the state of the run.
        last_us: the time of the latest line, epoch microseconds; 0 without one.
    """

    def __init__(self, entries: Iterable[ledger.Entry | None]) -> None:
        """Take in the lines in the order of their times; None stands for one that cannot be understood."""
        self.opening: ledger.OpenEntry | None = None
        self.book = RecordedRun(1)
        self._readable, last = True, ""
        for entry in entries:
            if entry is None:
                self._readable = False
                continue
            last = max(last, entry.at)
            if isinstance(entry, ledger.OpenEntry) and self.opening is None:
                self.opening = entry
                self.book.total = self.book.schedule.total = entry.total
            self.book.apply(entry)
        self.last_us = utc_us(last) if last else 0

    @property
    def ended(self) -> bool:
        """Whether the run is over."""
        return self.book.end is not None

    @property
    def obstacle(self) -> str | None:
        """Why the run cannot be continued, whatever the settings are; None when it can."""
        if not self._readable:
            return _UNREADABLE
        return None if self.book.playable else _UNPLAYABLE


log = logging.getLogger(__name__)


class RunStore:
    """Opens runs in a ledger folder, or continues the one that was interrupted."""

    def __init__(
        self,
        root: Path,
        feed: FeedGenerator,
        settings: ServerSettings,
        clock: Clock,
        strain: SaturationMonitor,
        *,
        boot: str,
        instance: str,
    ) -> None:
        self.root, self.feed, self.settings, self.clock, self.strain = root, feed, settings, clock, strain
        self.boot, self.instance = boot, instance
        self._process = process_identity.own()

    def begin(self, seen: FolderLook | None = None) -> Run:
        """Continue the newest run when it was interrupted and can be continued; otherwise open a new one.

        Args:
            seen: what `another.watch` returned, when the folder was watched already.

        Raises:
            AnotherServer: another server plays in this folder.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        seen = other_servers.watch(self.root) if seen is None else seen
        while True:
            with other_servers.turn(self.root):
                if not other_servers.look(self.root).has_changed_since(seen):
                    return self._begin()
            # Another server that starts at the same time was first. Watched without the lock: others wait for it.
            seen = other_servers.watch(self.root)

    def _begin(self) -> Run:
        if newest := other_servers.newest_run(self.root):
            past = PastRun(entries(self.root / newest))
            self._never_back(past.last_us)
            if past.opening is not None and not past.ended:
                outage_us = self.clock.now_us() - last_alive_us(self.root / newest)
                run = self._run(newest, past.book)
                if past.obstacle is not None:
                    log.warning("run cannot be continued", extra={"run": newest, "why": past.obstacle})
                elif self._same(past.opening) and outage_us <= self.settings.resume_seconds * 1_000_000:
                    log.info("run continued", extra={"run": run.name, "state": run.state})
                    return run
                run.finish("abandoned")
                run.ledger.close()
        return self.open()

    def _never_back(self, last_us: int) -> None:
        """Go on from the ledger's own time when somebody set the wall clock back while no server was there.

        Else what was sent would be due again, and runs would not be told apart by their age.
        """
        moved_us = self.clock.not_before(last_us)
        if moved_us > STEP_NS // 1000:
            log.warning("wall clock is behind the ledger", extra={"seconds": moved_us / 1_000_000})

    def open(self) -> Run:
        """Open a new run: its folder is claimed by creating it."""
        self.root.mkdir(parents=True, exist_ok=True)
        name = claim_run(self.root, self.clock.now_us())
        try:
            run = self._run(name, RecordedRun(self.settings.records))
        except OSError:
            # A folder without a ledger would be taken for a run that lost it.
            with contextlib.suppress(OSError):
                (self.root / name).rmdir()
            raise
        log.info("run opened", extra={"run": name, "total": self.settings.records, "rate": run.rate})
        return run

    def _same(self, opening: ledger.OpenEntry) -> bool:
        plan = self.settings.rate
        wanted = (self.feed.identity, self.settings.records, plan.rate, plan.text)
        return wanted == (opening.feed, opening.total, opening.rate, opening.plan)

    def _run(self, name: str, book: RecordedRun) -> Run:
        writer = LedgerWriter(self.root / name / f"{self.instance}.jsonl")
        run = Run(name, self.feed, book, writer, self.settings, self.clock, self.strain.window(), boot=self.boot)
        run.enter(
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
                total=book.total,
                rate=run.plan.rate,
                clients=self.settings.least_clients,
                plan=run.plan.text,
                process=None if self._process is None else str(self._process),
            )
        )
        # A disk that refuses now is asked again by whoever keeps the ledger.
        with contextlib.suppress(OSError):
            run.ledger.sync()
        return run
