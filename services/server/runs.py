"""The life of a run: opened or continued, started, paused, ended; everything that happens goes through the ledger."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

from services.contract import ledger, wire
from services.contract.fields import utc_text, utc_us
from services.contract.histogram import Histogram
from services.runtime.clock import STEP_NS, Clock
from services.runtime.strain import Strain, Window
from services.runtime.version import SOFTWARE
from services.server.book import RunBook
from services.server.generate import FAKER_VERSION, Feed
from services.server.ledger import LedgerWriter, Then, last_alive_us, read
from services.server.pools import POOL
from services.server.settings import ServerSettings

log = logging.getLogger(__name__)

START_LEAD_US = 20_000
"""The first record is due this long after the schedule is entered: entering it must not make that record late."""


class Run:
    """One run as this server process plays it: the book and this process's ledger, kept in step."""

    def __init__(
        self,
        name: str,
        feed: Feed,
        book: RunBook,
        writer: LedgerWriter,
        settings: ServerSettings,
        clock: Clock,
        strain: Window,
        *,
        boot: str,
    ) -> None:
        self.name, self.feed, self.book, self.ledger = name, feed, book, writer
        self.settings, self.clock, self.strain, self.boot = settings, clock, strain, boot
        self.plan = settings.rate
        self.lateness = Histogram()
        self.on_change: Callable[[], None] = lambda: None

    @property
    def state(self) -> wire.State:
        """Where the run stands in its life, now: a stage that has begun meanwhile may be a pause, or end one."""
        self.head()
        return self.book.state

    @property
    def rate(self) -> float:
        """Records per second, as last set."""
        return self.plan.rate if self.book.rate is None else self.book.rate

    def at(self) -> str:
        """Return the time now, as a ledger line says it."""
        return utc_text(self.clock.now_us())

    def head(self, now_us: int | None = None) -> int:
        """Return the last seq that is due, now unless another time is given."""
        now_us = self.clock.now_us() if now_us is None else now_us
        # Whoever asks what is due has the stages entered that have begun by then, each from its own time on.
        while (turn := self.book.progress.next_of(self.plan)) is not None and turn.at_us <= now_us:
            before = self.book.schedule.head(turn.at_us - 1)
            if before >= self.book.total:
                break
            self._enter_pace(before + 1, turn.at_us, turn.stage.rate, turn.number)
        return self.book.schedule.head(now_us)

    def next_us(self, head: int) -> int | None:
        """Return when there is more after the head: its next record, or the next stage. None when nobody knows."""
        if not self.book.schedule.started or head >= self.book.total:
            return None
        turn = self.book.progress.next_of(self.plan)
        times = [self.book.schedule.due_us(head + 1), None if turn is None else turn.at_us]
        return min((time for time in times if time is not None), default=None)

    def enter(self, entry: ledger.Entry, then: Then | None = None) -> None:
        """Enter a line into the ledger and the book."""
        self.book.apply(entry)
        self.ledger.enter(entry, then)

    def start(self) -> None:
        """Start the clock, by the plan unless somebody has set a rate before."""
        # While a server waits for clients nothing strains it: that time would make it look rested.
        self.strain.begin()
        planned = self.plan.text is not None and self.book.rate is None
        self.pace(self.rate, lead_us=START_LEAD_US if self.rate else 0, stage=1 if planned else None)

    def resume(self) -> None:
        """Go on after a pause: with what is left of the plan, else at the rate that was on."""
        planned = self.book.progress.resumed(self.plan)
        if planned is None:
            self.pace(self.rate)
        else:
            number, stage = planned
            self.pace(stage.rate, stage=number)

    def pace(self, rate: float | None, *, lead_us: int = 0, stage: int | None = None) -> None:
        """Begin a new stretch of schedule after the head: at ``rate`` from ``lead_us`` on, or a pause when None.

        Without a ``stage`` it is no part of the plan: a pause interrupts that, a rate ends it.
        """
        now_us = self.clock.now_us()
        head = self.head(now_us)
        if head < self.book.total:
            self._enter_pace(head + 1, now_us + lead_us, rate, stage)
            self.on_change()

    def _enter_pace(self, first: int, due_us: int, rate: float | None, stage: int | None) -> None:
        self.enter(ledger.Pace(at=self.at(), first=first, due_us=due_us, rate=rate, stage=stage))
        log.info("pace", extra={"run": self.name, "first": first, "rate": rate})

    def finish(self, reason: ledger.EndReason) -> None:
        """End the run, with how late this server was, and how strained."""
        total = self.book.total
        measured = bool(self.rate) and self.lateness.count > 0
        entry = ledger.End(
            at=self.at(),
            last=total,
            count=total,
            reason=reason,
            late_p99_ns=self.lateness.percentile(99) if measured else None,
            late_max_ns=self.lateness.max if measured else None,
            **self.strain.reading()._asdict(),
        )
        self.enter(entry)
        # A disk that refuses now is asked again by whoever keeps the ledger.
        with contextlib.suppress(OSError):
            self.ledger.sync()
        log.info("run ended", extra={"run": self.name, "reason": reason, "clients": len(self.book.clients)})

    def welcome(self) -> wire.Welcome:
        """Return what a client is told of this run."""
        started = self.book.schedule.started
        return wire.Welcome(
            run=self.name,
            feed=self.feed.identity,
            state=self.state,
            total=self.book.total,
            rate=self.rate,
            start_us=self.book.schedule.stretches[0].due_us if started else None,
            boot=self.boot,
            now_us=self.clock.now_us(),
        )


