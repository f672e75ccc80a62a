"""Which faults, where, for how long: a pure function of the seed."""

from __future__ import annotations

import random
from dataclasses import dataclass

from chaos.containers.container_lookup import COLLECTOR, SERVER, Place, clients_of

CLIENT_KINDS = (
    "kill", "term", "oom", "pause", "partition", "deaf", "mute", "reset", "loss", "disconnect", "nameless",
)  # fmt: skip
SERVER_KINDS = ("kill", "term", "oom", "pause", "partition", "reset", "disconnect", "recreate")
COLLECTOR_KINDS = ("kill", "term", "pause")
SILENT_KINDS = ("partition", "deaf", "mute")
SILENT_SECONDS = 7.0
"""Longer than either side's patience with one that is silent; one in four such faults is."""
PAUSE_SECONDS = 5.0
LONG_SECONDS = 60.0
REST = (1.0, 3.0)
"""Between two faults of a server: starting containers is what keeps two cores busy, and others recover meanwhile."""


@dataclass(frozen=True)
class Strike:
    """One fault that is to be injected at some places at once, and after how many seconds it is healed."""

    kind: str
    places: tuple[Place, ...]
    seconds: float = 0.0

    @property
    def concerns_all(self) -> bool:
        """Whether every client is struck with it."""
        return SERVER in self.places or len(self.places) > 1 or self.kind.startswith("scale")

    def __str__(self) -> str:
        where = str(self.places[0]) if len(self.places) == 1 else f"{len(self.places)} places"
        return f"{self.kind:19} {where:11} {self.seconds:4.1f} s"


Turn = tuple[Strike, ...]
"""Strikes that follow each other without anybody else's in between at these places."""


@dataclass(frozen=True)
class Lane:
    """What strikes one place after the other, never two at a time.

    Attributes:
        name: of the lane.
        turns: what it does, in this order.
        rest: between so many and so many seconds of rest before each turn.
    """

    name: str
    turns: tuple[Turn, ...]
    rest: tuple[float, float] = (0.5, 2.0)


@dataclass(frozen=True)
class Game:
    """One stack and the lanes of faults that are played on it.

    Attributes:
        name: of the stack.
        clients: how many it has when nobody scales it.
        rate: records per second.
        seconds: for so long there are records at that rate, at least.
        lanes: what is played.
    """

    name: str
    clients: int
    rate: int
    seconds: int
    lanes: tuple[Lane, ...]

    @property
    def records(self) -> int:
        """The length of the run."""
        return self.rate * self.seconds


def smoke(seed: int) -> list[Game]:
    """Return one stack of three clients, and the faults that matter most."""
    rng = random.Random(f"{seed} smoke")
    one, two, three = people = clients_of(3)
    server = [_strike("kill", SERVER, rng), _strike("term", SERVER, rng)]
    rng.shuffle(server)
    lanes = (
        Lane("server", tuple((strike,) for strike in (*server, Strike("kill-all", (SERVER, COLLECTOR, *people))))),
        _lane(rng, [("kill", one), ("reset", one)]),
        _lane(rng, [("pause", two), ("partition", two)]),
        _lane(rng, [("oom", three), ("loss", three)]),
        _lane(rng, [("kill", COLLECTOR)]),
    )
    return [Game("smoke", 3, 60, 80, lanes)]


def full(seed: int) -> list[Game]:
    """Return three stacks that are played side by side: of every kind of fault at least ten.

    Not more: the engine's health probes of every further one take a good part of a core from all.
    """
    return [_fleet(seed), _storm(seed), _steady(seed)]


def _fleet(seed: int) -> Game:
    """Five clients are scaled and made anew, and struck in between."""
    rng, people = random.Random(f"{seed} fleet"), clients_of(5)
    turns: list[Turn] = [(_strike(kind, SERVER, rng),) for kind in SERVER_KINDS for _ in range(4)]
    turns += [(Strike("recreate-clients", people),)] * 10
    turns += [_scaling(5, (1, 5, most, 5)) for most in (20, 7, 7, 7, 7)]
    rng.shuffle(turns)
    lanes = (Lane("server", tuple(turns), REST), *_client_lanes(people, rng, 3, (5.0, 60.0)), _collector_lane(rng, 3))
    return Game("fleet", 5, 40, 900, lanes)


def _storm(seed: int) -> Game:
    """The server of two clients is struck again and again, everything at once is killed, clients in between."""
    rng, people = random.Random(f"{seed} storm"), clients_of(2)
    turns: list[Turn] = [(_strike(kind, SERVER, rng),) for kind in SERVER_KINDS for _ in range(6)]
    turns += [(Strike("kill-all", (SERVER, COLLECTOR, *people)),)] * 10
    rng.shuffle(turns)
    lanes = (Lane("server", tuple(turns), REST), *_client_lanes(people, rng, 3, (5.0, 40.0)), _collector_lane(rng, 3))
    return Game("storm", 2, 40, 900, lanes)


def _steady(seed: int) -> Game:
    """Clients alone are struck, four of them with pauses of a minute: the server's memory must not show it."""
    rng, people = random.Random(f"{seed} steady"), clients_of(7)
    long = [
        Lane(str(place), ((Strike("pause-60s-client", (place,), LONG_SECONDS),),) * 3, (0.0, 5.0))
        for place in people[3:]
    ]
    lanes = (*_client_lanes(people[:3], rng, 7, (0.5, 4.0)), *long, _collector_lane(rng, 4))
    return Game("steady", 7, 80, 500, lanes)


def _scaling(usual: int, numbers: tuple[int, ...]) -> Turn:
    steps, now = [], usual
    for number in numbers:
        steps.append(Strike("scale-up" if number > now else "scale-down", clients_of(number)))
        now = number
    return tuple(steps)


def _collector_lane(rng: random.Random, times: int) -> Lane:
    return _lane(rng, [(kind, COLLECTOR) for kind in COLLECTOR_KINDS for _ in range(times)], (5.0, 30.0))


def _client_lanes(places: tuple[Place, ...], rng: random.Random, times: int, rest: tuple[float, float]) -> list[Lane]:
    """Deal so many of every kind to the clients, as evenly as it goes."""
    kinds = [kind for kind in CLIENT_KINDS for _ in range(times)]
    rng.shuffle(kinds)
    return [_lane(rng, [(kind, place) for kind in kinds[at :: len(places)]], rest) for at, place in enumerate(places)]


def _lane(rng: random.Random, strikes: list[tuple[str, Place]], rest: tuple[float, float] = (0.5, 2.0)) -> Lane:
    """Return a lane of one place, in a random order."""
    rng.shuffle(strikes)
    return Lane(str(strikes[0][1]), tuple((_strike(kind, place, rng),) for kind, place in strikes), rest)


def _strike(kind: str, place: Place, rng: random.Random) -> Strike:
    seconds = round(rng.uniform(1.0, 5.0), 1)
    if kind in ("kill", "term", "oom", "recreate"):
        seconds = 0.0
    elif kind == "pause":
        seconds = PAUSE_SECONDS
    elif kind in SILENT_KINDS and rng.random() < 0.25:
        seconds = SILENT_SECONDS
    return Strike(f"{kind}-{place.service}", (place,), seconds)
