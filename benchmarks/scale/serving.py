"""Runs a server process with a high limit of open files, and measures its CPU time and memory."""

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

from benchmarks.measure import InvalidRun, cpu_seconds, environment, free_port

_PAGE = resource.getpagesize()
_SLABS = ("TCP", "TCPv6", "sock_inode_cache", "filp", "eventpoll_epi")
_START_SECONDS = 30.0
_STOP_SECONDS = 60.0


class ServerProcess(NamedTuple):
    """A listening server: its port, process id and volumes folder."""

    port: int
    pid: int
    folder: Path

    def cpu_seconds(self) -> float:
        """Return the CPU time that it has used.

        Raises:
            InvalidRun: the server has ended.
        """
        used = cpu_seconds(self.pid)
        if used is None:
            raise InvalidRun(f"the server ended:\n{self.log_tail()}")
        return used

    def resident_bytes(self) -> int:
        """Return its resident memory."""
        return resident_bytes(self.pid)

    def state(self) -> str | None:
        """Return the state of the run, None if the server does not answer."""
        try:
            with urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=5) as answer:
                return str(answer.read().decode().strip())
        except (URLError, OSError):
            return None

    def wait_for(self, states: Container[str], seconds: float) -> None:
        """Wait until the run is in one of these states.

        Raises:
            InvalidRun: it is in none of them after ``seconds``.
        """
        deadline = time.monotonic() + seconds
        while (state := self.state()) not in states:
            if time.monotonic() > deadline:
                raise InvalidRun(f"after {seconds:.0f} s the run is {state}:\n{self.log_tail()}")
            time.sleep(0.05)

    def log_tail(self) -> str:
        """Return the last lines of its log."""
        return "\n".join((self.folder / "output").read_text(errors="replace").splitlines()[-20:])


@contextmanager
def run_server(folder: Path, **settings: object) -> Iterator[ServerProcess]:
    """Run a server with these settings inside a ``with`` block, which begins when the server listens."""
    folder.mkdir(parents=True)
    port = free_port()
    variables = environment(PORT=port, VOLUMES=folder, **settings)
    with (folder / "output").open("wb") as output:
        server = subprocess.Popen(
            [sys.executable, "-m", "services.server"], env=variables, stdout=output, stderr=output
        )
    try:
        raise_open_file_limit(server.pid)
        process = ServerProcess(port, server.pid, folder)
        process.wait_for(("waiting", "running"), _START_SECONDS)
        yield process
    finally:
        server.terminate()
        try:
            server.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def raise_open_file_limit(pid: int = 0) -> None:
    """Raise the limit of open files of a process (0: this one) to its hard limit."""
    limit = open_file_limit(pid)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, limit))


def open_file_limit(pid: int = 0) -> int:
    """Return the hard limit of open files of a process (0: this one)."""
    return resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process, in bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE


def kernel_bytes() -> int | None:
    """Return the kernel's memory for the machine's TCP sockets without buffered data, None if it is not reported."""
    try:
        lines = Path("/proc/slabinfo").read_text(encoding="ascii").splitlines()[2:]
    except OSError:
        return None
    slabs = (line.split()[:4] for line in lines)
    return sum(int(active) * int(size) for name, active, _, size in slabs if name in _SLABS)
