"""Faults that the host injects into containers; each is removed completely at its end."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from chaos.containers.container_lookup import Containers, Target
from tests.integration.stack import _run, docker
from tests.poll import poll_until

ESTABLISHED = "01"
SIGNALS = {"kill": signal.SIGKILL, "term": signal.SIGTERM}


class Fault(ABC):
    """One fault in one or several containers. Times are epoch seconds."""

    def __init__(self, kind: str, containers: Containers, targets: Sequence[Target]) -> None:
        self.kind, self.containers, self.targets = kind, containers, list(targets)

    @abstractmethod
    def inject(self) -> None:
        """Begin the fault."""

    @abstractmethod
    def heal(self) -> float:
        """End the fault; return the time at which it ended."""


class Signal(Fault):
    """Signal the first processes of containers, all at once, from the host; the restart policy starts them again."""

    def __init__(self, kind: str, containers: Containers, targets: Sequence[Target]) -> None:
        super().__init__(kind, containers, targets)
        self._pids: dict[Target, int] = {}

    def inject(self) -> None:
        """Send the signal."""
        self._pids = {target: self.containers.init_pid(target) for target in self.targets}
        for pid in self._pids.values():
            os.kill(pid, SIGNALS[self.kind])

    def heal(self) -> float:
        """Wait until all containers run again."""
        return max(self.containers.wait_running(target, instead_of=pid) for target, pid in self._pids.items())


class Oom(Fault):
    """Lower a container's memory limit until the kernel kills its service; a restart resets the limit."""

    def __init__(self, kind: str, containers: Containers, targets: Sequence[Target]) -> None:
        super().__init__(kind, containers, targets)
        self._init, self._began = 0, 0.0

    def inject(self) -> None:
        """Lower the limit of the control group to its current usage, and start a process in it that needs more."""
        target = self.targets[0]
        self._init = self.containers.init_pid(target)
        Path(f"/proc/{self.containers.service_pid(target)}/oom_score_adj").write_text("1000", encoding="ascii")
        folder, limit, usage = _memory_group(self._init)
        self._began = time.time()
        used = int((folder / usage).read_text(encoding="ascii"))
        (folder / limit).write_text(str(used + 512 * 1024), encoding="ascii")
        fill = ["sh", "-c", "head -c 15m /dev/zero >/tmp/ballast"]
        docker("exec", self.containers.id(target), *fill, check=False)

    def heal(self) -> float:
        """Wait until the container runs again.

        Raises:
            AssertionError: the engine reported no out-of-memory kill.
        """
        target = self.targets[0]
        back = self.containers.wait_running(target, instead_of=self._init)
        options = ["--since", f"{self._began:.6f}", "--until", f"{time.time():.6f}", "--filter", "event=oom"]
        events = docker("events", *options, "--filter", f"container={self.containers.id(target)}")
        assert events, f"{target} ended, but the engine reported no oom event"
        return back


def _memory_group(pid: int) -> tuple[Path, str, str]:
    """Return the folder of a process's memory control group, and the names of its limit and usage files (bytes)."""
    for line in Path(f"/proc/{pid}/cgroup").read_text(encoding="ascii").splitlines():
        _, controllers, path = line.split(":", 2)
        if "memory" in controllers.split(","):
            return Path("/sys/fs/cgroup/memory") / path.lstrip("/"), "memory.limit_in_bytes", "memory.usage_in_bytes"
        if not controllers and (Path("/sys/fs/cgroup") / path.lstrip("/") / "memory.max").exists():
            return Path("/sys/fs/cgroup") / path.lstrip("/"), "memory.max", "memory.current"
    raise AssertionError(f"process {pid} is in no memory control group")


_FREEZERS = Path("/sys/fs/cgroup/freezer/docker")


class Pause(Fault):
    """Freeze the processes of containers, for which the kernel still accepts TCP."""

    def inject(self) -> None:
        """Freeze the containers; retry, since freezing fails while the engine starts a health probe in one."""
        poll_until(self._frozen, f"{self.targets[0]} is frozen", 10, 0.3)

    def _frozen(self) -> bool:
        self._docker("pause")
        return all(self._paused())

    def heal(self) -> float:
        """Unfreeze the containers; the engine may have done so already, when it hung in a freeze."""
        poll_until(self._thawed, f"{self.targets[0]} runs again", 30, 0.3)
        return time.time()

    def _thawed(self) -> bool:
        self._docker("unpause")
        return not any(self._paused())

    def _paused(self) -> list[bool]:
        return [self.containers.state(target)["Paused"] for target in self.targets]

    def _docker(self, verb: str) -> None:
        ids = list(map(self.containers.id, self.targets))
        try:
            docker(verb, *ids, check=False, timeout=15.0)
        except subprocess.TimeoutExpired:
            # With cgroup v1 the engine can hang if it freezes a container in which it is starting a health probe.
            for freezers in (_FREEZERS / one / "freezer.state" for one in ids):
                freezers.write_text("THAWED", encoding="ascii")
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

    def __init__(self, kind: str, containers: Containers, targets: Sequence[Target]) -> None:
        super().__init__(kind, containers, targets)
        self._pid = 0
        self._added: list[Rule] = []

    def inject(self) -> None:
        """Add the rules of this kind."""
        self._pid = self.containers.init_pid(self.targets[0])
        self._add(RULES[self.kind])
        if self.kind == "nameless":
            # Without DNS only a client that has to connect again notices something, so reset its connection.
            self._add(RULES["reset"])
            poll_until(lambda: not _connected(self._pid), f"{self.targets[0]} has lost its connection", 30)
            self._remove(RULES["reset"])

    def heal(self) -> float:
        """Remove exactly the rules that were added."""
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
    """Disconnect containers from the network and connect them again, with the alias that Compose gave them."""

    @property
    def _network(self) -> str:
        return f"{self.containers.stack.project}_wire"

    def inject(self) -> None:
        """Disconnect the containers."""
        for target in self.targets:
            docker("network", "disconnect", self._network, self.containers.id(target))

    def heal(self) -> float:
        """Connect the containers again."""
        for target in self.targets:
            docker("network", "connect", "--alias", target.service, self._network, self.containers.id(target))
        return time.time()


class Recreate(Fault):
    """Replace all containers of a service by new ones from the same image."""

    def inject(self) -> None:
        """Replace the containers with Compose."""
        service = self.targets[0].service
        self._up(service, len(self.targets), "--force-recreate")

    def heal(self) -> float:
        """Return the current time: once Compose has returned, the new containers are started."""
        return time.time()

    def _up(self, service: str, count: int, *options: str) -> None:
        try:
            scale = ["--detach", "--no-build", "--no-deps", *options, "--scale", f"{service}={count}", service]
            self.containers.stack.compose("up", *scale)
        finally:
            self.containers.forget(self.targets)


class Scale(Recreate):
    """Change the number of clients to the number of targets."""

    def inject(self) -> None:
        """Start or stop clients with Compose."""
        self._up("client", len(self.targets), "--no-recreate")


KINDS: dict[str, type[Fault]] = {
    **dict.fromkeys(("kill", "term"), Signal),
    "oom": Oom,
    "pause": Pause,
    **dict.fromkeys(RULES, Filter),
    "disconnect": Disconnect,
    "recreate": Recreate,
    "scale": Scale,
}


def create_fault(kind: str, containers: Containers, targets: Sequence[Target]) -> Fault:
    """Return the fault of a kind: of ``kill-client`` the first word says what is done, and the places where."""
    action = kind.split("-", maxsplit=1)[0]
    return KINDS[action](action, containers, targets)
