"""Whatever the network does to TCP: the run passes with nothing missing, and fresh records are on disk soon after."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
from websockets.sync.client import connect

from chaos.containers.invariants import assert_nothing_missing, head_at
from chaos.tally import Tally
from chaos.wire.recovery import heads, p99, recoveries
from chaos.wire.tcp import TcpProxy, Toxic
from services.contract import wire
from services.contract.summary import Summary
from tests.asserts import known
from tests.integration.processes import System
from tests.poll import poll_until

RECOVERY_SECONDS = 3.0

RATE = 10
BYTES = RATE * 400
"""About what the feed takes in a second, headers and all."""
EACH = 10
"""Clients that suffer one kind, side by side in one process."""
BEFORE_SECONDS, AFTER_SECONDS = 1.0, 6.0
Toxics = Mapping[str, tuple[Toxic, float]]
"""What is done, and for how many seconds."""
SHORT: Toxics = {
    "latency": (Toxic(latency=0.05, jitter=0.1), 3.0),
    "slices": (Toxic(slices=16), 3.0),
    "bandwidth": (Toxic(bandwidth=BYTES / 3), 3.0),
    "partition": (Toxic(hold=frozenset({"up", "down"})), 3.0),
    "one-way-up": (Toxic(hold=frozenset({"up"})), 3.0),
    "one-way-down": (Toxic(hold=frozenset({"down"})), 3.0),
    "slow-close": (Toxic(slow_close=60.0), 3.0),
    "half-open-down": (Toxic(swallow=frozenset({"down"})), 3.0),
    "half-open-up": (Toxic(swallow=frozenset({"up"})), 3.0),
}
LONG: Toxics = {
    # The clients' watchdogs take 3 to 4 s: these connect again, some more than once, while it still lasts.
    "half-open-down-and-connecting": (Toxic(swallow=frozenset({"down"})), 6.5),
    "half-open-up-and-connecting": (Toxic(swallow=frozenset({"up"})), 6.5),
    "partition-and-connecting": (Toxic(hold=frozenset({"up", "down"})), 6.5),
}


THROUGHOUT = ("sliced-throughout", Toxic(slices=16, latency=0.02, jitter=0.05))
"""From the handshake to the last byte."""


class Scene:
    """A server, its collector, and for each kind of toxic a proxy and clients of its own behind it."""

    def __init__(self, system: System, within: ExitStack, toxics: Toxics, seed: int) -> None:
        self.system, self.toxics = system, toxics
        names = [*toxics, THROUGHOUT[0]]
        self.proxies = {name: within.enter_context(TcpProxy(system.port, seed + at)) for at, name in enumerate(names)}
        self.proxies[THROUGHOUT[0]].poison(THROUGHOUT[1])
        system.start("collector")
        system.server()
        for name, proxy in self.proxies.items():
            system.client(name, SERVER_URL=proxy.url, CONNECTIONS=EACH)

    def clients(self, name: str) -> list[str]:
        """Return who suffers a kind."""
        return [f"{name}.{number}" for number in range(1, EACH + 1)]

    def reconnected(self, name: str) -> int | None:
        """Return how often the clients of a kind have connected again, None where nobody suffers it."""
        return self.proxies[name].connections - EACH if name in self.toxics else None

    def strike(self) -> dict[str, float]:
        """Begin all toxics at once, end each in its time; return when each ended, in epoch seconds."""
        began = time.time()
        for name, (toxic, _) in self.toxics.items():
            self.proxies[name].poison(toxic)
        if "slow-close" in self.toxics:
            control(self.system, [wire.Control(do="drop", client=client) for client in self.clients("slow-close")])
        healed: dict[str, float] = {}
        for name, (_, seconds) in sorted(self.toxics.items(), key=lambda item: item[1][1]):
            until = began + seconds
            poll_until(lambda: time.time() >= until, f"{name} has lasted {seconds} s", seconds + 5, 0.02)  # noqa: B023
            self.proxies[name].heal()
            healed[name] = time.time()
        return healed


@pytest.mark.parametrize("toxics", [SHORT, LONG], ids=["short", "long"])
def test_a_toxic_network_costs_time_and_nothing_else(toxics: Toxics, seed: int, tally: Tally, tmp_path: Path) -> None:
    """Toxics side by side, each on ten clients: nothing is lost, and all are fresh again 3 s after its end."""
    clients = EACH * (len(toxics) + 1)
    records = int(RATE * (BEFORE_SECONDS + max(seconds for _, seconds in toxics.values()) + AFTER_SECONDS))
    settings = {"RATE": RATE, "RECORDS": records, "CLIENTS": clients, "BLOCK_SIZES": 5, "BLOCK_SECONDS": 0.5}
    with System(tmp_path, **settings) as system, ExitStack() as proxies:
        scene = Scene(system, proxies, toxics, seed)
        first = RATE * BEFORE_SECONDS
        poll_until(lambda: receipted(system) >= clients and head(system) >= first, f"all have {first}", 60)
        healed = scene.strike()
        summary = verdict(system, tally)
        every = {client: moment for name, moment in healed.items() for client in scene.clients(name)}
        took = recoveries(system.volumes, records, every)
        enter(tally, scene, took)
        assert_whole(summary, clients, records)
        assert EACH == scene.proxies[THROUGHOUT[0]].connections
        assert scene.reconnected("slow-close") in (None, EACH)
        assert {} == {client: seconds for client, seconds in took.items() if seconds > RECOVERY_SECONDS}


def enter(tally: Tally, scene: Scene, took: Mapping[str, float]) -> None:
    """Note the faults, and print what recovery took."""
    for name in scene.toxics:
        seconds = sorted(took[client] for client in scene.clients(name))
        print(f"{name}: p50 {seconds[EACH // 2]:.2f} s, most {seconds[-1]:.2f} s")
        for client in scene.clients(name):
            tally.fault(f"toxic-{name.removesuffix('-and-connecting')}", client, took[client], beside=True)
    for client in scene.clients(THROUGHOUT[0]):
        tally.fault(f"toxic-{THROUGHOUT[0]}", client, beside=True)


def test_resets_again_and_again(seed: int, tally: Tally, tmp_path: Path) -> None:
    """After each of 20 resets of two connections a fresh record is receipted within 3 s, p99; nothing is lost."""
    clients, rate = 2, 200
    records, took = rate * 40, list[float]()
    settings = {"RATE": rate, "RECORDS": records, "CLIENTS": clients, "BLOCK_SIZES": 10}
    with System(tmp_path, **settings) as system, TcpProxy(system.port, seed) as proxy:
        system.start("collector")
        system.server()
        system.client("client", SERVER_URL=proxy.url, CONNECTIONS=clients)
        poll_until(lambda: receipted(system) >= clients, "both clients have receipted something", 30)
        for number in range(1, 21):
            assert clients == proxy.reset()
            healed = time.time()
            due = head_at(system.volumes, records, healed)
            poll_until(lambda: head(system) > due, f"both are back after reset {number}", 30, 0.02)  # noqa: B023
            again = recoveries(system.volumes, records, {f"client.{at}": healed for at in range(1, clients + 1)})
            took += again.values()
            for client, seconds in again.items():
                tally.fault("toxic-reset", client, seconds, beside=True)
        control(system, [wire.Control(set={"rate": 20 * rate})])
        print(f"resets: p50 {sorted(took)[len(took) // 2]:.2f} s, p99 {p99(took):.2f} s")
        summary = verdict(system, tally)
        assert_whole(summary, clients, records)
        assert "PASS" == summary.verdict, summary.reasons
        assert clients * 21 == proxy.connections
        assert p99(took) <= RECOVERY_SECONDS


def control(system: System, wishes: list[wire.Control]) -> None:
    """Have an operator say what is wished; returns when all of it has been obeyed."""
    with connect(system.url, proxy=None) as operator:
        for wish in wishes:
            operator.send(wire.encode(wish).decode())
        left = len(wishes)
        while left:
            left -= isinstance(wire.decode_from_server(operator.recv(10, decode=False))[0], wire.Controlled)


def receipted(system: System) -> int:
    """Return how many clients have receipted something."""
    return len(heads(system.volumes))


def head(system: System) -> int:
    """Return the last record that all of them have receipted."""
    return min(heads(system.volumes).values())


def verdict(system: System, tally: Tally) -> Summary:
    """Wait for the verdict, and enter it."""
    _, text = system.wait()
    summary = system.volumes.summary()
    assert summary is not None, text
    sums = summary.totals
    tally.held(sums.received, lost=known(sums.missing) + abs(known(sums.residual)), duplicated=known(sums.duplicates))
    return summary


def assert_whole(summary: Summary, clients: int, records: int) -> None:
    """Hold a run to everything being there once, with every client in its first session.

    That a machine with many clients on it was late may be held against the run: it is true, and not the network.
    """
    assert_nothing_missing(summary)
    assert clients * records == summary.totals.received
    assert ([], [1] * clients) == (summary.faults, [client.sessions for client in summary.clients])
