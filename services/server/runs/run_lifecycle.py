"""Decides when a run starts, resumes after a restart, and ends: from its state and the time, several times a second.

When ``CLIENTS`` is not set, a run waits for the clients of all containers that the name server counts.
"""

from __future__ import annotations

from services.contract import ledger
from services.server.runs.agreement import LEAD_US
from services.server.runs.run import Run
from services.server.runs.timetable import RunTimes

JOIN_QUIET_SECONDS = 1.0
"""Without ``CLIENTS``, a run starts when no client has subscribed for this long.

The containers of one `up` subscribe up to 0.9 s apart on two busy cores; starting with the first one would give the
others records that are seconds old, which is latency of the start-up and not of the feed. Where the name server
reports how many containers there are, their clients must be subscribed too.
"""

FIRST_QUIET_SECONDS = 1.5
"""The same while only one client is subscribed: the second takes longest."""

KNOWN_QUIET_SECONDS = 0.3
"""The same where the number of containers is known, has not changed for `UNCHANGED_SECONDS`, and all are subscribed.

Compose starts the containers of a service one after the other, each in less time than a client takes to subscribe: by
the time the first has subscribed, the name server knows the second.
"""

JOIN_AT_MOST_SECONDS = 10.0
"""Without a known number of clients the run starts this long after the first subscription, even if more come."""

EXPECT_AT_MOST_SECONDS = 30.0
"""With a known number it starts this long after it at the latest; a client that is still missing fails the run."""

RETURN_SECONDS = 1.0
"""Time that a paused run waits, after its server is back, for the clients that the stop disconnected.

Without it the clients' back-off would show up as latency of the feed.
"""

UNCHANGED_SECONDS = 1.0
"""The number of containers must have been the same for this long: an `up` starts them one after another."""
KNOWN_SECONDS = 5.0
"""A number of containers is forgotten if the name server has not repeated it for this long."""


class ExpectedClients:
    """The number of clients to wait for, from the answers of the name server. Times are monotonic seconds.

    Args:
        service: name of the clients' service; empty outside of containers, where no number is known.
        connections: number of clients in each container.
    """

    def __init__(self, service: str = "", connections: int = 1) -> None:
        self.service, self._connections = service, connections
        self._addresses, self._unchanged_since, self._answered_at = 0, 0.0, float("-inf")

    def add_answer(self, now: float, addresses: int | None) -> None:
        """Add an answer of the name server: the number of addresses of the service, None for no answer."""
        if addresses is None:
            return
        if addresses != self._addresses or not self.is_known(now):
            self._addresses, self._unchanged_since = addresses, now
        self._answered_at = now

    def is_known(self, now: float) -> bool:
        """Return whether the number of clients is known: the service had addresses lately."""
        return self._addresses > 0 and now - self._answered_at <= KNOWN_SECONDS

    @property
    def clients(self) -> int:
        """The number of clients, as far as it is known."""
        return self._addresses * self._connections

    @property
    def source(self) -> str:
        """The origin of the number, for the ledger."""
        return f"addresses of {self.service}: {self._addresses}, CONNECTIONS: {self._connections}"

    def may_start(self, now: float, connected: int, first_joined_at: float) -> bool:
        """Return whether the run need not wait any longer for this number of clients.

        Args:
            now: the time.
            connected: number of clients that are subscribed.
            first_joined_at: since when at least one has been.
        """
        is_complete = self.is_settled and connected >= self.clients
        return is_complete or now - first_joined_at >= EXPECT_AT_MOST_SECONDS

    @property
    def is_settled(self) -> bool:
        """Whether the number has stayed the same for a while."""
        return self._answered_at - self._unchanged_since >= UNCHANGED_SECONDS

    def entry(self, at: str) -> ledger.ExpectEntry:
        """Return the entry with the number."""
        return ledger.ExpectEntry(at=at, clients=self.clients, source=self.source)


