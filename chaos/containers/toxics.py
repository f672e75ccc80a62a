"""Plans and injects toxics between the clients' containers and the server's; the seed decides which, where and when."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from websockets.sync.client import connect

from chaos.containers.container_lookup import Target
from chaos.wire.tcp import TcpProxy, Toxic
from services.contract import wire
from tests.integration.stack import Stack, docker
from tests.poll import poll_until

SERVER = Target("server")
TOKEN = "toxics"
PORT = 8765
UNTIL_HEALED = 60.0
BACK_SECONDS = 30.0
"""Deadline for a killed container to run again."""

TOXICS: dict[str, list[Toxic]] = {
    "toxic-latency": [Toxic(latency=0.1, jitter=0.2)],
    "toxic-slices": [Toxic(slices=16)],
    # The second value is just above the bandwidth of the feed at 100 records per second.
    "toxic-bandwidth": [Toxic(bandwidth=32 * 1024), Toxic(bandwidth=48 * 1024)],
    "toxic-half-open-up": [Toxic(swallow=frozenset({"up"}))],
    "toxic-half-open-down": [Toxic(swallow=frozenset({"down"}))],
    "toxic-slow-close": [Toxic(slow_close=UNTIL_HEALED)],
    "toxic-reset-mid-frame": [Toxic(reset_within=8 * 1024)],
    "toxic-partition": [Toxic(hold=frozenset({"up", "down"}))],
}
"""The variants of each kind, used in turn."""

LASTS = (2.0, 6.0)
"""Range in seconds: shorter and longer than the watchdogs' timeouts for a half-open connection, which never heals."""
KILLED_BEFORE = 2.0
"""Seconds before the end of a round at which a container is killed: all toxics are active when it returns."""


@dataclass(frozen=True)
class ClientToxic:
    """The toxic of one client in a round, active for ``seconds``."""

    client: Target
    kind: str
    toxic: Toxic
    seconds: float


@dataclass(frozen=True)
class Round:
    """Toxics that end at the same time, sorted by duration, longest first; and the container killed meanwhile."""

    toxics: list[ClientToxic]
    killed: Target | None

    def __str__(self) -> str:
        text = ", ".join(
            f"{item.client} {item.kind.removeprefix('toxic-')} {item.seconds:.1f} s" for item in self.toxics
        )
        return text + (f"; kill {self.killed}" if self.killed else "")


def rounds_of(clients: Sequence[Target], times: int, seed: int) -> Iterator[Round]:
    """Yield ``times`` rounds, in each of which every client has a different kind of toxic."""
    rng = random.Random(seed)
    for number in range(times):
        kinds = rng.sample(list(TOXICS), len(clients))
        toxics = []
        for client, kind in zip(clients, kinds, strict=True):
            variants = TOXICS[kind]
            toxics.append(ClientToxic(client, kind, variants[number % len(variants)], rng.uniform(*LASTS)))
        killed = {1: rng.choice(list(clients)), 2: SERVER}.get(number % 3)
        yield Round(sorted(toxics, key=lambda item: -item.seconds), killed)


def wait_running(stack: Stack, target: Target, instead_of: int = 0) -> int:
    """Wait until a container runs with a process other than ``instead_of``; return the process id on the host."""

    def other() -> int:
        state = stack.inspect(*target)["State"]
        pid = int(state["Pid"]) if state["Running"] and not state["Restarting"] else 0
        return pid if pid != instead_of else 0

    return poll_until(other, f"{target} runs with a process other than {instead_of}", BACK_SECONDS, 0.05)


class ToxicNetwork:
    """A TCP proxy at the host's address in the stack's network, between the clients and the server."""

    def __init__(self, stack: Stack, seed: int) -> None:
        self._stack = stack
        self._network = f"{stack.project}_wire"
        gateway = docker("network", "inspect", self._network, "--format", "{{(index .IPAM.Config 0).Gateway}}")
        self._proxy = TcpProxy(PORT, seed, to_host=self._address(SERVER), host=gateway)

    @property
    def url(self) -> str:
        """The URL of the proxy, for the clients."""
        return self._proxy.url

    def inject(self, item: ClientToxic) -> None:
        """Begin the toxic of a client."""
        self._proxy.set_toxic(item.toxic, self._address(item.client))
        if item.kind == "toxic-slow-close":
            self._drop(item.client)

    def reattach(self, target: Target, toxics: Sequence[ClientToxic]) -> None:
        """Update the proxy for a restarted container, whose address may have changed."""
        if target == SERVER:
            self._proxy.set_target_host(self._address(SERVER))
        for item in toxics:
            if item.client == target:
                self._proxy.set_toxic(item.toxic, self._address(target))

    def heal(self) -> None:
        """End all toxics."""
        self._proxy.heal()

    def set_rate(self, rate: int) -> None:
        """Set the rate of the rest of the run, in records per second."""
        self._control(wire.Control(set={"rate": rate}))

    def _drop(self, client: Target) -> None:
        self._control(wire.Control(do="drop", client=str(client)))

    def _control(self, control: wire.Control) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        url = f"ws://{self._address(SERVER)}:{PORT}"
        with connect(url, proxy=None, max_queue=None, additional_headers=headers) as operator:
            operator.send(wire.encode(control).decode())
            while not isinstance(wire.decode_from_server(operator.recv(10, decode=False))[0], wire.Controlled):
                pass

    def _address(self, target: Target) -> str:
        wait_running(self._stack, target)
        networks = self._stack.inspect(*target)["NetworkSettings"]["Networks"]
        return str(networks[self._network]["IPAddress"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._proxy.__exit__(kind, error, at)
