"""Faults that a host can do to containers. Each is injected, lasts, and is healed; nothing of it stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from chaos.containers.container_lookup import Containers, Place
from tests.integration.stack import _run, docker
from tests.poll import poll_until

ESTABLISHED = "01"
SIGNALS = {"kill": signal.SIGKILL, "term": signal.SIGTERM}


class Fault(ABC):
    """One fault at some places. Times are epoch seconds."""

    def __init__(self, kind: str, containers: Containers, places: Sequence[Place]) -> None:
        self.kind, self.containers, self.places = kind, containers, list(places)

    @abstractmethod
    def inject(self) -> None:
        """Begin it."""

    @abstractmethod
    def heal(self) -> float:
        """End it; returns when it has ended, with the time at which it did."""


class Signal(Fault):
    """Signal the first process of containers, all at once, from the host; the restart policy brings them back."""

    def __init__(self, kind: str, containers: Containers, places: Sequence[Place]) -> None:
        super().__init__(kind, containers, places)
        self._pids: dict[Place, int] = {}

    def inject(self) -> None:
        """Send the signal."""
        self._pids = {place: self.containers.init(place) for place in self.places}
        for pid in self._pids.values():
            os.kill(pid, SIGNALS[self.kind])

    def heal(self) -> float:
        """Wait until all run again."""
        return max(self.containers.back(place, instead_of=pid) for place, pid in self._pids.items())


class Oom(Fault):
    """Take a container's memory away until the kernel kills its service; the container that comes back has it all."""

    def __init__(self, kind: str, containers: Containers, places: Sequence[Place]) -> None:
        super().__init__(kind, containers, places)
        self._init, self._began = 0, 0.0

    def inject(self) -> None:
        """Lower the limit of its control group to what it uses, and start a process that needs more in it."""
        place = self.places[0]
        self._init = self.containers.init(place)
        Path(f"/proc/{self.containers.service(place)}/oom_score_adj").write_text("1000", encoding="ascii")
        folder, limit, usage = _memory_group(self._init)
        self._began = time.time()
        used = int((folder / usage).read_text(encoding="ascii"))
        (folder / limit).write_text(str(used + 512 * 1024), encoding="ascii")
        fill = ["sh", "-c", "head -c 15m /dev/zero >/tmp/ballast"]
        docker("exec", self.containers.id(place), *fill, check=False)

    def heal(self) -> float:
        """Wait until it runs again; raises AssertionError when it was not the kernel that had killed it."""
        place = self.places[0]
        back = self.containers.back(place, instead_of=self._init)
        options = ["--since", f"{self._began:.6f}", "--until", f"{time.time():.6f}", "--filter", "event=oom"]
        said = docker("events", *options, "--filter", f"container={self.containers.id(place)}")
        assert said, f"{place} ended, but the engine knows of no oom"
        return back


def _memory_group(pid: int) -> tuple[Path, str, str]:
    """Return the folder of a process's memory control group, and the names of its limit and its usage, in bytes."""
    for line in Path(f"/proc/{pid}/cgroup").read_text(encoding="ascii").splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return Path("/sys/fs/cgroup/memory") / path.lstrip("/"), "memory.limit_in_bytes", "memory.usage_in_bytes"
        if not controllers and (Path("/sys/fs/cgroup") / path.lstrip("/") / "memory.max").exists():
            return Path("/sys/fs/cgroup") / path.lstrip("/"), "memory.max", "memory.current"
    raise AssertionError(f"process {pid} is in no memory control group")


_FREEZERS = Path("/sys/fs/cgroup/freezer/docker")


class Pause(Fault):
    """Freeze containers: their kernels still accept TCP."""

    def inject(self) -> None:
        """Freeze; once more when the kernel could not because a health probe was just being started in it."""
        poll_until(self._frozen, f"{self.places[0]} is frozen", 10, 0.3)

    def _frozen(self) -> bool:
        self._ask("pause", check=False)
        return all(self.containers.state(place)["Paused"] for place in self.places)

    def heal(self) -> float:
        """Thaw."""
        self._ask("unpause", check=True)
        return time.time()

    def _ask(self, verb: str, *, check: bool) -> None:
        ids = list(map(self.containers.id, self.places))
        try:
            docker(verb, *ids, check=check, timeout=15.0)
        except subprocess.TimeoutExpired:
            # An engine of old control groups hangs when it freezes a container in which it is starting a probe.
            for found in (_FREEZERS / one / "freezer.state" for one in ids):
                found.write_text("THAWED", encoding="ascii")
            docker("unpause", *ids, check=False)


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

    def __init__(self, kind: str, containers: Containers, places: Sequence[Place]) -> None:
        super().__init__(kind, containers, places)
        self._pid = 0
        self._added: list[Rule] = []

    def inject(self) -> None:
        """Add the rules of this kind."""
        self._pid = self.containers.init(self.places[0])
        self._add(RULES[self.kind])
        if self.kind == "nameless":
            # It shows only in who has to connect again.
            self._add(RULES["reset"])
            poll_until(lambda: not _connected(self._pid), f"{self.places[0]} has lost its connection", 30)
            self._remove(RULES["reset"])

    def heal(self) -> float:
        """Remove exactly those rules."""
        self._remove(list(self._added))
        return time.time()

    def _add(self, rules: list[Rule]) -> None:
        for rule in rules:
            _iptables(self._pid, "-I", rule)
            self._added.append(rule)

    def _remove(self, rules: list[Rule]) -> None:
        for rule in rules:
            _iptables(self._pid, "-D", rule)
            self._added.remove(rule)


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
        return f"{self.containers.stack.project}_wire"

    def inject(self) -> None:
        """Disconnect."""
        for place in self.places:
            docker("network", "disconnect", self._network, self.containers.id(place))

    def heal(self) -> float:
        """Connect again."""
        for place in self.places:
            docker("network", "connect", "--alias", place.service, self._network, self.containers.id(place))
        return time.time()


class Recreate(Fault):
    """Replace all containers of a service by new ones of the same image."""

    def inject(self) -> None:
        """Have Compose replace them."""
        service = self.places[0].service
        self._up(service, len(self.places), "--force-recreate")

    def heal(self) -> float:
        """Nothing is left to undo: when Compose has returned, the new ones have been started."""
        return time.time()

    def _up(self, service: str, count: int, *options: str) -> None:
        try:
            scale = ["--detach", "--no-build", "--no-deps", *options, "--scale", f"{service}={count}", service]
            self.containers.stack.compose("up", *scale)
        finally:
            self.containers.forget(self.places)


class Scale(Recreate):
    """Go on with another number of clients: as many as there are places."""

    def inject(self) -> None:
        """Have Compose stop and start as many as it takes."""
        self._up("client", len(self.places), "--no-recreate")


KINDS: dict[str, type[Fault]] = {
    **dict.fromkeys(("kill", "term"), Signal),
    "oom": Oom,
    "pause": Pause,
    **dict.fromkeys(RULES, Filter),
    "disconnect": Disconnect,
    "recreate": Recreate,
    "scale": Scale,
}


def fault(kind: str, containers: Containers, places: Sequence[Place]) -> Fault:
    """Return the fault of a kind: of ``kill-client`` the first word says what is done, and the places where."""
    what = kind.split("-", maxsplit=1)[0]
    return KINDS[what](what, containers, places)
