"""One run as this server process plays it: its recorded state and its ledger, which every change passes through."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator, Sequence

from services.contract import ledger, wire
from services.contract.histogram import Histogram
from services.contract.scalars import utc_text
from services.runtime.clock import Clock
from services.runtime.saturation import SaturationWindow
from services.server.feed.feed import Feed
from services.server.feed.schedule import RateSegment
from services.server.runs.agreement import BLIND_US, Agreement, DecidedEntry
from services.server.runs.ledger_writer import LedgerWriter, Then
from services.server.runs.run_state import RecordedRun, RunStatus
from services.server.runs.siblings import ClientProgress
from services.server.runs.timetable import RunTimes
from services.server.settings import ServerSettings

log = logging.getLogger(__name__)

_ATTEMPTS = 5
"""Attempts to decide something while other servers decide something else."""

START_LEAD_US = 20_000
"""Time between recording the first rate and the first due record, so that writing the ledger does not make it late."""


class Run:
    """One run as this server process plays it: the recorded state and this process's ledger, kept in step.

    Only methods that are commands write: `append`, `append_measurements`, `advance`, `follow`, `decide`, `start`,
    `resume`, `set_rate`, `finish`, `start_by_clock` and `end_by_clock`. Properties and `status` change nothing, so a
    probe or a scrape never writes to the ledger.

    Rates, control requests and the end are decided together with the other servers of the run, if there are any; each
    server enters a decision in its own ledger.

    Attributes:
        recorded: the state, folded from the ledger; read it, but change it through the commands only.
        schedule: the rate segments recorded so far.
        total: number of records.
        lateness: how late this server found records due, nanoseconds.
        agreement: the decisions about the run, and the other servers that play it.
        times: when the run begins and ends by ``START_AT``; None if its servers decide that.
        taken_over_at: the head when this process joined or continued the run; 0 if it had not begun.
        on_change: called after every change of the rate.
        on_drop: called with the name of a client that an operator has dropped.
        on_moved: called with the name of a client that has subscribed at another server, and its fence there.
    """

    def __init__(
        self,
        name: str,
        feed: Feed,
        recorded: RecordedRun,
        writer: LedgerWriter,
        settings: ServerSettings,
        clock: Clock,
        saturation: SaturationWindow,
        *,
        boot: str,
        agreement: Agreement,
        times: RunTimes | None = None,
    ) -> None:
        self.name, self.feed, self.recorded, self.ledger = name, feed, recorded, writer
        self.total, self.schedule = recorded.total, recorded.schedule
        self.settings, self.clock, self.saturation, self.boot = settings, clock, saturation, boot
        self.plan, self.lateness = settings.rate, Histogram()
        self.agreement, self.times = agreement, times
        self.on_change: Callable[[], None] = lambda: None
        self.on_drop: Callable[[str], None] = lambda _name: None
        self.on_moved: Callable[[str, int], None] = lambda _name, _fence: None
        self.taken_over_at = self.schedule.head(clock.now_us())
        self._followed_us = clock.now_us()
        self._last_head = 0

    def status(self, now_us: int | None = None) -> RunStatus:
        """Return state, rate and head, now unless another time is given. Writes nothing.

        Stages of the rate plan that have begun count even if `advance` has not recorded them yet, so the answer does
        not depend on when the send loop had its last turn.
        """
        now_us = self.clock.now_us() if now_us is None else now_us
        state, rate, head = self.recorded.state, self.recorded_rate, self.schedule.head(now_us)
        if state in ("running", "paused"):
            for entry in self._due_stages(now_us):
                head = RateSegment(entry.first, entry.due_us, entry.rate).head(now_us, self.total)
                state = "paused" if entry.rate is None else "running"
                rate = rate if entry.rate is None else entry.rate
        return RunStatus(state, rate, head)

    @property
    def state(self) -> wire.State:
        """The state of the run now."""
        return self.status().state

    def seconds_until_pause(self) -> float:
        """Return when a pause begins that was decided and has not begun; 0 without one."""
        if not self.schedule.is_paused:
            return 0.0
        return max(self.schedule.segments[-1].due_us - self.clock.now_us(), 0) / 1_000_000

    def head(self) -> int:
        """Return the last seq that is due now, 0 for none."""
        return self.status().head

    @property
    def recorded_rate(self) -> float:
        """Records per second as last recorded, kept through a pause; the setting's until a rate is recorded."""
        return self.plan.rate if self.recorded.rate is None else self.recorded.rate

    def at(self) -> str:
        """Return the current time in the format of a ledger line."""
        return utc_text(self.clock.now_us())

    def advance(self, now_us: int | None = None) -> int:
        """Record the stages of the rate plan that have begun, each from its own time on; return the head.

        The send loop calls this first and sends up to the returned head only, so no record of a stage is ever sent at
        the rate of the stage before. Nor does a server that was held up send by a schedule that the others have left:
        it looks for decisions first.
        """
        now_us = self.clock.now_us() if now_us is None else now_us
        if now_us - self._followed_us > BLIND_US:
            self._follow_decisions()
        # The send loop calls this thousands of times a second, so the usual case creates no iterator.
        upcoming = self.recorded.progress.next_stage(self.plan)
        if upcoming is not None and upcoming.at_us <= now_us:
            # Collected first: recording a stage changes what the iterator reads.
            for entry in list(self._due_stages(now_us)):
                self._append_rate(entry)
        self._last_head = max(self._last_head, head := self.schedule.head(now_us))
        return head

    def follow(self) -> None:
        """Apply what other servers have entered about clients, and enter what was decided."""
        for entry in self.agreement.sibling_entries():
            if isinstance(entry, ClientProgress):
                self.recorded.add_progress(*entry)
            else:
                self.recorded.apply(entry)
            if isinstance(entry, ledger.SubscribeEntry) and not entry.observe:
                self.on_moved(entry.client, entry.fence)
        self._follow_decisions()

    def _follow_decisions(self) -> None:
        self._followed_us = self.clock.now_us()
        for entries in self.agreement.decisions():
            self.enter(entries)

    def decide(self, *entries: DecidedEntry) -> bool:
        """Decide that every server of the run enters these lines, and enter them; return False if that was too late.

        It was too late if another decision came first. That one is entered instead, and the caller decides anew.
        """
        if not self.agreement.decide(self.at(), *entries):
            self._follow_decisions()
            return False
        self.enter(entries)
        return True

    def enter(self, entries: Sequence[DecidedEntry]) -> None:
        """Enter a decision, by whichever server, in the ledger of this one."""
        for entry in entries:
            match entry:
                case ledger.PaceEntry():
                    self._enter_rate(entry)
                case ledger.EndEntry():
                    self._enter_end(entry.reason)
                case _:
                    # With the time of the server that received the request, so that copies of the line are equal.
                    self.append(entry)
                    if isinstance(entry, ledger.ControlEntry) and entry.request == "drop":
                        self.on_drop(entry.client or "")

    def enter_past(self, decisions: Sequence[tuple[DecidedEntry, ...]]) -> None:
        """Enter what was decided before this server had a ledger; if the run has ended meanwhile, only apply it."""
        has_ended = any(isinstance(entry, ledger.EndEntry) for entries in decisions for entry in entries)
        for entries in decisions:
            if not has_ended:
                self.enter(entries)
                continue
            # This server took no part.
            for entry in entries:
                self.recorded.apply(entry)

    def _enter_rate(self, entry: ledger.PaceEntry) -> None:
        # The stages that begin before it come first on every server.
        for stage in list(self._due_stages(entry.due_us)):
            self._append_rate(stage)
        first, due_us = entry.first, entry.due_us
        if first <= self._last_head:
            # This server was held up, and may have sent these records by the old schedule already. It enters what it
            # has done: its ledger then differs from those of the others, and the run is INVALID.
            log.warning("decision came too late", extra={"run": self.name, "first": first, "sent": self._last_head})
            first = self._last_head + 1
            due_us = wire.due_us(entry.due_us, first - entry.first, entry.rate) if entry.rate else entry.due_us
        if first <= self.total:
            self._append_rate(self._rate_entry(RateSegment(first, due_us, entry.rate), entry.stage))
            self.on_change()

    def _due_stages(self, now_us: int) -> Iterator[ledger.PaceEntry]:
        """Yield the entries of the stages that have begun and are not recorded, except those without any record."""
        segment = self.schedule.segments[-1] if self.schedule.segments else None
        for upcoming in self.recorded.progress.upcoming(self.plan):
            if segment is None or upcoming.at_us > now_us:
                return
            # A record that is due exactly at the start of a stage belongs to that stage.
            last_before = segment.head(upcoming.at_us - 1, self.total)
            if last_before >= self.total:
                return
            segment = RateSegment(last_before + 1, upcoming.at_us, upcoming.stage.rate)
            yield self._rate_entry(segment, upcoming.number)

    def next_due_us(self, head: int) -> int | None:
        """Return when the next record after ``head`` is due or the next stage begins, whichever is first.

        None if neither is known, as before the start, in a pause without end, and after the last record.
        """
        if not self.schedule.has_started or head >= self.total:
            return None
        stage = self.recorded.progress.next_stage(self.plan)
        times = [self.schedule.due_us(head + 1), None if stage is None else stage.at_us]
        return min((time_us for time_us in times if time_us is not None), default=None)

    def add_lateness(self, seq: int, now_us: int) -> None:
        """Add how late a record was found due, if the run has a schedule."""
        due_us = self.schedule.due_us(seq)
        # At rate 0 no record has a due time of its own that it could miss.
        if due_us is not None and self.recorded_rate:
            self.lateness.record([(now_us - due_us) * 1000])

    def append(self, entry: ledger.Entry, then: Then | None = None) -> None:
        """Apply an entry to the state and write it to the ledger; call ``then`` once it is written."""
        # The state first, since the callback may read it. While the disk refuses the entry, nothing is sent.
        self.recorded.apply(entry)
        self.ledger.append(entry, then)

    def start_by_clock(self) -> None:
        """Start the schedule of ``START_AT``: each server does so by itself, however late it is."""
        if self.times is not None:
            stage = 1 if self.plan.text is not None else None
            self._enter_rate(self._rate_entry(RateSegment(1, self.times.start_us, self.plan.rate), stage))

    def end_by_clock(self) -> None:
        """End the run at the time that follows from ``START_AT``."""
        # With the same reason at every server, since one does not know how far the clients of the others are.
        self._enter_end("grace")

    def start(self, expected: ledger.ExpectEntry | None = None) -> bool:
        """Start the schedule, by the plan unless an operator has set a rate before; return whether it was decided."""
        is_planned = self.plan.text is not None and self.recorded.rate is None
        rate = self.recorded_rate
        before = () if expected is None else (expected,)
        return self.set_rate(rate, before=before, lead_us=START_LEAD_US if rate else 0, stage=1 if is_planned else None)

    def resume(self, *before: DecidedEntry) -> bool:
        """Continue after a pause: with the rest of the plan if it has not ended, else at the rate before the pause.

        Args:
            before: entries that are part of the same decision.

        Returns:
            Whether it was decided.
        """
        planned = self.recorded.progress.stage_after_resume(self.plan)
        if planned is None:
            return self.set_rate(self.recorded_rate, before=before)
        number, stage = planned
        return self.set_rate(stage.rate, before=before, stage=number)

    def set_rate(
        self,
        rate: float | None,
        *,
        before: Sequence[DecidedEntry] = (),
        lead_us: int = 0,
        stage: int | None = None,
    ) -> bool:
        """Begin a rate segment after the head, unless every record is due already; return whether it was decided.

        With other servers it begins a little later, so that all of them have it before it begins.

        Args:
            rate: records per second; None pauses the run.
            before: entries that are part of the same decision.
            lead_us: time until the first record of the segment is due.
            stage: number in the plan. Without it a pause interrupts the plan, and a rate ends it.
        """
        now_us = self.clock.now_us()
        self.advance(now_us)
        if self.agreement.has_siblings(leaving=True):
            lead_us = max(lead_us, self.agreement.lead_us)
        begins_us = now_us + lead_us
        head = self._scheduled_head(begins_us)
        entries = list(before)
        if head < self.total:
            entries.append(self._rate_entry(RateSegment(head + 1, begins_us, rate), stage))
        return self.decide(*entries) if entries else True

    def _scheduled_head(self, at_us: int) -> int:
        """Return the head at a time in the near future, if nothing is decided until then."""
        head = self.schedule.head(at_us)
        for entry in self._due_stages(at_us):
            head = RateSegment(entry.first, entry.due_us, entry.rate).head(at_us, self.total)
        return head

    def _rate_entry(self, segment: RateSegment, stage: int | None) -> ledger.PaceEntry:
        first, due_us, rate = segment
        return ledger.PaceEntry(at=self.at(), first=first, due_us=due_us, rate=rate, stage=stage)

    def _append_rate(self, entry: ledger.PaceEntry) -> None:
        if not self.schedule.has_started:
            # Idle time before the first record would dilute the percentiles of the event loop's lag.
            self.saturation.begin()
        self.append(entry)
        log.info("rate set", extra={"run": self.name, "first": entry.first, "rate": entry.rate})

    def finish(self, reason: ledger.EndReason) -> bool:
        """End the run, for all of its servers; return whether it was decided."""
        return self.decide(ledger.EndEntry(at=self.at(), last=self.total, count=self.total, reason=reason))

    def leave(self) -> None:
        """Announce that this server stops; if it is the last one, pause the run."""
        for _ in range(_ATTEMPTS):
            if self.agreement.leave(self.at()):
                break
            self.follow()
        self.pause_if_last()

    def pause_if_last(self) -> None:
        """Pause the run if no other server goes on: records would come due, and be late, while no server runs.

        A run of ``START_AT`` is not paused: other servers may play it that this one does not see.
        """
        self.follow()
        if self.times is not None:
            return
        for _ in range(_ATTEMPTS):
            if self.agreement.has_siblings(proven=True) or not self.recorded.is_advancing or self.set_rate(None):
                break

    def _enter_end(self, reason: ledger.EndReason) -> None:
        """Enter the end with how late this server was and how saturated its process."""
        if self.recorded.end is not None:
            return
        self.append(
            ledger.EndEntry(at=self.at(), last=self.total, count=self.total, reason=reason, **self._measurements())
        )
        # If the disk refuses now, the server's periodic sync tries again.
        with contextlib.suppress(OSError):
            self.ledger.sync()
        log.info("run ended", extra={"run": self.name, "reason": reason, "clients": len(self.recorded.clients)})

    def append_measurements(self) -> bool:
        """Enter how late this server is, if another one may play the run to its end without it; return whether it may.

        If this one is stopped or killed, that is its evidence for the check "generator on time".
        """
        # Proven, so that a lone server that is restarted writes what it always has written.
        is_beside = not self.agreement.is_alone and self.agreement.has_siblings(proven=True, leaving=True)
        # A run of `START_AT` may have other servers that this one does not see.
        has_to = (is_beside or self.times is not None) and self.schedule.has_started and self.recorded.end is None
        if has_to:
            self.append(ledger.MeasuredEntry(at=self.at(), **self._measurements()))
        return has_to

    def _measurements(self) -> dict[str, int | None]:
        """Return how late this server's own loop was, and how saturated its process: fields of `ledger.EndEntry`."""
        is_measured = self.lateness.count > 0
        return {
            "late_p99_ns": self.lateness.percentile(99) if is_measured else None,
            "late_max_ns": self.lateness.max if is_measured else None,
            **self.saturation.reading()._asdict(),
        }

    def welcome(self) -> wire.Welcome:
        """Return the frame that describes this run to a client."""
        status, segments = self.status(), self.schedule.segments
        return wire.Welcome(
            run=self.name,
            feed=self.feed.identity,
            state=status.state,
            total=self.total,
            rate=status.rate,
            start_us=segments[0].due_us if segments else None,
            boot=self.boot,
            now_us=self.clock.now_us(),
        )
