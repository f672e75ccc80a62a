"""Nodes of a real Docker Swarm on this machine: an engine each, in namespaces of its own.

Everything of a node descends from one process that is the first of its process namespace. When that process ends, the
kernel ends all of them, and network, mounts and containers are gone with it. A fourth network namespace has the bridge
that joins the nodes; nothing leads out of it. The engine of this machine is not used.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.integration.processes import Program
from tests.poll import poll_until

PROGRAMS = ("dockerd", "containerd", "docker", "iptables", "ip", "nsenter", "unshare", "setpriv")
START_SECONDS, COMMAND_SECONDS = 60.0, 120.0
_CGROUPS = Path("/sys/fs/cgroup")
_NETWORK = "192.0.2"
"""Reserved for documentation, so no route of a container leads there."""
_OWN = ("setpriv", "--pdeathsig", "KILL", "unshare", "--net", "--mount", "--uts", "--pid", "--fork", "--kill-child")
"""Starts a program in namespaces of its own, which end with the process that started it."""

_PROBE = """
ip link add name probe0 type bridge
ip link add name probe1 type veth peer name probe2
ip link add name probe3 type vxlan id 1 dstport 4789
"""
_BRIDGE = """
ip link add name wire type bridge
ip link set wire up
sleep infinity
"""
# Folders of an engine that no option moves are memory of the node. A shell stays the first process: it waits for
# processes whose parents have ended, which the engine does not.
_ENGINE = """
mount --make-rprivate /
hostname {name}
mkdir -p /run/docker /run/containerd
mount -t tmpfs none /run/docker
mount -t tmpfs none /run/containerd
dockerd --data-root {home}/data --exec-root /run/docker --pidfile {home}/dockerd.pid -H unix://{home}/docker.sock \
    --cgroup-parent /{cgroup} --log-level warn &
