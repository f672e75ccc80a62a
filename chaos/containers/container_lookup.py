"""Finds the containers of a stack and their processes; ids are asked of the engine once and cached."""

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
"""Deadline for a restarted container to run: the engine's back-off grows with every restart."""


class Target(NamedTuple):
    """One container of a stack: the target of a fault."""

    service: str
    number: int = 1

    def __str__(self) -> str:
        return f"{self.service}-{self.number}"


SERVER, COLLECTOR = Target("server"), Target("collector")


def client_targets(count: int) -> tuple[Target, ...]:
    """Return the first ``count`` clients of a stack."""
    return tuple(Target("client", number) for number in range(1, count + 1))


class Containers:
    """Maps each target of a stack to its container id and its process ids on the host."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._ids: dict[Target, str] = {}
        self._pids: dict[Target, int] = {}

    def id(self, target: Target) -> str:
        """Return the id of a container, running or not."""
        if target not in self._ids:
            self._ids[target] = self.stack.container(*target)
        return self._ids[target]

    def forget(self, targets: Iterable[Target]) -> None:
        """Drop the cached ids of containers that were replaced."""
        for target in targets:
            self._ids.pop(target, None)
            self._pids.pop(target, None)

    def state(self, target: Target) -> dict[str, Any]:
        """Return the engine's ``State`` object of a container."""
        state: dict[str, Any] = json.loads(docker("inspect", "--format", "{{json .State}}", self.id(target)))
        return state

    def init_pid(self, target: Target) -> int:
        """Wait until a container runs; return the id on the host of its first process."""
        pid = self._pids.get(target, 0)
        if not pid or not Path(f"/proc/{pid}").exists():
            self.wait_running(target)
        return self._pids[target]

    def last_init_pid(self, target: Target) -> int:
        """Return the cached id of a container's first process, 0 if there is none; does not call the engine."""
        return self._pids.get(target, 0)

    def service_pid(self, target: Target) -> int:
        """Wait for the service's own process, the child of the container's init; return its id on the host."""
        init = self.init_pid(target)
        children = Path(f"/proc/{init}/task/{init}/children")
        pids = poll_until(lambda: children.read_text(encoding="ascii").split(), f"{target} has a service", BACK_SECONDS)
        return int(pids[0])

    def wait_running(self, target: Target, instead_of: int = 0) -> float:
        """Wait until a container runs with a first process other than ``instead_of``.

        Returns the time at which the container was started, in epoch seconds.
        """

        def started_at() -> float:
            state = self.state(target)
            pid = int(state["Pid"]) if state["Running"] and not state["Restarting"] else 0
            if pid in (0, instead_of):
                return 0.0
            self._pids[target] = pid
            return datetime.fromisoformat(state["StartedAt"]).timestamp()

        return poll_until(started_at, f"{target} runs with a process other than {instead_of}", BACK_SECONDS, 0.4)


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process in bytes, 0 if the process has ended."""
    with contextlib.suppress(OSError):
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    return 0
