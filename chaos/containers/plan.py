"""Plans which faults are injected where and for how long. Pure: the seed decides everything."""

from __future__ import annotations

import random
from dataclasses import dataclass

from chaos.containers.container_lookup import COLLECTOR, SERVER, Target, client_targets

CLIENT_KINDS = (
    "kill", "term", "oom", "pause", "partition", "deaf", "mute", "reset", "loss", "disconnect", "nameless",
)  # fmt: skip
SERVER_KINDS = ("kill", "term", "oom", "pause", "partition", "reset", "disconnect", "recreate")
COLLECTOR_KINDS = ("kill", "term", "pause")
SILENT_KINDS = ("partition", "deaf", "mute")
SILENT_SECONDS = 7.0
"""Longer than the timeouts of either side; a quarter of the silent faults last this long."""
PAUSE_SECONDS = 5.0
LONG_SECONDS = 60.0
SERVER_GAP_SECONDS = (1.0, 3.0)
"""Range of the gap between two faults of a server: starting containers takes most of two cores, and clients have to
recover meanwhile."""


@dataclass(frozen=True)
class PlannedFault:
    """A fault to be injected into all ``targets`` at once, and to be ended after ``seconds``."""

    kind: str
    targets: tuple[Target, ...]
    seconds: float = 0.0

    @property
    def concerns_all(self) -> bool:
        """Whether it affects all clients."""
        return SERVER in self.targets or len(self.targets) > 1 or self.kind.startswith("scale")

    def __str__(self) -> str:
        where = str(self.targets[0]) if len(self.targets) == 1 else f"{len(self.targets)} places"
        return f"{self.kind:19} {where:11} {self.seconds:4.1f} s"


FaultSequence = tuple[PlannedFault, ...]
"""Faults that are injected one after the other, with no other fault in their targets in between."""


@dataclass(frozen=True)
class Lane:
    """Faults that are injected one after the other, never two at a time.

    Attributes:
        name: of the lane.
        sequences: the faults, in order.
        gap_seconds: shortest and longest gap before each sequence.
    """

    name: str
    sequences: tuple[FaultSequence, ...]
    gap_seconds: tuple[float, float] = (0.5, 2.0)


@dataclass(frozen=True)
class StackPlan:
    """One stack and the lanes of faults that are injected into it.

    Attributes:
        name: of the stack.
        clients: number of clients, apart from scaling.
        rate: records per second.
        seconds: length of the run at that rate.
        lanes: run at the same time.
    """

    name: str
    clients: int
    rate: int
    seconds: int
    lanes: tuple[Lane, ...]

    @property
    def records(self) -> int:
        """Number of records of the run."""
        return self.rate * self.seconds


def smoke(seed: int) -> list[StackPlan]:
    """Return one stack of three clients with the most important faults."""
    rng = random.Random(f"{seed} smoke")
    one, two, three = clients = client_targets(3)
    server = [_planned("kill", SERVER, rng), _planned("term", SERVER, rng)]
    rng.shuffle(server)
    lanes = (
        Lane("server", tuple((fault,) for fault in (*server, PlannedFault("kill-all", (SERVER, COLLECTOR, *clients))))),
        _lane(rng, [("kill", one), ("reset", one)]),
        _lane(rng, [("pause", two), ("partition", two)]),
        _lane(rng, [("oom", three), ("loss", three)]),
        _lane(rng, [("kill", COLLECTOR)]),
    )
    return [StackPlan("smoke", 3, 60, 80, lanes)]


def full(seed: int) -> list[StackPlan]:
    """Return three stacks that run at the same time, with at least ten faults of every kind.

    Three and not more, since the engine's health probes of a further stack would take a large part of a core.
    """
    return [_fleet(seed), _storm(seed), _steady(seed)]


def _fleet(seed: int) -> StackPlan:
    """Scale and recreate five clients, with other faults in between."""
    rng, clients = random.Random(f"{seed} fleet"), client_targets(5)
    sequences: list[FaultSequence] = [(_planned(kind, SERVER, rng),) for kind in SERVER_KINDS for _ in range(4)]
    sequences += [(PlannedFault("recreate-clients", clients),)] * 10
    sequences += [_scale_sequence(5, (1, 5, most, 5)) for most in (20, 7, 7, 7, 7)]
    return _server_stack("fleet", rng, clients, sequences, (5.0, 60.0))


