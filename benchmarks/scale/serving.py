"""A server in a process of its own, with room for many connections, and what it uses."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError
from urllib.request import urlopen

from benchmarks.measure import BooksOpen, cpu_seconds, environment, free_port

_PAGE = resource.getpagesize()
_SLABS = ("TCP", "TCPv6", "sock_inode_cache", "filp", "eventpoll_epi")
_START_SECONDS = 30.0
_STOP_SECONDS = 60.0


class Served(NamedTuple):
    """A server that listens, its volumes folder, and its process."""

    port: int
    pid: int
    folder: Path

    def cpu_seconds(self) -> float:
        """Return the processor time it has used.

        Raises:
            BooksOpen: it is gone.
        """
        used = cpu_seconds(self.pid)
        if used is None:
            raise BooksOpen(f"the server ended:\n{self.said()}")
        return used

    def resident_bytes(self) -> int:
        """Return the memory that it holds."""
        return resident_bytes(self.pid)

    def state(self) -> str | None:
        """Return the state of the run, None when it does not answer."""
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=5) as answer:
                return str(answer.read().decode().strip())
        except (URLError, OSError):
            return None

    def wait_for(self, states: Container[str], seconds: float) -> None:
        """Wait until the run is in one of these states.

        Raises:
            BooksOpen: it is not within this time.
        """
        deadline = time.monotonic() + seconds
        while (state := self.state()) not in states:
            if time.monotonic() > deadline:
                raise BooksOpen(f"after {seconds:.0f} s the run is {state}:\n{self.said()}")
            time.sleep(0.05)

    def said(self) -> str:
        """Return the end of what it wrote to its log."""
        return "\n".join((self.folder / "output").read_text(errors="replace").splitlines()[-20:])


@contextmanager
def served(folder: Path, **settings: object) -> Iterator[Served]:
    """Run a server with these settings, from when it listens to the end of the block."""
    folder.mkdir(parents=True)
    port = free_port()
    given = environment(PORT=port, VOLUMES=folder, **settings)
    with (folder / "output").open("wb") as output:
        server = subprocess.Popen([sys.executable, "-m", "services.server"], env=given, stdout=output, stderr=output)
    try:
        many_files(server.pid)
        found = Served(port, server.pid, folder)
        found.wait_for(("waiting", "running"), _START_SECONDS)
        yield found
    finally:
        server.terminate()
        try:
            server.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def many_files(pid: int = 0) -> None:
    """Let a process (0: this one) open as many files as the system permits it to."""
    most = most_files(pid)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (most, most))


def most_files(pid: int = 0) -> int:
    """Return how many files a process (0: this one) may open at most."""
    return resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]


def resident_bytes(pid: int) -> int:
    """Return the memory that a process holds."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE


def kernel_bytes() -> int | None:
    """Return what the kernel holds for the TCP sockets of this machine without what waits in them, None if untold."""
    try:
        lines = Path("/proc/slabinfo").read_text(encoding="ascii").splitlines()[2:]
    except OSError:
        return None
    slabs = (line.split()[:4] for line in lines)
    return sum(int(active) * int(size) for name, active, _, size in slabs if name in _SLABS)
