"""What can be done to the processes that claim one name: each operation is a fault, with what must follow at once."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from chaos.identity.forked_clients import Client, Nursery
from tests.poll import poll_until

ANSWER_SECONDS = 2.0
"""The server waits so long for the holder of a name to answer."""
NAMED_SECONDS = 1.0
"""So long after that at most, every conflict is in the log of the server and of the client."""
MOST_LIVE = 3


@dataclass
class Done:
    """One operation: what it was, on which name, when it was over, and what it took until the conflict was named."""

    kind: str
    name: str
    began: float
    ended: float
    named_s: list[float] = field(default_factory=list)


def told(client: Client) -> list[float]:
    """Return when a process was told that a name is not its own."""
    stops = client.when("another process has this name; this one stops writing")
    return stops + client.when("name is taken")


class Claimants:
    """The live processes that were started with one name, and what is done to them, one operation at a time."""

    def __init__(
        self,
        nursery: Nursery,
        superseded: Callable[[str], list[float]],
        name: str,
        connections: int,
        rng: random.Random,
    ) -> None:
        """Begin with none; ``superseded`` tells when (epoch seconds) the server has said it of a name."""
        self._nursery, self._superseded = nursery, superseded
        self.name, self._connections, self._rng = name, connections, rng
        self.live: list[Client] = []
        self.done: list[Done] = []
        self._named: list[float] = []

    @property
    def first_name(self) -> str:
        """The name of the first connection."""
        return self.name if self._connections == 1 else f"{self.name}.1"

    def operate(self) -> None:
        """Do one thing that can be done now."""
        if not self.live:
            choices = [self.grow, self.twins]
        elif len(self.live) >= MOST_LIVE:
            choices = [self.shrink, self.kill]
        else:
            choices = [
                *[self.shrink, self.kill, self.kill_and_start, self.recreate, self.duplicate, self.triplet],
                *[self.freeze_briefly, self.freeze, self.freeze_and_leave],
            ]
        self._do(self._rng.choice(choices))

    def settle(self, *, alive: bool) -> None:
        """End so that the name has a live process, or none."""
        if alive and not self.live:
            self._do(self.grow)

    def _do(self, operation: Callable[[], None]) -> None:
        began = time.time()
        operation()
        kind = operation.__name__.replace("_", "-")
        self.done.append(Done(f"name-{kind}", self.first_name, began, time.time(), self._named))
        self._named = []
        # So that the next one strikes in the middle of a block.
        until = time.monotonic() + self._rng.uniform(0.05, 0.5)
        poll_until(lambda: time.monotonic() >= until, "a moment has passed", 5, 0.05)

    def _start(self) -> Client:
        client = self._nursery.start(self.name, CONNECTIONS=self._connections)
        self.live.append(client)
        return client

    def _admitted(self, client: Client) -> list[str]:
        """Wait until every connection of a process has a name of its own; return them."""
        return poll_until(
            lambda: client.names if len(client.names) == self._connections else [], f"{client} is admitted", 15, 0.03
        )

    def _starts_as(self, holds: bool | None = None) -> list[str]:
        client = self._start()
        names = self._admitted(client)
        if holds is not None:
            assert holds == (self.first_name in names), (str(client), names)
        if holds is False:
            self._is_named(client)
        return names

    def _is_named(self, client: Client) -> None:
        """Hold a newcomer to the time within which it must know of the conflict, for each of its connections."""
        (asked,) = {min(client.when("client"))}
        for name in client.names:
            if "~" in name:
                told = client.when("name is taken", suggest=name)
                assert told, f"{client} is {name} and was not told why"
                self._named.append(told[0] - asked)
        assert max(self._named, default=0.0) <= ANSWER_SECONDS + NAMED_SECONDS, (str(client), self._named)

    def grow(self) -> None:
        """Start one where there is none: it gets the name, whoever had it before."""
        self._starts_as(holds=True)

    def shrink(self) -> None:
        """Stop one: it seals and ends well."""
        client = self.live.pop(self._rng.randrange(len(self.live)))
        assert client.ends(signal.SIGTERM) == 0

    def kill(self) -> None:
        """Kill one."""
        client = self.live.pop(self._rng.randrange(len(self.live)))
        assert client.ends(signal.SIGKILL) == -signal.SIGKILL

    def kill_and_start(self) -> None:
        """Kill all and start another before anybody can have noticed: the name is free at once."""
        while self.live:
            self.live.pop().send(signal.SIGKILL)
        self._starts_as(holds=True)

    def recreate(self) -> None:
        """Stop all and start another: the same name in a new process."""
        while self.live:
            assert self.live.pop().ends(signal.SIGTERM) == 0
        self._starts_as(holds=True)

    def duplicate(self) -> None:
        """Start another beside those that live."""
        held = any(self.first_name in client.names for client in self.live)
        self._starts_as(holds=not held)

    def triplet(self) -> None:
        """Start two more at one time."""
        for client in [self._start(), self._start()]:
            self._admitted(client)
        self._all_differ()

    def twins(self) -> None:
        """Start two or three at one time where there is none: one of them gets the name."""
        for client in [self._start() for _ in range(self._rng.choice([2, 3]))]:
            self._admitted(client)
        self._all_differ()
        assert any(self.first_name in client.names for client in self.live)

    def _all_differ(self) -> None:
        names = [name for client in self.live for name in client.names[-self._connections :]]
        assert len(names) == len(set(names)), names
        for client in self.live:
            if client.when("name is taken"):
                self._is_named(client)

    def _holder(self) -> Client:
        """Return who has the name now; where nobody has it, one takes it first."""
        if not any(self.first_name in client.names for client in self.live):
            self._starts_as(holds=True)
        return next(client for client in self.live if self.first_name in client.names)

    def freeze_briefly(self) -> None:
        """Freeze the holder for less than the answer window while another asks for its name: it keeps it."""
        holder = self._holder()
        holder.send(signal.SIGSTOP)
        try:
            client = self._start()
            until = time.monotonic() + self._rng.uniform(0.2, 1.0)
            poll_until(lambda: time.monotonic() >= until, "it has been frozen for long enough", 5, 0.05)
        finally:
            holder.send(signal.SIGCONT)
        assert self.first_name not in self._admitted(client), (str(holder), str(client))
        self._is_named(client)

    def _supersede(self) -> tuple[Client, Client, float]:
        holder, frozen = self._holder(), time.time()
        holder.send(signal.SIGSTOP)
        client = self._start()
        assert self.first_name in self._admitted(client), str(client)
        asked = min(client.when("client"))
        named = [at for at in self._superseded(self.first_name) if at > asked]
        assert len(named) == 1, f"the server has named {self.first_name} {len(named)} times"
        self._named.append(named[0] - asked)
        assert self._named[-1] <= ANSWER_SECONDS + NAMED_SECONDS, self._named
        return holder, client, frozen

    def _thaw(self, holder: Client, frozen: float) -> None:
        self.live.remove(holder)
        admitted, before = holder.names, len(told(holder))
        # Of its connections those count whose names have gone to another process.
        gone = [name for name in set(admitted) if max(self._superseded(name), default=0.0) > frozen]
        holder.send(signal.SIGCONT)
        poll_until(lambda: len(told(holder)) - before >= len(gone), f"{holder} knows that it is not {gone}", 20, 0.05)
        assert holder.ends(signal.SIGTERM) == 0
        assert self.first_name not in holder.names[len(admitted) :], f"{holder} came back"

    def freeze(self) -> None:
        """Freeze the holder until another has its name, and thaw it: it says so, seals, and does not come back."""
        holder, _, frozen = self._supersede()
        until = time.monotonic() + self._rng.uniform(0.0, 2.0)
        poll_until(lambda: time.monotonic() >= until, "the newcomer has the name for a while", 5, 0.05)
        self._thaw(holder, frozen)

    def freeze_and_leave(self) -> None:
        """Freeze the holder until another has had its name and left, and thaw it: it does not come back either."""
        holder, client, frozen = self._supersede()
        self.live.remove(client)
        assert client.ends(self._rng.choice([signal.SIGTERM, signal.SIGKILL])) in (0, -signal.SIGKILL)
        self._thaw(holder, frozen)