def _storm(seed: int) -> StackPlan:
    """Inject many faults into the server of two clients, kill all containers at once, and inject client faults."""
    rng, clients = random.Random(f"{seed} storm"), client_targets(2)
    sequences: list[FaultSequence] = [(_planned(kind, SERVER, rng),) for kind in SERVER_KINDS for _ in range(6)]
    sequences += [(PlannedFault("kill-all", (SERVER, COLLECTOR, *clients)),)] * 10
    return _server_stack("storm", rng, clients, sequences, (5.0, 40.0))


def _server_stack(
    name: str,
    rng: random.Random,
    clients: tuple[Target, ...],
    sequences: list[FaultSequence],
    gap_seconds: tuple[float, float],
) -> StackPlan:
    """Return a stack whose server lane has these sequences in random order, next to lanes of clients and collector.

    Args:
        name: of the stack.
        rng: source of randomness.
        clients: of the stack.
        sequences: of the server lane; shuffled in place.
        gap_seconds: bounds of the pause between two faults of a client.
    """
    rng.shuffle(sequences)
    lanes = (
        Lane("server", tuple(sequences), SERVER_GAP_SECONDS),
        *_client_lanes(clients, rng, 3, gap_seconds),
        _collector_lane(rng, 3),
    )
    return StackPlan(name, len(clients), 40, 900, lanes)


def _steady(seed: int) -> StackPlan:
    """Inject faults into clients only, with pauses of a minute in four of them, which must not cost server memory."""
    rng, clients = random.Random(f"{seed} steady"), client_targets(7)
    long = [
        Lane(str(target), ((PlannedFault("pause-60s-client", (target,), LONG_SECONDS),),) * 3, (0.0, 5.0))
        for target in clients[3:]
    ]
    lanes = (*_client_lanes(clients[:3], rng, 7, (0.5, 4.0)), *long, _collector_lane(rng, 4))
    return StackPlan("steady", 7, 80, 500, lanes)


def _scale_sequence(usual_count: int, numbers: tuple[int, ...]) -> FaultSequence:
    steps, now = [], usual_count
    for number in numbers:
        steps.append(PlannedFault("scale-up" if number > now else "scale-down", client_targets(number)))
        now = number
    return tuple(steps)


def _collector_lane(rng: random.Random, times: int) -> Lane:
    return _lane(rng, [(kind, COLLECTOR) for kind in COLLECTOR_KINDS for _ in range(times)], (5.0, 30.0))


def _client_lanes(
    targets: tuple[Target, ...], rng: random.Random, times: int, gap_seconds: tuple[float, float]
) -> list[Lane]:
    """Distribute ``times`` faults of every kind among the clients, as evenly as possible."""
    kinds = [kind for kind in CLIENT_KINDS for _ in range(times)]
    rng.shuffle(kinds)
    return [
        _lane(rng, [(kind, target) for kind in kinds[at :: len(targets)]], gap_seconds)
        for at, target in enumerate(targets)
    ]


def _lane(rng: random.Random, faults: list[tuple[str, Target]], gap_seconds: tuple[float, float] = (0.5, 2.0)) -> Lane:
    """Return a lane with faults in random order."""
    rng.shuffle(faults)
    return Lane(str(faults[0][1]), tuple((_planned(kind, target, rng),) for kind, target in faults), gap_seconds)


def _planned(kind: str, target: Target, rng: random.Random) -> PlannedFault:
    seconds = round(rng.uniform(1.0, 5.0), 1)
    if kind in ("kill", "term", "oom", "recreate"):
        seconds = 0.0
    elif kind == "pause":
        seconds = PAUSE_SECONDS
    elif kind in SILENT_KINDS and rng.random() < 0.25:
        seconds = SILENT_SECONDS
    return PlannedFault(f"{kind}-{target.service}", (target,), seconds)
