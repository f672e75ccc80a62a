"""Faults that a host can do to containers. Each is injected, lasts, and is healed; nothing of it stays behind."""

from __future__ import annotations

import contextlib
import os
import signal
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import NamedTuple

from tests.integration.stack import Stack, _run, docker
from tests.poll import poll_until

BACK_SECONDS = 60.0
"""Within which the engine has started a container again: it waits longer each time."""

ESTABLISHED = "01"


class Place(NamedTuple):
    """One container of a stack."""

    service: str
    number: int = 1

    def __str__(self) -> str:
        return f"{self.service}-{self.number}"


class Fault(ABC):
    """One fault at some places. Those with a place in common never overlap."""

    def __init__(self, kind: str, stack: Stack, places: Sequence[Place]) -> None:
        self.kind, self.stack, self.places = kind, stack, list(places)

    def __str__(self) -> str:
        return f"{self.kind} {' '.join(map(str, self.places))}"

    @abstractmethod
    def inject(self) -> None:
        """Begin it."""

    @abstractmethod
    def heal(self) -> None:
        """End it; returns when it has ended."""


def running(stack: Stack, place: Place, instead_of: int = 0) -> int:
    """Wait until a container runs, with another process than ``instead_of``; return the host's id of that."""

    def other() -> int:
        state = stack.inspect(*place)["State"]
        pid = int(state["Pid"]) if state["Running"] and not state["Restarting"] else 0
        return pid if pid != instead_of else 0

    return poll_until(other, f"{place} runs, not as {instead_of}", BACK_SECONDS)


class Signal(Fault):
    """Signal the first process of containers, all at once, from the host; the restart policy brings them back."""

    def __init__(self, kind: str, stack: Stack, places: Sequence[Place], number: signal.Signals) -> None:
        super().__init__(kind, stack, places)
        self._number = number
        self._pids: dict[Place, int] = {}

    def inject(self) -> None:
        """Send the signal."""
        self._pids = {place: running(self.stack, place) for place in self.places}
        for pid in self._pids.values():
            os.kill(pid, self._number)

    def heal(self) -> None:
        """Wait until all run again."""
        for place, pid in self._pids.items():
            running(self.stack, place, instead_of=pid)


class Pause(Fault):
    """Freeze containers: their kernels still accept TCP."""

    def inject(self) -> None:
        """Freeze."""
        docker("pause", *(self.stack.container(*place) for place in self.places))

    def heal(self) -> None:
        """Thaw."""
        docker("unpause", *(self.stack.container(*place) for place in self.places))


Rule = list[str]
IN, OUT = ["INPUT", "!", "-i", "lo"], ["OUTPUT", "!", "-o", "lo"]
RESET = ["-p", "tcp", "-j", "REJECT", "--reject-with", "tcp-reset"]
LOSS = ["-m", "statistic", "--mode", "random", "--probability", "0.25", "-j", "DROP"]
RULES: dict[str, list[Rule]] = {
    "partition": [[*IN, "-j", "DROP"], [*OUT, "-j", "DROP"]],
    "deaf": [[*IN, "-j", "DROP"]],
    "mute": [[*OUT, "-j", "DROP"]],
    "reset": [[*IN, *RESET], [*OUT, *RESET]],
    "loss": [[*IN, *LOSS], [*OUT, *LOSS]],
    "nameless": [["OUTPUT", "-d", "127.0.0.11", "-j", "DROP"]],
}


