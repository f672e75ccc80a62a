"""Operations on the processes that claim one name; each checks its immediate consequences."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from chaos.identity.forked_clients import Client, ClientForker
from tests.poll import poll_until

ANSWER_SECONDS = 2.0
"""How long the server waits for the holder of a name to answer."""
NAMED_SECONDS = 1.0
"""Deadline after that for a conflict to be in the logs of server and client."""
MOST_LIVE = 3


@dataclass
class PerformedOperation:
    """One operation on a name; ``named_s`` has the seconds until each resulting conflict was logged."""

    kind: str
    name: str
    began: float
    ended: float
    named_s: list[float] = field(default_factory=list)


def conflict_times(client: Client) -> list[float]:
    """Return the times (epoch seconds) at which a process logged that another process has its name."""
    stops = client.when("another process has this name; this one stops writing")
    return stops + client.when("name is taken")


class Claimants:
    """The running processes that were started with one name, and the operations on them."""

    def __init__(
        self,
        forker: ClientForker,
        superseded_times: Callable[[str], list[float]],
        name: str,
        connections: int,
        rng: random.Random,
    ) -> None:
        """Begin without a process.

        ``superseded_times`` returns when (epoch seconds) the server logged that the holder of a name was superseded.
        """
        self._forker, self._superseded_times = forker, superseded_times
        self.name, self._connections, self._rng = name, connections, rng
        self.running: list[Client] = []
        self.done: list[PerformedOperation] = []
        self._named: list[float] = []

    @property
    def first_name(self) -> str:
        """The name of the first connection."""
        return self.name if self._connections == 1 else f"{self.name}.1"

    def operate(self) -> None:
        """Perform a random operation that is possible now."""
        if not self.running:
            choices = [self.start, self.twins]
        elif len(self.running) >= MOST_LIVE:
            choices = [self.stop, self.kill]
        else:
            choices = [
                *[self.stop, self.kill, self.kill_and_start, self.recreate, self.duplicate, self.triplet],
                *[self.freeze_briefly, self.freeze, self.freeze_and_leave],
            ]
        self._do(self._rng.choice(choices))

    def finish_with(self, *, with_process: bool) -> None:
        """End with a running process for the name if ``with_process``."""
        if with_process and not self.running:
            self._do(self.start)

    def _do(self, operation: Callable[[], None]) -> None:
        began = time.time()
        operation()
        kind = operation.__name__.replace("_", "-")
        self.done.append(PerformedOperation(f"name-{kind}", self.first_name, began, time.time(), self._named))
        self._named = []
        # A random pause, so that the next operation hits the middle of a block.
        until = time.monotonic() + self._rng.uniform(0.05, 0.5)
        poll_until(lambda: time.monotonic() >= until, "the pause is over", 5, 0.05)

    def _start(self) -> Client:
        client = self._forker.start(self.name, CONNECTIONS=self._connections)
        self.running.append(client)
        return client

    def _admitted(self, client: Client) -> list[str]:
        """Wait until every connection of a process has a name; return the names."""
        return poll_until(
            lambda: client.names if len(client.names) == self._connections else [], f"{client} is admitted", 15, 0.03
        )

    def _start_and_wait(self, expects_name: bool | None = None) -> list[str]:
        client = self._start()
        names = self._admitted(client)
        if expects_name is not None:
            assert expects_name == (self.first_name in names), (str(client), names)
        if expects_name is False:
            self._assert_conflict_named(client)
        return names

    def _assert_conflict_named(self, client: Client) -> None:
        """Check that a new process logged the conflict of each of its connections in time."""
        (asked,) = {min(client.when("client"))}
        for name in client.names:
            if "~" in name:
                times = client.when("name is taken", suggest=name)
                assert times, f"{client} is {name} and has not logged why"
                self._named.append(times[0] - asked)
        assert max(self._named, default=0.0) <= ANSWER_SECONDS + NAMED_SECONDS, (str(client), self._named)

    def start(self) -> None:
        """Start a process while none runs: it gets the name, even if another process had it before."""
        self._start_and_wait(expects_name=True)

    def stop(self) -> None:
        """Stop a process: it seals its log and exits with 0."""
        client = self.running.pop(self._rng.randrange(len(self.running)))
        assert client.end(signal.SIGTERM) == 0

    def kill(self) -> None:
        """Kill a process."""
        client = self.running.pop(self._rng.randrange(len(self.running)))
        assert client.end(signal.SIGKILL) == -signal.SIGKILL

    def kill_and_start(self) -> None:
        """Kill all processes and start another at once: it gets the name."""
        while self.running:
            self.running.pop().send(signal.SIGKILL)
        self._start_and_wait(expects_name=True)

    def recreate(self) -> None:
        """Stop all processes and start another: it gets the name."""
        while self.running:
            assert self.running.pop().end(signal.SIGTERM) == 0
        self._start_and_wait(expects_name=True)

    def duplicate(self) -> None:
        """Start another process beside the running ones."""
        is_held = any(self.first_name in client.names for client in self.running)
        self._start_and_wait(expects_name=not is_held)

    def triplet(self) -> None:
        """Start two more processes at the same time."""
        for client in [self._start(), self._start()]:
            self._admitted(client)
        self._assert_names_differ()

    def twins(self) -> None:
        """Start two or three processes at the same time while none runs: one of them gets the name."""
        for client in [self._start() for _ in range(self._rng.choice([2, 3]))]:
            self._admitted(client)
        self._assert_names_differ()
        assert any(self.first_name in client.names for client in self.running)

    def _assert_names_differ(self) -> None:
        names = [name for client in self.running for name in client.names[-self._connections :]]
        assert len(names) == len(set(names)), names
        for client in self.running:
            if client.when("name is taken"):
                self._assert_conflict_named(client)

    def _current_holder(self) -> Client:
        """Return the process that has the name; start one if none has it."""
        if not any(self.first_name in client.names for client in self.running):
            self._start_and_wait(expects_name=True)
        return next(client for client in self.running if self.first_name in client.names)

    def freeze_briefly(self) -> None:
        """Freeze the holder for less than the answer time while another process asks: the holder keeps the name."""
        holder = self._current_holder()
        holder.send(signal.SIGSTOP)
        try:
            client = self._start()
            until = time.monotonic() + self._rng.uniform(0.2, 1.0)
            poll_until(lambda: time.monotonic() >= until, "it has been frozen long enough", 5, 0.05)
        finally:
            holder.send(signal.SIGCONT)
        assert self.first_name not in self._admitted(client), (str(holder), str(client))
        self._assert_conflict_named(client)

    def _supersede(self) -> tuple[Client, Client, float]:
        holder, frozen = self._current_holder(), time.time()
        holder.send(signal.SIGSTOP)
        client = self._start()
        assert self.first_name in self._admitted(client), str(client)
        asked = min(client.when("client"))
        named = [at for at in self._superseded_times(self.first_name) if at > asked]
        assert len(named) == 1, f"the server logged the superseded {self.first_name} {len(named)} times"
        self._named.append(named[0] - asked)
        assert self._named[-1] <= ANSWER_SECONDS + NAMED_SECONDS, self._named
        return holder, client, frozen

    def _thaw(self, holder: Client, frozen: float) -> None:
        self.running.remove(holder)
        admitted, known_conflicts = holder.names, len(conflict_times(holder))
        # Only those of its connections matter whose names another process has now.
        lost_names = [name for name in set(admitted) if max(self._superseded_times(name), default=0.0) > frozen]
        holder.send(signal.SIGCONT)
        poll_until(
            lambda: len(conflict_times(holder)) - known_conflicts >= len(lost_names),
            f"{holder} has logged the loss of {lost_names}",
            20,
            0.05,
        )
        assert holder.end(signal.SIGTERM) == 0
        assert self.first_name not in holder.names[len(admitted) :], f"{holder} got its name back"

    def freeze(self) -> None:
        """Freeze the holder until another process has its name: when thawed, it logs that and seals its log."""
        holder, _, frozen = self._supersede()
        until = time.monotonic() + self._rng.uniform(0.0, 2.0)
        poll_until(lambda: time.monotonic() >= until, "the new process has had the name for a while", 5, 0.05)
        self._thaw(holder, frozen)

    def freeze_and_leave(self) -> None:
        """Freeze the holder until another process has had its name and ended: when thawed, it does not get it back."""
        holder, client, frozen = self._supersede()
        self.running.remove(client)
        assert client.end(self._rng.choice([signal.SIGTERM, signal.SIGKILL])) in (0, -signal.SIGKILL)
        self._thaw(holder, frozen)
