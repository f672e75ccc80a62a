"""The containers of a stack: asked of the engine once, and remembered for as long as they live."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from tests.integration.stack import Stack, docker
from tests.poll import poll_until

BACK_SECONDS = 60.0
"""Within which the engine has started a container again: it waits longer each time."""


class Place(NamedTuple):
    """One container of a stack."""

    service: str
    number: int = 1

    def __str__(self) -> str:
        return f"{self.service}-{self.number}"


SERVER, COLLECTOR = Place("server"), Place("collector")


def clients_of(count: int) -> tuple[Place, ...]:
    """Return the first so many clients."""
    return tuple(Place("client", number) for number in range(1, count + 1))


class Containers:
    """Where each place of a stack is: its container and its processes on the host."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._ids: dict[Place, str] = {}
        self._pids: dict[Place, int] = {}

    def id(self, place: Place) -> str:
        """Return the id of a container, running or not."""
        if place not in self._ids:
            self._ids[place] = self.stack.container(*place)
        return self._ids[place]

    def forget(self, places: Iterable[Place]) -> None:
        """Ask anew for containers that were replaced."""
        for place in places:
            self._ids.pop(place, None)
            self._pids.pop(place, None)

    def state(self, place: Place) -> dict[str, Any]:
        """Return what the engine says of a container's state."""
        found: dict[str, Any] = json.loads(docker("inspect", "--format", "{{json .State}}", self.id(place)))
        return found

    def init(self, place: Place) -> int:
        """Return the host's id of a container's first process; waits until it runs."""
        pid = self._pids.get(place, 0)
        if not pid or not Path(f"/proc/{pid}").exists():
            self.back(place)
        return self._pids[place]

    def last_init(self, place: Place) -> int:
        """Return the first process that a container was last known to have, 0 for none; asks nobody."""
        return self._pids.get(place, 0)

    def service(self, place: Place) -> int:
        """Return the host's id of the service's own process, the child of the container's init; waits for it."""
        init = self.init(place)
        children = Path(f"/proc/{init}/task/{init}/children")
        found = poll_until(lambda: children.read_text(encoding="ascii").split(), f"{place} has a service", BACK_SECONDS)
        return int(found[0])

    def back(self, place: Place, instead_of: int = 0) -> float:
        """Wait until a container runs, with another first process than ``instead_of``; return since when (epoch s)."""

        def other() -> float:
            state = self.state(place)
            pid = int(state["Pid"]) if state["Running"] and not state["Restarting"] else 0
            if pid in (0, instead_of):
                return 0.0
            self._pids[place] = pid
            return datetime.fromisoformat(state["StartedAt"]).timestamp()

        return poll_until(other, f"{place} runs, not as {instead_of}", BACK_SECONDS, 0.4)


def resident_bytes(pid: int) -> int:
    """Return how much memory a process holds, 0 when it is gone."""
    with contextlib.suppress(OSError):
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return 0
