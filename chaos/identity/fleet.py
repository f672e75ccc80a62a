"""What an operator can do to the clients of a stack: more, fewer, new ones, killed ones, and two with one name."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from chaos.identity.invariants import EVERY
from chaos.identity.names import ANSWER_SECONDS, NAMED_SECONDS, Done
from tests.integration.stack import Stack, docker
from tests.poll import poll_until

Operation = Callable[[random.Random], tuple[str, float, float | None]]
"""Does one thing; returns what it struck, when that had ended (0 for now), and how long naming a conflict took."""

LOGS = "/volumes/logs"
MOST = 5
BACK_SECONDS = 40.0


@dataclass(frozen=True)
class Double:
    """A container that was started beside the fleet with the name of one in it."""

    container: str
    name: str


@dataclass(frozen=True)
class Said:
    """What a process said, its whole events by their time."""

    events: list[dict[str, Any]]

    @classmethod
    def of(cls, container: str) -> Said:
        """Read what a container has said in all its lives; nothing when it is gone."""
        lines = docker("logs", container, check=False).splitlines()
        return cls([json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")])

    def when(self, event: str) -> list[float]:
        """Return the epoch seconds at which an event was logged."""
        return [datetime.fromisoformat(one["at"]).timestamp() for one in self.events if one["event"] == event]

    def all(self, event: str, field: str) -> list[str]:
        """Return a field of every event of a kind."""
        return [str(one[field]) for one in self.events if one["event"] == event]


class Fleet:
    """The clients of one stack. Two threads may be at work in it: one that composes, and one that strikes."""

    def __init__(self, stack: Stack, size: int) -> None:
        self.stack, self.size = stack, size
        self.doubles: list[Double] = []
        self.done: list[Done] = []
        self.told: list[str] = []
        """The names that were given to those who asked for another's."""

    def compose(self, rng: random.Random, operations: int) -> None:
        """Scale up and down, and make all clients anew, so many times; each time until all are there."""
        for _ in range(operations):
            self._do(rng.choice([self.scale, self.scale, self.recreate]), rng)
            self.names()

    def strike(self, rng: random.Random, operations: int) -> None:
        """Kill clients, and start and end others with their names, so many times."""
        for _ in range(operations):
            choices = [self.kill, self.double] if len(self.doubles) < 2 else [self.kill, self.leave]
            self._do(rng.choice(choices), rng)
            moment = partial(passed, time.monotonic() + rng.uniform(0.2, 1.2))
            # So that the next one strikes in the middle of a block.
            poll_until(moment, "a moment has passed", 5, 0.05)

    def doubled(self, rng: random.Random, times: int) -> None:
        """Start so many others while nothing else happens, so that their names are taken; end them all."""
        for _ in range(times):
            self._do(self.double, rng)
        while self.doubles:
            self._do(self.leave, rng)

    def names(self) -> list[str]:
        """Wait until all clients of the fleet have a name each, and return these."""

        def found() -> list[str]:
            said = [admitted(container) for container in self.containers()]
            names = [one.all("subscribed", "client")[-1] for one in said if one is not None]
            return names if len(names) == self.size == len(set(names)) else []

        return poll_until(found, f"{self.size} clients have a name each", BACK_SECONDS, 0.2)

    def _do(self, operation: Operation, rng: random.Random) -> None:
        began = time.time()
        name, ended, named = operation(rng)
        kind = f"container-{operation.__name__}"
        self.done.append(Done(kind, name, began, ended or time.time(), [] if named is None else [named]))

    def scale(self, rng: random.Random) -> tuple[str, float, None]:
        """Go on with more clients or fewer."""
        self.size = rng.choice([size for size in range(1, MOST + 1) if size != self.size])
        self.stack.scale(self.size)
        return EVERY, 0.0, None

    def recreate(self, _: random.Random) -> tuple[str, float, None]:
        """Make every client anew: the same names in new containers."""
        options = ["--detach", "--no-deps", "--no-build", "--force-recreate", "--scale", f"client={self.size}"]
        self.stack.compose("up", *options, "client")
        return EVERY, 0.0, None

    def kill(self, rng: random.Random) -> tuple[str, float, None]:
        """Kill one by its process id on the host; it comes back, if nobody has removed it meanwhile."""
        killed = poll_until(lambda: self._killed(rng), "one is killed", BACK_SECONDS, 0.2)
        assert killed is not None
        container, name, pid = killed
        return name, poll_until(lambda: self._back(container, pid), f"{name} is back", BACK_SECONDS, 0.2), None

    def _killed(self, rng: random.Random) -> tuple[str, str, int] | None:
        running = self.containers()
        if not running:
            return None
        container = rng.choice(running)
        life = self._state(container).get("StartedAt")
        subscribed = max(Said.of(container).when("subscribed"), default=0.0)
        if life is None or subscribed < datetime.fromisoformat(life).timestamp():
            return None
        said = docker("inspect", "--format", "{{.Name}} {{.State.Pid}}", container, check=False).split()
        if len(said) < 2 or said[1] == "0":
            return None
        try:
            os.kill(int(said[1]), signal.SIGKILL)
        except ProcessLookupError:
            return None
        # One that is being made anew has another name for a moment: 0123abcd_sgtest-client-1.
        return container, said[0].rpartition(f"{self.stack.project}-")[2], int(said[1])

    def double(self, rng: random.Random) -> tuple[str, float, float | None]:
        """Start another client with a name that a client of the fleet has."""
        name = f"client-{rng.randint(1, self.size)}"
        options = ["--detach", "--no-deps", "--env", f"CLIENT_ID={name}"]
        container = self.stack.compose("run", *options, "client").stdout.split()[-1]
        self.doubles.append(Double(container, name))
        said = poll_until(lambda: admitted(container), f"the second {name} is admitted", BACK_SECONDS, 0.2)
        assert said is not None
        # Its name may have been free: then it was killed, or is being made anew.
        taken = said.when("name is taken")
        assert bool(taken) == (name not in said.all("subscribed", "client")), said.events
        named = taken[0] - said.when("client")[0] if taken else None
        assert (named or 0.0) <= ANSWER_SECONDS + NAMED_SECONDS, said.events
        return name, 0.0, named

    def leave(self, rng: random.Random) -> tuple[str, float, None]:
        """End one of the doubles, well or not, and remove it."""
        double = self.doubles.pop(rng.randrange(len(self.doubles)))
        if rng.random() < 0.5:
            docker("stop", double.container)
        else:
            os.kill(self._state(double.container)["Pid"], signal.SIGKILL)
        ended = time.time()
        self.told += Said.of(double.container).all("name is taken", "suggest")
        docker("rm", "--force", double.container)
        return double.name, ended, None

    def containers(self) -> list[str]:
        """Return the ids of the fleet's clients, without the doubles."""
        labels = {"project": self.stack.project, "service": "client", "oneoff": "False"}
        filters = [f"--filter=label=com.docker.compose.{key}={value}" for key, value in labels.items()]
        return docker("ps", "--quiet", "--no-trunc", *filters).split()

    @staticmethod
    def _state(container: str) -> dict[str, Any]:
        said = docker("inspect", "--format", "{{json .State}}", container, check=False)
        return json.loads(said) if said.startswith("{") else {}

    def _back(self, container: str, instead_of: int) -> float:
        state = self._state(container)
        if not state or container not in self.containers():
            # Removed, or stopped for good, by whoever composes.
            return time.time() if not state or not (state["Restarting"] or state["Running"]) else 0.0
        if state["Restarting"] or state["Pid"] in (0, instead_of):
            return 0.0
        return datetime.fromisoformat(state["StartedAt"]).timestamp()


def passed(moment: float) -> bool:
    """Tell whether a time of the monotonic clock has come."""
    return time.monotonic() >= moment


def admitted(container: str) -> Said | None:
    """Return what a container has said once it was admitted."""
    said = Said.of(container)
    return said if said.when("subscribed") else None


def services_of(folder: Path) -> Iterator[int]:
    """Yield the processes on this host, in containers, that are clients with this folder mounted for their logs."""
    ours = folder.stat()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if b"services.client" not in Path(f"/proc/{pid}/cmdline").read_bytes():
                continue
            theirs = os.stat(f"/proc/{pid}/root{LOGS}")
            if (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino):
                yield int(pid)
