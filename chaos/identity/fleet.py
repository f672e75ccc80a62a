"""Operations on the clients of a stack: scale, recreate and kill them, and start others with the same names."""

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

from chaos.identity.invariants import ALL_CLIENTS
from chaos.identity.names import ANSWER_SECONDS, NAMED_SECONDS, PerformedOperation
from tests.integration.stack import Stack, docker
from tests.poll import poll_until

OperationFunction = Callable[[random.Random], tuple[str, float, float | None]]
"""Performs one operation; returns the affected name, when it ended (0 for now), and the seconds until a conflict of
names was logged (None if there was none)."""

LOGS = "/volumes/logs"
LARGEST_SIZE = 5
BACK_SECONDS = 40.0


@dataclass(frozen=True)
class Duplicate:
    """A further container that was started with the name of a client in the fleet."""

    container: str
    name: str


@dataclass(frozen=True)
class ContainerLog:
    """The complete events in a container's log, oldest first."""

    events: list[dict[str, Any]]

    @classmethod
    def read(cls, container: str) -> ContainerLog:
        """Read the log of a container over all its restarts; empty if the container was removed."""
        lines = docker("logs", container, check=False).splitlines()
        return cls([json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")])

    def when(self, event: str) -> list[float]:
        """Return the epoch seconds at which an event was logged."""
        return [datetime.fromisoformat(item["at"]).timestamp() for item in self.events if item["event"] == event]

    def values(self, event: str, field: str) -> list[str]:
        """Return a field of all events with this name."""
        return [str(item[field]) for item in self.events if item["event"] == event]


class Fleet:
    """The clients of one stack. `compose` and `disturb` may run in two threads at the same time."""

    def __init__(self, stack: Stack, size: int) -> None:
        self.stack, self.size = stack, size
        self.duplicates: list[Duplicate] = []
        self.done: list[PerformedOperation] = []
        self.suggested_names: list[str] = []
        """Names that the server suggested to duplicates instead of the taken one."""

    def compose(self, rng: random.Random, operations: int) -> None:
        """Scale or recreate the clients ``operations`` times, waiting each time until all clients have a name."""
        for _ in range(operations):
            self._do(rng.choice([self.scale, self.scale, self.recreate]), rng)
            self.names()

    def disturb(self, rng: random.Random, operations: int) -> None:
        """Kill clients, and start and end duplicates, ``operations`` times."""
        for _ in range(operations):
            choices = [self.kill, self.start_duplicate] if len(self.duplicates) < 2 else [self.kill, self.end_duplicate]
            self._do(rng.choice(choices), rng)
            is_over = partial(has_passed, time.monotonic() + rng.uniform(0.2, 1.2))
            # A random pause, so that the next operation hits the middle of a block.
            poll_until(is_over, "the pause is over", 5, 0.05)

    def add_duplicates(self, rng: random.Random, times: int) -> None:
        """Start ``times`` duplicates while nothing else happens, so that their names are taken; then end them all."""
        for _ in range(times):
            self._do(self.start_duplicate, rng)
        while self.duplicates:
            self._do(self.end_duplicate, rng)

    def names(self) -> list[str]:
        """Wait until every client of the fleet has its own name; return the names."""

        def all_named() -> list[str]:
            logs = [log_once_admitted(container) for container in self.containers()]
            names = [log.values("subscribed", "client")[-1] for log in logs if log is not None]
            return names if len(names) == self.size == len(set(names)) else []

        return poll_until(all_named, f"{self.size} clients have a name each", BACK_SECONDS, 0.2)

    def _do(self, operation: OperationFunction, rng: random.Random) -> None:
        began = time.time()
        name, ended, named_after_s = operation(rng)
        kind = f"container-{operation.__name__.replace('_', '-')}"
        named = [] if named_after_s is None else [named_after_s]
        self.done.append(PerformedOperation(kind, name, began, ended or time.time(), named))

    def scale(self, rng: random.Random) -> tuple[str, float, None]:
        """Change the number of clients."""
        self.size = rng.choice([size for size in range(1, LARGEST_SIZE + 1) if size != self.size])
        self.stack.scale(self.size)
        return ALL_CLIENTS, 0.0, None

    def recreate(self, _: random.Random) -> tuple[str, float, None]:
        """Recreate all clients: the same names in new containers."""
        options = ["--detach", "--no-deps", "--no-build", "--force-recreate", "--scale", f"client={self.size}"]
        self.stack.compose("up", *options, "client")
        return ALL_CLIENTS, 0.0, None

    def kill(self, rng: random.Random) -> tuple[str, float, None]:
        """Kill a client by its process id on the host; it restarts, unless `compose` removes it meanwhile."""
        killed = poll_until(lambda: self._kill_one(rng), "one is killed", BACK_SECONDS, 0.2)
        assert killed is not None
        container, name, pid = killed
        return name, poll_until(lambda: self._restarted_at(container, pid), f"{name} is back", BACK_SECONDS, 0.2), None

    def _kill_one(self, rng: random.Random) -> tuple[str, str, int] | None:
        running = self.containers()
        if not running:
            return None
        container = rng.choice(running)
        started_at = self._state(container).get("StartedAt")
        subscribed = max(ContainerLog.read(container).when("subscribed"), default=0.0)
        if started_at is None or subscribed < datetime.fromisoformat(started_at).timestamp():
            return None
        fields = docker("inspect", "--format", "{{.Name}} {{.State.Pid}}", container, check=False).split()
        if len(fields) < 2 or fields[1] == "0":
            return None
        try:
            os.kill(int(fields[1]), signal.SIGKILL)
        except ProcessLookupError:
            return None
        # A container that is being recreated has a temporary name: 0123abcd_sgtest-client-1.
        return container, fields[0].rpartition(f"{self.stack.project}-")[2], int(fields[1])

    def start_duplicate(self, rng: random.Random) -> tuple[str, float, float | None]:
        """Start another client with the name of a client in the fleet."""
        name = f"client-{rng.randint(1, self.size)}"
        options = ["--detach", "--no-deps", "--env", f"CLIENT_ID={name}"]
        container = self.stack.compose("run", *options, "client").stdout.split()[-1]
        self.duplicates.append(Duplicate(container, name))
        log = poll_until(lambda: log_once_admitted(container), f"the second {name} is admitted", BACK_SECONDS, 0.2)
        assert log is not None
        # The name may be free: its client may have been killed, or is being recreated.
        taken_at = log.when("name is taken")
        assert bool(taken_at) == (name not in log.values("subscribed", "client")), log.events
        named_after_s = taken_at[0] - log.when("client")[0] if taken_at else None
        assert (named_after_s or 0.0) <= ANSWER_SECONDS + NAMED_SECONDS, log.events
        return name, 0.0, named_after_s

    def end_duplicate(self, rng: random.Random) -> tuple[str, float, None]:
        """Stop or kill one of the duplicates, and remove it."""
        duplicate = self.duplicates.pop(rng.randrange(len(self.duplicates)))
        if rng.random() < 0.5:
            docker("stop", duplicate.container)
        else:
            os.kill(self._state(duplicate.container)["Pid"], signal.SIGKILL)
        ended = time.time()
        self.suggested_names += ContainerLog.read(duplicate.container).values("name is taken", "suggest")
        docker("rm", "--force", duplicate.container)
        return duplicate.name, ended, None

    def containers(self) -> list[str]:
        """Return the container ids of the fleet's clients, without the duplicates."""
        labels = {"project": self.stack.project, "service": "client", "oneoff": "False"}
        filters = [f"--filter=label=com.docker.compose.{key}={value}" for key, value in labels.items()]
        return docker("ps", "--quiet", "--no-trunc", *filters).split()

    @staticmethod
    def _state(container: str) -> dict[str, Any]:
        text = docker("inspect", "--format", "{{json .State}}", container, check=False)
        return json.loads(text) if text.startswith("{") else {}

    def _restarted_at(self, container: str, instead_of: int) -> float:
        state = self._state(container)
        if not state or container not in self.containers():
            # Removed or stopped for good by `compose`.
            return time.time() if not state or not (state["Restarting"] or state["Running"]) else 0.0
        if state["Restarting"] or state["Pid"] in (0, instead_of):
            return 0.0
        return datetime.fromisoformat(state["StartedAt"]).timestamp()


def has_passed(time_s: float) -> bool:
    """Return whether a time of the monotonic clock has passed."""
    return time.monotonic() >= time_s


def log_once_admitted(container: str) -> ContainerLog | None:
    """Return the log of a container, None until its client has been admitted."""
    log = ContainerLog.read(container)
    return log if log.when("subscribed") else None


def client_pids(folder: Path) -> Iterator[int]:
    """Yield the ids on this host of the client processes in containers that have this log folder mounted."""
    log_folder = folder.stat()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if b"services.client" not in Path(f"/proc/{pid}/cmdline").read_bytes():
                continue
            mounted = os.stat(f"/proc/{pid}/root{LOGS}")
            if (mounted.st_dev, mounted.st_ino) == (log_folder.st_dev, log_folder.st_ino):
                yield int(pid)