class Runs:
    """Opens runs in a ledger folder, or continues the one that was interrupted."""

    def __init__(
        self,
        root: Path,
        feed: Feed,
        settings: ServerSettings,
        clock: Clock,
        strain: Strain,
        *,
        boot: str,
        instance: str,
    ) -> None:
        self.root, self.feed, self.settings, self.clock, self.strain = root, feed, settings, clock, strain
        self.boot, self.instance = boot, instance

    def begin(self) -> Run:
        """Continue the newest run when it was interrupted and can be continued; otherwise open a new one."""
        newest = max(self._names(), default=None)
        if newest is not None:
            entries = read(self.root / newest)
            self._never_back(entries)
            opening = next((entry for entry in entries if isinstance(entry, ledger.Open)), None)
            if opening is not None and not any(isinstance(entry, ledger.End) for entry in entries):
                outage_us = self.clock.now_us() - last_alive_us(self.root / newest)
                run = self._continued(newest, opening, entries)
                if self._same(opening) and outage_us <= self.settings.resume_seconds * 1_000_000:
                    log.info("run continued", extra={"run": run.name, "state": run.state})
                    return run
                run.finish("abandoned")
                run.ledger.close()
        return self.open()

    def _never_back(self, entries: list[ledger.Entry]) -> None:
        """Go on from the ledger's own time when somebody set the wall clock back while no server was there.

        Else what was sent would be due again, and runs would not be told apart by their age.
        """
        moved_us = self.clock.not_before(max((utc_us(entry.at) for entry in entries), default=0))
        if moved_us > STEP_NS // 1000:
            log.warning("wall clock is behind the ledger", extra={"seconds": moved_us / 1_000_000})

    def open(self) -> Run:
        """Open a new run: its folder is claimed by creating it."""
        stem = utc_text(self.clock.now_us())[:19].replace("-", "").replace(":", "") + "Z"
        name, number = stem, 1
        self.root.mkdir(parents=True, exist_ok=True)
        while True:
            try:
                (self.root / name).mkdir()
                break
            except FileExistsError:
                number += 1
                name = f"{stem}-{number}"
        try:
            run = self._run(name, RunBook(self.settings.records))
        except OSError:
            # A folder without a ledger would be taken for a run that lost it.
            with contextlib.suppress(OSError):
                (self.root / name).rmdir()
            raise
        log.info("run opened", extra={"run": name, "total": self.settings.records, "rate": run.rate})
        return run

    def _names(self) -> list[str]:
        return [path.name for path in self.root.iterdir() if path.is_dir()] if self.root.is_dir() else []

    def _continued(self, name: str, opening: ledger.Open, entries: list[ledger.Entry]) -> Run:
        book = RunBook(opening.total)
        for entry in entries:
            book.apply(entry)
        return self._run(name, book)

    def _same(self, opening: ledger.Open) -> bool:
        plan = self.settings.rate
        wanted = (self.feed.identity, self.settings.records, plan.rate, plan.text)
        return wanted == (opening.feed, opening.total, opening.rate, opening.plan)

    def _run(self, name: str, book: RunBook) -> Run:
        writer = LedgerWriter(self.root / name / f"{self.instance}.jsonl")
        run = Run(name, self.feed, book, writer, self.settings, self.clock, self.strain.window(), boot=self.boot)
        run.enter(
            ledger.Open(
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
                clients=self.settings.clients,
                plan=run.plan.text,
            )
        )
        # A disk that refuses now is asked again by whoever keeps the ledger.
        with contextlib.suppress(OSError):
            run.ledger.sync()
        return run
