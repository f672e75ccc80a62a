"""Which faults, in which order, how long, which of them at one time: all of it from a seed."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from dataclasses import dataclass

from tests.faults.containers.faults import (
    Deed,
    Disconnect,
    Fault,
    Filter,
    Pause,
    Place,
    Signal,
    recreate,
)
from tests.integration.stack import Stack

SERVER, COLLECTOR = Place("server"), Place("collector")
LONG_SECONDS = 14.0
"""Longer than the server's patience with a client that does not read (SEND_SECONDS)."""
SILENT_SECONDS = 9.0
"""Longer than the client's patience with a silent server."""


@dataclass(frozen=True)
class Round:
    """Faults that are there at one time, and for how many seconds all of them are."""

    faults: list[Fault]
    seconds: float

    @property
    def kinds(self) -> str:
        """What is injected, in words."""
        long = f" for {self.seconds:.0f} s" if self.seconds >= SILENT_SECONDS else ""
        return " + ".join(fault.kind for fault in self.faults) + long

    def __str__(self) -> str:
        return f"{' + '.join(map(str, self.faults))} for {self.seconds:.1f} s"


def rounds_of(stack: Stack, clients: int, seed: int) -> Iterator[Round | None]:
    """Yield every kind of fault at least once in a random order, some overlapping; then None; then more, for ever."""
    rng = random.Random(seed)
    rounds = _local_rounds(stack, clients, rng) + _long_rounds(stack, clients, rng)
    rounds += [Round([fault], 0.5) for fault in _global(stack, clients)]
    rng.shuffle(rounds)
    yield from rounds
    yield None
    while True:
        yield from _local_rounds(stack, clients, rng)


def _local_rounds(stack: Stack, clients: int, rng: random.Random) -> list[Round]:
    faults, rounds = _local(stack, clients, rng), []
    rng.shuffle(faults)
    while faults:
        chosen = [faults.pop()]
        other = next((fault for fault in faults if not _share(fault, chosen[0])), None)
        if other is not None and rng.random() < 0.5:
            faults.remove(other)
            chosen.append(other)
        rounds.append(Round(chosen, rng.uniform(1.0, 4.0)))
    return rounds


def _long_rounds(stack: Stack, clients: int, rng: random.Random) -> list[Round]:
    one, other = (Place("client", number) for number in rng.sample(range(1, clients + 1), 2))
    kill = Signal("kill-server", stack, [SERVER], signal.SIGKILL)
    return [
        Round([Pause("pause-client", stack, [one]), kill], LONG_SECONDS),
        Round([Filter("partition", stack, one), Filter("mute", stack, other)], SILENT_SECONDS),
        Round([Filter("partition", stack, SERVER), Pause("pause-client", stack, [other])], SILENT_SECONDS),
    ]


def _share(one: Fault, other: Fault) -> bool:
    return bool(set(one.places) & set(other.places))


def _local(stack: Stack, clients: int, rng: random.Random) -> list[Fault]:
    def client() -> Place:
        return Place("client", rng.randint(1, clients))

    found: list[Fault] = []
    for place in (SERVER, COLLECTOR, client()):
        found.append(Signal(f"kill-{place.service}", stack, [place], signal.SIGKILL))
        found.append(Signal(f"term-{place.service}", stack, [place], signal.SIGTERM))
    for place in (SERVER, client()):
        found.append(Pause(f"pause-{place.service}", stack, [place]))
        found.append(Filter("partition", stack, place))
        found.append(Filter("reset", stack, place))
        found.append(Disconnect(f"disconnect-{place.service}", stack, [place]))
    found += [Filter(kind, stack, client()) for kind in ("deaf", "mute", "loss", "nameless")]
    return found


def _global(stack: Stack, clients: int) -> list[Fault]:
    all_clients = [Place("client", number) for number in range(1, clients + 1)]
    everything = [SERVER, COLLECTOR, *all_clients]
    return [
        Signal("kill-all", stack, everything, signal.SIGKILL),
        Deed("recreate-server", stack, [SERVER], lambda: recreate(stack, "server", 1)),
        Deed("recreate-clients", stack, all_clients, lambda: recreate(stack, "client", clients)),
        Deed("scale-to-1", stack, all_clients, lambda: stack.scale(1), lambda: stack.scale(clients)),
        Deed("scale-up", stack, all_clients, lambda: stack.scale(clients + 2), lambda: stack.scale(clients)),
    ]
