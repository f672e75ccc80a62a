"""When a run starts, resumes and ends: decided from the book and the clock, a few times a second."""

from __future__ import annotations

from services.contract import ledger
from services.server.runs.expected_clients import ExpectedClients
from services.server.runs.run import Run

JOIN_QUIET_SECONDS = 1.0
"""Containers of one ``up`` come within moments of each other: unless ``CLIENTS`` says how many there are, the clock
starts when no more of them come, and, where the name server tells how many have been started, when these are there …"""

FIRST_QUIET_SECONDS = 1.5
"""… a little longer after the first one, on whose heels the others are …"""

JOIN_AT_MOST_SECONDS = 10.0
"""… but it does not wait for ever (nor where the number is known: `expected.AT_MOST_SECONDS`)."""

RETURN_SECONDS = 1.0
"""How long a paused run waits, when its server is back, for its clients to be back too."""


class RunLifecycle:
    """Moves one run through its states. Times are monotonic seconds unless they end in ``_us``."""

    def __init__(self, run: Run, now: float, expected: ExpectedClients | None = None) -> None:
        self.run, self._number = run, expected or ExpectedClients()
        self._fence, self._joined, self._enough_since = run.book.fence, now, None if run.book.fence == 0 else now
        self._began = now
        self._progress, self._progressed = (0, 0), now
        # What stopped the clock: the server's own stop is undone by its start, an operator's wish is not.
        self._resume = run.book.halted and not run.book.held
        self._expected = {
            name
            for name, client in run.book.clients.items()
            if client.left == "draining" and client.receipted < run.book.total
        }

    def step(self, now: float, connected: set[str], delivered: int) -> None:
        """Do what the time and the clients that are connected call for."""
        book = self.run.book
        if self._fence != book.fence:
            self._fence, self._joined = book.fence, now
        if book.state == "waiting" and self._all_here(now, connected):
            if self._is_number_known(now):
                number = self._number
                self.run.enter(ledger.ExpectEntry(at=self.run.at(), clients=number.clients, source=number.source))
            self.run.start()
        elif self._resume and book.halted and not book.held:
            if self._expected <= connected or now - self._began > RETURN_SECONDS:
                self._resume = False
                self.run.resume()
        elif book.state == "running" and (reason := self._over(now, delivered)) is not None:
            self.run.finish(reason)

    def _all_here(self, now: float, connected: set[str]) -> bool:
        if len(connected) < self.run.settings.least_clients:
            self._enough_since = None
            return False
        if self._enough_since is None:
            self._enough_since = now
        if self.run.settings.clients > 1:
            return True
        quiet = JOIN_QUIET_SECONDS if len(connected) > 1 else FIRST_QUIET_SECONDS
        is_quiet = now - self._joined >= quiet or now - self._enough_since >= JOIN_AT_MOST_SECONDS
        if self._is_number_known(now):
            return is_quiet and self._number.may_start(now, len(connected), self._enough_since)
        return is_quiet

    def _is_number_known(self, now: float) -> bool:
        # What the operator said comes first, even when it is 1.
        return not self.run.settings.clients and self._number.is_known(now)

    def _over(self, now: float, delivered: int) -> ledger.EndReason | None:
        book = self.run.book
        progress = (delivered, sum(client.receipted for client in book.clients.values()))
        if progress != self._progress:
            self._progress, self._progressed = progress, now
        if self.run.head() < book.total:
            return None
        if book.finished():
            return "complete"
        grace = self.run.settings.grace_seconds
        stretch, _ = book.schedule.stretch_of(book.total)
        due_us = book.schedule.due_us(book.total)
        if stretch.rate and due_us is not None:
            return "grace" if self.run.clock.now_us() - due_us > grace * 1_000_000 else None
        # Flat out nothing has a due time of its own: the run is over when nothing has moved for so long.
        return "grace" if now - self._progressed > grace else None
