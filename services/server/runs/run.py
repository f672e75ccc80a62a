"""The life of a run: started, paced, paused, ended; everything that happens goes through the ledger."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable

from services.contract import ledger, wire
from services.contract.histogram import Histogram
from services.contract.scalars import utc_text
from services.runtime.clock import Clock
from services.runtime.saturation import SaturationWindow
from services.server.feed.generator import FeedGenerator
from services.server.runs.ledger_writer import LedgerWriter, Then
from services.server.runs.run_state import RecordedRun
from services.server.settings import ServerSettings

log = logging.getLogger(__name__)

START_LEAD_US = 20_000
"""The first record is due this long after the schedule is entered: entering it must not make that record late."""


class Run:
    """One run as this server process plays it: the book and this process's ledger, kept in step."""

    def __init__(
        self,
        name: str,
        feed: FeedGenerator,
        book: RecordedRun,
        writer: LedgerWriter,
        settings: ServerSettings,
        clock: Clock,
        strain: SaturationWindow,
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
        self.enter(ledger.PaceEntry(at=self.at(), first=first, due_us=due_us, rate=rate, stage=stage))
        log.info("pace", extra={"run": self.name, "first": first, "rate": rate})

    def finish(self, reason: ledger.EndReason) -> None:
        """End the run, with how late this server was, and how strained."""
        total = self.book.total
        measured = bool(self.rate) and self.lateness.count > 0
        entry = ledger.EndEntry(
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