wait
"""


class NodeFailed(AssertionError):
    """A command on a node ended with another code than 0."""


def lacking() -> str:
    """Return what this machine lacks for such nodes, as a clause; empty if it lacks nothing."""
    if os.geteuid() != 0:
        return "only root can make network namespaces"
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    if absent := [program for program in PROGRAMS if shutil.which(program, path=path) is None]:
        return f"{', '.join(absent)}: not installed"
    tried = subprocess.run([*_OWN, "sh", "-ec", _PROBE], capture_output=True, text=True, timeout=30, check=False)
    if tried.returncode:
        return f"the kernel makes no such network: {' '.join(tried.stderr.split()) or tried.returncode}"
    return ""


class SwarmNode:
    """One engine; `SwarmNodes` makes it.

    Args:
        number: of the node, from 1 on; node 1 is the manager.
        home: folder for its files.
        cgroup: name of the cgroup of its containers.

    Attributes:
        name: host name, which is the name of the node in the swarm.
        address: in the network of the nodes.
    """

    def __init__(self, number: int, home: Path, cgroup: str) -> None:
        self.name, self.address, self._home = f"node{number}", f"{_NETWORK}.{number}", home
        home.mkdir(parents=True)
        self.program = _in_namespaces(self.name, _ENGINE.format(name=self.name, home=home, cgroup=cgroup))

    @property
    def engine(self) -> str:
        """Address of the engine, for DOCKER_HOST."""
        return f"unix://{self._home}/docker.sock"

    def docker(self, *arguments: str, timeout: float = COMMAND_SECONDS) -> str:
        """Run a docker command on the node; return its output.

        Raises:
            NodeFailed: it ended with another code than 0.
        """
        return _run(["docker", *arguments], timeout, DOCKER_HOST=self.engine)

    def answers(self) -> bool:
        """Return whether the engine answers."""
        assert self.program.code is None, f"the engine of {self.name} has ended:\n{self.program.text[-3000:]}"
        with contextlib.suppress(NodeFailed):
            return bool(self.docker("version", "--format", "{{.Server.Version}}"))
        return False

    def volume(self, name: str) -> Path:
        """Return the folder of a named volume."""
        return self._home / "data" / "volumes" / name / "_data"

    def container(self, service: str) -> str:
        """Return the id of the running container of a service of a stack on this node, empty if there is none."""
        found = self.docker("ps", "--quiet", "--no-trunc", "--filter", f"name=_{service}.").split()
        return found[0] if found else ""


class SwarmNodes:
    """Some nodes that are one swarm; everything of them is removed on exit.

    Args:
        folder: for their files; a path of less than 80 characters, because of the sockets in it.
        count: number of nodes.
    """

    def __init__(self, folder: Path, count: int = 3) -> None:
        self._folder, self._cgroup = folder, f"streamgauge-{secrets.token_hex(4)}"
        self._count = count
        self._bridge: Program | None = None
        self.nodes: list[SwarmNode] = []

    @property
    def manager(self) -> SwarmNode:
        """The first node."""
        return self.nodes[0]

    def cut(self, number: int) -> None:
        """Take a node's link down, until `mend`."""
        self._ip("link", "set", f"node{number}", "down")

    def mend(self, number: int) -> None:
        """Take a node's link up again."""
        self._ip("link", "set", f"node{number}", "up")

    def load(self, images: Path) -> None:
        """Give every node the images of an archive."""
        for node in self.nodes:
            node.docker("load", "--quiet", "--input", str(images))

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException as error:
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def _start(self) -> None:
        self._bridge = _in_namespaces(
            "bridge", "ip link add name wire type bridge\nip link set wire up\nsleep infinity"
        )
        for number in range(1, self._count + 1):
            self.nodes.append(SwarmNode(number, self._folder / f"node{number}", self._cgroup))
        poll_until(lambda: "wire" in self._ip("link", "show", "type", "bridge"), "the bridge is there", START_SECONDS)
        for number, node in enumerate(self.nodes, 1):
            self._connect(number, node)
        for node in self.nodes:
            poll_until(node.answers, f"the engine of {node.name} answers", START_SECONDS)
        self.manager.docker("swarm", "init", "--advertise-addr", self.manager.address)
        token = self.manager.docker("swarm", "join-token", "--quiet", "worker").strip()
        for node in self.nodes[1:]:
            address = f"{self.manager.address}:2377"
            node.docker("swarm", "join", "--advertise-addr", node.address, "--token", token, address)

    def _connect(self, number: int, node: SwarmNode) -> None:
        """Join a node to the bridge by a pair of links, one end each."""
        end = f"node{number}"
        self._ip("link", "add", "name", end, "type", "veth", "peer", "name", "eth0", "netns", str(node.program.pid))
        self._ip("link", "set", end, "master", "wire", "up")
        for command in (
            ("address", "add", f"{node.address}/24", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
            ("link", "set", "lo", "up"),
        ):
            _run(["nsenter", f"--net=/proc/{node.program.pid}/ns/net", "ip", *command], COMMAND_SECONDS)

    def _ip(self, *arguments: str) -> str:
        assert self._bridge is not None
        return _run(["nsenter", f"--net=/proc/{self._bridge.pid}/ns/net", "ip", *arguments], COMMAND_SECONDS)

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        programs = [node.program for node in self.nodes] + ([self._bridge] if self._bridge is not None else [])
        for program in programs:
            # While it waits for its namespaces it ignores every other signal.
            program.signal(signal.SIGKILL)
            program.close()
            if error is not None:
                error.add_note(f"---- output of {program.name}\n{program.text[-3000:]}")
        # Tens of thousands of files, for which `shutil.rmtree` takes minutes on a busy machine.
        subprocess.run(["rm", "-rf", "--one-file-system", str(self._folder)], check=False)
        # In the unified hierarchy, and in each one of those before it.
        for top in [_CGROUPS / self._cgroup, *_CGROUPS.glob(f"*/{self._cgroup}")]:
            for folder, _folders, _files in os.walk(top, topdown=False):
                with contextlib.suppress(OSError):
                    Path(folder).rmdir()


def _in_namespaces(name: str, script: str) -> Program:
    return Program(name, *_OWN, "--mount-proc", "sh", "-ec", script)


def _run(command: Sequence[str], timeout: float, **environment: str) -> str:
    done = subprocess.run(
        command,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=timeout,
        check=False,
    )
    if done.returncode:
        raise NodeFailed(f"{' '.join(command)} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return done.stdout