class RunLifecycle:
    """Moves one run through its states. Times are monotonic seconds unless their name ends in ``_us``.

    Args:
        run: to be moved.
        now: the time at which this process began to play it.
        expected: the number of clients reported by the name server, if any.

    Attributes:
        is_stopping: this server stops, so it does not resume the run that its stop has paused.
    """

    def __init__(self, run: Run, now: float, expected: ExpectedClients | None = None) -> None:
        recorded = run.recorded
        self.run, self._expected = run, expected or ExpectedClients()
        self._began_at = now
        self._last_fence, self._last_joined_at = recorded.fence, now
        self._enough_since = None if recorded.fence == 0 else now
        self._last_progress, self._progressed_at = (0, 0), now
        # The pause that the stop of a server made is undone by its start; the pause of an operator is not.
        self._must_resume, self.is_stopping = self._is_paused_by_a_stop(), False
        self._awaited = self._disconnected()

    def step(self, now: float, connected: set[str], sent_records: int) -> None:
        """Advance the run's schedule; start, resume or end the run if it is time.

        Args:
            now: the time.
            connected: names of the clients that are subscribed.
            sent_records: records sent so far, to all clients.
        """
        recorded, head = self.run.recorded, self.run.advance()
        if self.run.times is not None:
            self._step_by_clock(self.run.times)
            return
        self._watch_clients(now, connected, sent_records)
        self._watch_pause(now)
        if recorded.state == "waiting" and self._may_start(now, connected):
            self.run.start(self._expected.entry(self.run.at()) if self._is_number_known(now) else None)
        elif self._must_resume and not self.is_stopping and self._is_paused_by_a_stop():
            if self._awaited <= connected or now - self._began_at > RETURN_SECONDS:
                # If another server decides something meanwhile, the next step sees whether that was the resumption.
                self._must_resume = not self.run.resume()
        elif recorded.state == "running" and self._lacks_containers(now):
            self.run.decide(self._expected.entry(self.run.at()))
        elif recorded.state == "running" and (reason := self._end_reason(now, head)) is not None:
            self.run.finish(reason)

    def _lacks_containers(self, now: float) -> bool:
        """Return whether containers of clients were started that neither took part nor are expected.

        A client may need so long to start that the run is over before it subscribes. The run must not pass without it.
        """
        recorded = self.run.recorded
        counted = max(recorded.expected, self.run.settings.min_clients, len(recorded.clients))
        return self._is_number_known(now) and self._expected.is_settled and self._expected.clients > counted

    def _step_by_clock(self, times: RunTimes) -> None:
        """Start or end a run of ``START_AT``, whatever its clients do."""
        now_us, recorded = self.run.clock.now_us(), self.run.recorded
        if recorded.state == "waiting" and now_us >= times.start_us - LEAD_US:
            self.run.start_by_clock()
        elif recorded.end is None and now_us >= times.end_us:
            self.run.end_by_clock()

    def _is_paused_by_a_stop(self) -> bool:
        return self.run.recorded.is_halted and not self.run.recorded.is_paused_by_operator

    def _disconnected(self) -> set[str]:
        """Return the clients that the stop of a server disconnected and that have not receipted everything."""
        recorded = self.run.recorded
        return {
            name
            for name, client in recorded.clients.items()
            if client.leave_cause == "draining" and client.receipted < recorded.total
        }

    def _watch_pause(self, now: float) -> None:
        """Prepare to resume a run that another server paused as it stopped, because it did not know of this one."""
        if self._is_paused_by_a_stop() and not self._must_resume and not self.is_stopping:
            self._must_resume, self._began_at, self._awaited = True, now, self._disconnected()

    def _watch_clients(self, now: float, connected: set[str], sent_records: int) -> None:
        """Record since when there are enough clients, and when they last joined or made progress."""
        recorded = self.run.recorded
        if self._last_fence != recorded.fence:
            self._last_fence, self._last_joined_at = recorded.fence, now
        if len(connected) < self.run.settings.min_clients:
            self._enough_since = None
        elif self._enough_since is None:
            self._enough_since = now
        progress = (sent_records, sum(client.receipted for client in recorded.clients.values()))
        if recorded.state == "running" and progress != self._last_progress:
            self._last_progress, self._progressed_at = progress, now

    def _may_start(self, now: float, connected: set[str]) -> bool:
        if self._enough_since is None:
            return False
        # All clients that the operator named are there. A setting of 1 is a minimum, so further clients are waited for.
        if self.run.settings.clients > 1:
            return True
        quiet_seconds = now - self._last_joined_at
        if self._is_number_known(now):
            is_complete = self._expected.may_start(now, len(connected), self._enough_since)
            return is_complete and quiet_seconds >= KNOWN_QUIET_SECONDS
        least_seconds = JOIN_QUIET_SECONDS if len(connected) > 1 else FIRST_QUIET_SECONDS
        return quiet_seconds >= least_seconds or now - self._enough_since >= JOIN_AT_MOST_SECONDS

    def _is_number_known(self, now: float) -> bool:
        # The operator's CLIENTS takes precedence over the name server, even if it is 1.
        return not self.run.settings.clients and self._expected.is_known(now)

    def _end_reason(self, now: float, head: int) -> ledger.EndReason | None:
        """Return why the run ends now, None while it continues."""
        recorded = self.run.recorded
        if head < recorded.total:
            return None
        if recorded.is_complete():
            return "complete"
        grace_seconds = self.run.settings.grace_seconds
        segment, _ = recorded.schedule.segment_of(recorded.total)
        due_us = recorded.schedule.due_us(recorded.total)
        is_overdue = due_us is not None and self.run.clock.now_us() - due_us > grace_seconds * 1_000_000
        if segment.rate:
            return "grace" if is_overdue else None
        # At rate 0 all records are due at once, when the rate begins: the grace period counts from the last progress
        # after that. Before it, as in a pause or while clients were awaited, there was none to be expected.
        return "grace" if is_overdue and now - self._progressed_at > grace_seconds else None
