"""Toxics on the way from each client's container to the server's: who suffers which, from when on, all from a seed."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from websockets.sync.client import connect

from chaos.containers.container_lookup import Place
from chaos.wire.tcp import TcpProxy, Toxic
from services.contract import wire
from tests.integration.stack import Stack, docker
from tests.poll import poll_until

SERVER = Place("server")
TOKEN = "toxics"
PORT = 8765
UNTIL_HEALED = 60.0
BACK_SECONDS = 30.0
"""Within which the engine has started a container again."""

TOXICS: dict[str, list[Toxic]] = {
    "toxic-latency": [Toxic(latency=0.1, jitter=0.2)],
    "toxic-slices": [Toxic(slices=16)],
    # The second is just above what the feed takes at 100 records per second.
    "toxic-bandwidth": [Toxic(bandwidth=32 * 1024), Toxic(bandwidth=48 * 1024)],
    "toxic-half-open-up": [Toxic(swallow=frozenset({"up"}))],
    "toxic-half-open-down": [Toxic(swallow=frozenset({"down"}))],
    "toxic-slow-close": [Toxic(slow_close=UNTIL_HEALED)],
    "toxic-reset-mid-frame": [Toxic(reset_within=8 * 1024)],
    "toxic-partition": [Toxic(hold=frozenset({"up", "down"}))],
}
"""Kinds, and what is done in turn."""

LASTS = (2.0, 6.0)
"""Seconds: shorter and longer than the watchdogs take to notice a half-open connection, which itself never heals."""
KILLED_BEFORE = 2.0
"""Seconds before the heal at which a container is killed: by then every toxic is there, and it returns through it."""


@dataclass(frozen=True)
class Struck:
    """What one client suffers in a round, and for how many seconds."""

    client: Place
    kind: str
    toxic: Toxic
    seconds: float


@dataclass(frozen=True)
class Round:
    """Toxics that end at one time, the longest first; and which container is killed meanwhile."""

    struck: list[Struck]
    killed: Place | None

    def __str__(self) -> str:
        said = ", ".join(f"{one.client} {one.kind.removeprefix('toxic-')} {one.seconds:.1f} s" for one in self.struck)
        return said + (f"; kill {self.killed}" if self.killed else "")


def rounds_of(clients: Sequence[Place], times: int, seed: int) -> Iterator[Round]:
    """Yield so many rounds, in each of which every client suffers a kind of its own; so many clients as kinds."""
    rng = random.Random(seed)
    for number in range(times):
        kinds = rng.sample(list(TOXICS), len(clients))
        struck = []
        for client, kind in zip(clients, kinds, strict=True):
            variants = TOXICS[kind]
            struck.append(Struck(client, kind, variants[number % len(variants)], rng.uniform(*LASTS)))
        killed = {1: rng.choice(list(clients)), 2: SERVER}.get(number % 3)
        yield Round(sorted(struck, key=lambda one: -one.seconds), killed)


def running(stack: Stack, place: Place, instead_of: int = 0) -> int:
    """Wait until a container runs, with another process than ``instead_of``; return the host's id of that."""

    def other() -> int:
        state = stack.inspect(*place)["State"]
        pid = int(state["Pid"]) if state["Running"] and not state["Restarting"] else 0
        return pid if pid != instead_of else 0

    return poll_until(other, f"{place} runs, not as {instead_of}", BACK_SECONDS, 0.05)


class ToxicNetwork:
    """A proxy at the host's address in the stack's own network, through which its clients reach its server."""

    def __init__(self, stack: Stack, seed: int) -> None:
        self._stack = stack
        self._network = f"{stack.project}_wire"
        gateway = docker("network", "inspect", self._network, "--format", "{{(index .IPAM.Config 0).Gateway}}")
        self._proxy = TcpProxy(PORT, seed, to_host=self._address(SERVER), host=gateway)

    @property
    def url(self) -> str:
        """Where the clients are to connect."""
        return self._proxy.url

    def strike(self, one: Struck) -> None:
        """Begin what a client is to suffer."""
        self._proxy.poison(one.toxic, self._address(one.client))
        if one.kind == "toxic-slow-close":
            self._drop(one.client)

    def came_back(self, place: Place, struck: Sequence[Struck]) -> None:
        """Follow a container that was started again, which may have another address."""
        if place == SERVER:
            self._proxy.aim(self._address(SERVER))
        for one in struck:
            if one.client == place:
                self._proxy.poison(one.toxic, self._address(place))

    def heal(self) -> None:
        """End everything that anybody suffers."""
        self._proxy.heal()

    def hurry(self, rate: int) -> None:
        """Let the rest of the run come at another rate."""
        self._control(wire.Control(set={"rate": rate}))

    def _drop(self, client: Place) -> None:
        self._control(wire.Control(do="drop", client=str(client)))

    def _control(self, control: wire.Control) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        url = f"ws://{self._address(SERVER)}:{PORT}"
        with connect(url, proxy=None, max_queue=None, additional_headers=headers) as operator:
            operator.send(wire.encode(control).decode())
            while not isinstance(wire.decode_from_server(operator.recv(10, decode=False))[0], wire.Controlled):
                pass

    def _address(self, place: Place) -> str:
        running(self._stack, place)
        networks = self._stack.inspect(*place)["NetworkSettings"]["Networks"]
        return str(networks[self._network]["IPAddress"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._proxy.__exit__(kind, error, at)