class Filter(Fault):
    """Packet filter rules in a container's own network namespace."""

    def __init__(self, kind: str, stack: Stack, place: Place) -> None:
        super().__init__(kind, stack, [place])
        self._namespace = ""
        self._added: list[Rule] = []

    def inject(self) -> None:
        """Add the rules of this kind."""
        pid = running(self.stack, self.places[0])
        self._namespace = _namespace(pid)
        self._add(pid, RULES[self.kind])
        if self.kind == "nameless":
            # It shows only in who has to connect again.
            self._add(pid, RULES["reset"])
            poll_until(lambda: not _connected(pid), f"{self.places[0]} has lost its connection", 30)
            self._remove(pid, RULES["reset"])

    def heal(self) -> None:
        """Remove exactly those rules. A container that was made anew has a namespace without them."""
        pid = running(self.stack, self.places[0])
        if _namespace(pid) == self._namespace:
            self._remove(pid, list(self._added))
        self._added.clear()

    def _add(self, pid: int, rules: list[Rule]) -> None:
        for rule in rules:
            _iptables(pid, "-I", rule)
            self._added.append(rule)

    def _remove(self, pid: int, rules: list[Rule]) -> None:
        for rule in rules:
            _iptables(pid, "-D", rule)
            self._added.remove(rule)


def _namespace(pid: int) -> str:
    return os.readlink(f"/proc/{pid}/ns/net")


def _iptables(pid: int, verb: str, rule: Rule) -> None:
    command = ["nsenter", "-t", str(pid), "-n", "iptables", "-w", verb, *rule]
    _run(command, dict(os.environ), check=True, timeout=30)


def _connected(pid: int) -> bool:
    with open(f"/proc/{pid}/net/tcp", encoding="ascii") as table:
        return any(line.split()[3] == ESTABLISHED for line in list(table)[1:])


class Disconnect(Fault):
    """Take containers off the wire and put them back, with the alias that Compose gave them."""

    @property
    def _network(self) -> str:
        return f"{self.stack.project}_wire"

    def inject(self) -> None:
        """Disconnect."""
        for place in self.places:
            docker("network", "disconnect", self._network, self.stack.container(*place))

    def heal(self) -> None:
        """Connect again."""
        for place in self.places:
            container = self.stack.container(*place)
            docker("network", "connect", "--alias", place.service, self._network, container)


class Deed(Fault):
    """Something that Compose does: ``--force-recreate``, another number of clients."""

    def __init__(
        self,
        kind: str,
        stack: Stack,
        places: Sequence[Place],
        do: Callable[[], object],
        undo: Callable[[], object] = lambda: None,
    ) -> None:
        super().__init__(kind, stack, places)
        self._do, self._undo = do, undo

    def inject(self) -> None:
        """Do it."""
        self._do()

    def heal(self) -> None:
        """Undo it."""
        self._undo()


def recreate(stack: Stack, service: str, scale: int) -> None:
    """Replace the containers of a service by new ones of the same image."""
    options = ["--detach", "--no-build", "--no-deps", "--force-recreate", "--scale", f"{service}={scale}"]
    stack.compose("up", *options, service)


class Tmpfs:
    """A small file system of its own in place of a folder of the host."""

    def __init__(self, path: os.PathLike[str], size: str) -> None:
        self.path = os.fspath(path)
        os.makedirs(self.path, exist_ok=True)
        _host("mount", "-t", "tmpfs", "-o", f"size={size},mode=0777", "sgtest", self.path)

    def read_only(self, on: bool) -> None:
        """Let it be written, or not; refused by the kernel while somebody has a file open for writing."""
        _host("mount", "-o", f"remount,{'ro' if on else 'rw'}", self.path)

    def fill(self) -> None:
        """Leave no byte free."""
        with contextlib.suppress(OSError), open(self._ballast, "ab", buffering=0) as ballast:
            while True:
                ballast.write(bytes(65_536))
        with contextlib.suppress(OSError), open(self._ballast, "ab", buffering=0) as ballast:
            while True:
                ballast.write(b"\0")

    def free(self) -> None:
        """Give the space back."""
        os.unlink(self._ballast)

    @property
    def _ballast(self) -> str:
        return os.path.join(self.path, ".ballast")

    def close(self) -> None:
        """Unmount, once the containers are gone."""
        _host("umount", self.path)


def _host(*command: str) -> None:
    _run(list(command), dict(os.environ), check=True, timeout=30)
