"""What is tested: the external servers, how each is started, and what the clients need to read its feed."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from tests.integration.processes import ROOT
from tests.poll import poll_until

SCRIPTS = Path(__file__).parent / "scripts"
SEQ = re.compile(rb'"seq": ?\d')
"""Is found once in each record that has a number of its own making."""


class FeedSize(NamedTuple):
    """The feed that a server sends: number of clients and records, and records per second."""

    clients: int
    records: int
    rate: int


class ServerProcesses:
    """The processes of one server, each with its own children in a process group."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, command: list[str], environment: Mapping[str, str] | None = None) -> None:
        """Start a process in the root of the project."""
        variables = {**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})}
        process = subprocess.Popen(
            command,
            env=variables,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            start_new_session=True,
        )
        self._processes.append(process)

    def send(self, which: signal.Signals) -> None:
        """Send a signal to all processes."""
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, which)

    def end(self) -> None:
        """Kill all processes, stopped ones too, and wait for them."""
        self.send(signal.SIGKILL)
        for process in self._processes:
            process.wait()


class RunningServer(NamedTuple):
    """A listening server.

    Attributes:
        url: its URL.
        processes: those that a fault stops.
        version: of the installed server, empty if it is a part of this project.
        subscribed: is called when every client has received the frame with `ExternalServer.subscribed`.
    """

    url: str
    processes: ServerProcesses
    version: str = ""
    subscribed: Callable[[], None] = lambda: None


Start = Callable[[FeedSize, Path], contextlib.AbstractContextManager[RunningServer]]


@dataclass(frozen=True)
class ExternalServer:
    """One server.

    Attributes:
        name: of the server.
        start: begins to listen; raises `install.NotAvailable` if the server cannot be installed.
        settings: how the clients read its feed, a preset included.
        record: is found once in each record on its way to a client.
        losses: how missing records are reported: their number; the number of gaps, where the size of a gap is unknown;
            or not at all, where the records have no numbers.
        subscribed: is found in a frame that says that a client is subscribed; none for a server that starts the feed
            by itself when it has enough clients.
        client: a program by the vendor of the protocol that counts the records of a server of this project.
    """

    name: str
    start: Start
    settings: Mapping[str, str] = field(default_factory=dict)
    record: re.Pattern[bytes] = SEQ
    losses: str = "numbers"
    subscribed: re.Pattern[bytes] | None = None
    client: Callable[[str], list[str]] | None = None

    @property
    def preset(self) -> str:
        """Return the name of the preset that reads it, or a dash."""
        return self.settings.get("FEED", "-")


NO_SETTINGS: Mapping[str, str] = MappingProxyType({})


@contextlib.contextmanager
def processes() -> Iterator[ServerProcesses]:
    """Yield the processes of a server, to be started; end them."""
    started = ServerProcesses()
    try:
        yield started
    finally:
        started.end()


def wait_for_port(port: int, seconds: float = 20) -> None:
    """Wait until a program listens on a port of this machine."""

    def is_open() -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    poll_until(is_open, f"a server listens on port {port}", seconds, 0.05)
