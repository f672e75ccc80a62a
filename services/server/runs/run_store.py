"""Opens new runs in the ledger folder, and continues a run that a stop or a crash interrupted."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable
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
from services.server.runs.ledger_writer import LedgerWriter, last_alive_us, read_entries
from services.server.runs.other_servers import FolderSnapshot
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
    """

    def __init__(self, entries: Iterable[ledger.Entry | None]) -> None:
        """Fold the entries, in the order of their times; None stands for an intact line in an unknown format."""
        self.opening: ledger.OpenEntry | None = None
        self.recorded = RecordedRun(1)
        self._is_readable, last = True, ""
        for entry in entries:
            if entry is None:
                self._is_readable = False
                continue
            last = max(last, entry.at)
            if isinstance(entry, ledger.OpenEntry) and self.opening is None:
                self.opening = entry
                self.recorded.total = self.recorded.schedule.total = entry.total
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
    """The runs of one ledger folder, as one server process opens and continues them.

    Args:
        root: the folder.
        feed: generates the records.
        settings: of the server.
        clock: of the process.
        saturation: of the process.
        boot: identity of the running kernel.
        instance: identity of this process, the name of its ledgers.
        ensure_alone: see `other_servers.ensure_alone`.
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
        ensure_alone: Callable[[Path], FolderSnapshot] = other_servers.ensure_alone,
    ) -> None:
        self.root, self.feed, self.settings, self.clock, self.saturation = root, feed, settings, clock, saturation
        self.boot, self.instance = boot, instance
        self._ensure_alone = ensure_alone
        self._process = process_identity.own()

    def open_or_continue(self, seen: FolderSnapshot | None = None) -> Run:
        """Continue the newest run if it was interrupted and can be continued; otherwise open a new one.

        Args:
            seen: what `other_servers.ensure_alone` returned, if it was called already.

        Raises:
            AnotherServer: another server uses this folder.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        seen = self._ensure_alone(self.root) if seen is None else seen
        while True:
            with other_servers.start_lock(self.root):
                if not other_servers.take_snapshot(self.root).has_changed_since(seen):
                    return self._open_or_continue()
            # Another server was first. Watch it without the lock, since others wait for that.
            seen = self._ensure_alone(self.root)

    def _open_or_continue(self) -> Run:
        if newest := other_servers.newest_run(self.root):
            past = PastRun(read_entries(self.root / newest))
            self._set_clock_not_before(past.last_us)
            if past.opening is not None and not past.has_ended:
                outage_us = self.clock.now_us() - last_alive_us(self.root / newest)
                # Also if the run cannot be continued: to record that it is abandoned needs a ledger of this process.
                run = self._make_run(newest, past.recorded)
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

    def open_new(self) -> Run:
        """Open a new run, whose folder is claimed by creating it.

        Raises:
            OSError: the folder or the ledger cannot be created; nothing is left behind.
        """
        self.root.mkdir(parents=True, exist_ok=True)
        name = claim_run(self.root, self.clock.now_us())
        try:
            run = self._make_run(name, RecordedRun(self.settings.records))
        except OSError:
            # A folder without a ledger would be mistaken for a run that lost it.
            with contextlib.suppress(OSError):
                (self.root / name).rmdir()
            raise
        log.info("run opened", extra={"run": name, "total": self.settings.records, "rate": run.recorded_rate})
        return run

    def _has_same_settings(self, opening: ledger.OpenEntry) -> bool:
        plan = self.settings.rate
        current = (self.feed.identity, self.settings.records, plan.rate, plan.text)
        return current == (opening.feed, opening.total, opening.rate, opening.plan)

    def _make_run(self, name: str, recorded: RecordedRun) -> Run:
        """Return a run with a new ledger of this process, which begins with its `open` entry."""
        writer = LedgerWriter(self.root / name / f"{self.instance}.jsonl")
        window = self.saturation.window()
        run = Run(name, self.feed, recorded, writer, self.settings, self.clock, window, boot=self.boot)
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
