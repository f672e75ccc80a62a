"""The servers that meet the profile: how each is run, told to publish, and asked for what it published when."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import BooksOpen, environment, free_port
from benchmarks.peers import install, pool
from benchmarks.profile.deliveries import Published
from benchmarks.scale.serving import Served, served
from benchmarks.scale.sizes import Profile
from services.contract import ledger, wire
from services.runtime.clock import Clock

_HERE = Path(__file__).parent
_GRACE_SECONDS = 60
_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_SOON_SECONDS = 1.0


class Serving(NamedTuple):
    """A server that listens.

    All clients have come when ``start`` is called: it returns when publishing starts, in microseconds, epoch.
    ``published`` returns the publisher's log, and the number of deliveries that the server holds receipts for, None
    where there are no receipts.
    """

    port: int
    pid: int
    start: Callable[[], int]
    published: Callable[[], tuple[Published, int | None]]
    said: Callable[[], str]


Serve = Callable[[Path, Profile], AbstractContextManager[Serving]]


class Entrant(NamedTuple):
    """A server by its name and version, what is spoken to it, and how it is run in a folder for a profile.

    ``node`` is the version of Node.js that runs it, empty where none does.
    """

    name: str
    version: str
    speech: str
    serve: Serve
    node: str = ""

    @property
    def title(self) -> str:
        """Its name with its version, as it stands in the table."""
        return f"{self.name} {self.version}".strip()


def ours() -> Entrant:
    """Return the project's own server."""
    return Entrant("ours", "", "ours", _serve_ours)


def npm_ws() -> Entrant:
    """Return npm ``ws``.

    Raises:
        NotHere: it is not to be had.
    """
    return _npm("ws", "websocket", "serve_ws.js")


def npm_socketio() -> Entrant:
    """Return npm ``socket.io`` as it comes.

    Raises:
        NotHere: it is not to be had.
    """
    return _npm("socket.io", "socket.io", "serve_socketio.js")


def npm_socketio_recovery() -> Entrant:
    """Return npm ``socket.io`` with connection-state recovery.

    Raises:
        NotHere: it is not to be had.
    """
    plain = _npm("socket.io", "socket.io", "serve_socketio.js", "recovery")
    return plain._replace(version=f"{plain.version}, with recovery")


ENTRANTS: dict[str, Callable[[], Entrant]] = {
    "ours": ours,
    "npm ws": npm_ws,
    "npm socket.io": npm_socketio,
    "npm socket.io with recovery": npm_socketio_recovery,
}
"""Every server in the order of the table; each is installed where that is needed."""


@contextmanager
def _serve_ours(folder: Path, profile: Profile) -> Iterator[Serving]:
    settings = {"CLIENTS": profile.clients, "RATE": profile.rate, "RECORDS": profile.records}
    with served(folder, GRACE_SECONDS=_GRACE_SECONDS, **settings) as server:
        yield Serving(server.port, server.pid, lambda: _pace(server).due_us, lambda: _entered(server), server.said)


def _pace(server: Served) -> ledger.PaceEntry:
    """Return the run's schedule, which begins by itself when all clients have come."""
    server.wait_for(("running", "ended"), _START_SECONDS)
    paces = [entry for entry in _ledger(server) if isinstance(entry, ledger.PaceEntry)]
    if len(paces) != 1 or not paces[0].rate:
        raise BooksOpen(f"there is no one schedule: {paces}")
    return paces[0]


def _entered(server: Served) -> tuple[Published, int]:
    """Return what the ledger says: which records were due when up to the run's end, and how many receipts match."""
    server.wait_for(("ended",), _GRACE_SECONDS + 10)
    pace, last, receipted = _pace(server), 0, 0
    for entry in _ledger(server):
        if isinstance(entry, ledger.EndEntry):
            last = entry.last
        elif isinstance(entry, ledger.ReceiptEntry) and entry.match:
            receipted += entry.count
    records = range(pace.first, last + 1)
    return [(seq, wire.due_us(pace.due_us, seq - pace.first, pace.rate or 0)) for seq in records], receipted


def _ledger(server: Served) -> Iterator[object]:
    for path in (server.folder / "ledger").glob("*/*.jsonl"):
        for line in path.read_bytes().splitlines(keepends=True):
            # The last one may still be on its way to the disk.
            if line.endswith(b"\n"):
                yield ledger.codec.decode(line)[1]


def _npm(package: str, speech: str, script: str, *words: str) -> Entrant:
    program = install.npm(package)
    node, modules = program.command
    runs = subprocess.run([node, "--version"], capture_output=True, text=True, check=True, timeout=30).stdout
    serve = told(node, str(_HERE / script), modules, *words)
    return Entrant(f"npm {package}", program.version, speech, serve, runs.strip().removeprefix("v"))


def told(*command: str) -> Serve:
    """Return how a server is run that publishes what it is told: ``PORT POOL MESSAGES RATE`` end its command line.

    It reads from standard input when to start, in microseconds, epoch, and prints number and time of every message.
    """

    @contextmanager
    def serve(folder: Path, profile: Profile) -> Iterator[Serving]:
        folder.mkdir(parents=True)
        pool.write(folder / pool.FILE, profile.records)
        port = free_port()
        words = (port, folder / pool.FILE, profile.records, profile.rate)
        with (folder / "published").open("wb") as published, (folder / "output").open("wb") as output:
            server = subprocess.Popen(
                [*command, *map(str, words)], env=environment(), stdin=subprocess.PIPE, stdout=published, stderr=output
            )
        with server:
            try:
                _wait_for(port)
                yield _serving(server, port, folder)
            finally:
                server.terminate()
                server.wait(_STOP_SECONDS)

    return serve


def _serving(server: subprocess.Popen[bytes], port: int, folder: Path) -> Serving:
    def start() -> int:
        start_us = Clock().now_us() + round(_SOON_SECONDS * 1e6)
        if server.stdin is not None:
            server.stdin.write(b"%d\n" % start_us)
            server.stdin.flush()
        return start_us

    def published() -> tuple[Published, None]:
        lines = (folder / "published").read_text(encoding="ascii").splitlines()
        return [(int(number), int(sent_us)) for number, sent_us in map(str.split, lines)], None

    def said() -> str:
        return (folder / "output").read_text(errors="replace")[-2000:]

    return Serving(port, server.pid, start, published, said)


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return
