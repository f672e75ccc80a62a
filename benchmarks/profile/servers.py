"""The servers of the profile: how each is run, started to publish, and its publication log read."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import InvalidRun, environment, free_port
from benchmarks.peers import install, pool
from benchmarks.profile.deliveries import Published
from benchmarks.scale.serving import ServerProcess, run_server
from benchmarks.scale.sizes import Profile
from services.contract import ledger, wire
from services.runtime.clock import Clock

_HERE = Path(__file__).parent
RECOVERY = "with recovery"
"""End of the title of a server that resumes clients, too."""

_GRACE_SECONDS = 60
_START_SECONDS = 30.0
_STOP_SECONDS = 10.0
_SOON_SECONDS = 1.0


class Serving(NamedTuple):
    """A listening server.

    ``start`` is called when all clients are connected; it returns when publishing starts, in epoch microseconds.
    ``published`` returns the publisher's log, and the number of deliveries with a receipt, None if the server has none.
    """

    port: int
    pid: int
    start: Callable[[], int]
    published: Callable[[], tuple[Published, int | None]]
    log_tail: Callable[[], str]


Serve = Callable[[Path, Profile], AbstractContextManager[Serving]]


class Candidate(NamedTuple):
    """An installed server: its name and version, its dialect, and ``serve``, which runs it in a folder.

    ``node`` is the version of Node.js that runs it; empty for servers in other languages.
    """

    name: str
    version: str
    dialect: str
    serve: Serve
    node: str = ""

    @property
    def title(self) -> str:
        """Its name with its version, for the table."""
        return f"{self.name} {self.version}".strip()


def own_server() -> Candidate:
    """Return the project's own server."""
    return Candidate("ours", "", "ours", _serve_ours)


def npm_ws() -> Candidate:
    """Return npm ``ws``.

    Raises:
        NotAvailable: it cannot be installed.
    """
    return _npm("ws", "websocket", "serve_ws.js")


def npm_socketio() -> Candidate:
    """Return npm ``socket.io`` with its defaults.

    Raises:
        NotAvailable: it cannot be installed.
    """
    return _npm("socket.io", "socket.io", "serve_socketio.js")


def npm_socketio_recovery() -> Candidate:
    """Return npm ``socket.io`` with connection-state recovery.

    Raises:
        NotAvailable: it cannot be installed.
    """
    plain = _npm("socket.io", "socket.io", "serve_socketio.js", "recovery")
    return plain._replace(version=f"{plain.version}, {RECOVERY}")


CANDIDATES: dict[str, Callable[[], Candidate]] = {
    "ours": own_server,
    "npm ws": npm_ws,
    "npm socket.io": npm_socketio,
    "npm socket.io with recovery": npm_socketio_recovery,
}
"""All servers in the order of the table; the functions install them if necessary."""


@contextmanager
def _serve_ours(folder: Path, profile: Profile) -> Iterator[Serving]:
    settings = {"CLIENTS": profile.clients, "RATE": profile.rate, "RECORDS": profile.records}
    with run_server(folder, GRACE_SECONDS=_GRACE_SECONDS, **settings) as server:
        yield Serving(
            server.port, server.pid, lambda: _rate_entry(server).due_us, lambda: _published(server), server.log_tail
        )


def _rate_entry(server: ServerProcess) -> ledger.PaceEntry:
    """Return the run's rate entry, which the server writes when all clients have subscribed."""
    server.wait_for(("running", "ended"), _START_SECONDS)
    paces = [entry for entry in _ledger(server) if isinstance(entry, ledger.PaceEntry)]
    if len(paces) != 1 or not paces[0].rate:
        raise InvalidRun(f"expected one rate entry, not {paces}")
    return paces[0]


def _published(server: ServerProcess) -> tuple[Published, int]:
    """Return from the ledger all records of the run with their due times, and the number of receipted deliveries."""
    server.wait_for(("ended",), _GRACE_SECONDS + 10)
    pace, last, receipted = _rate_entry(server), 0, 0
    for entry in _ledger(server):
        if isinstance(entry, ledger.EndEntry):
            last = entry.last
        elif isinstance(entry, ledger.ReceiptEntry) and entry.match:
            receipted += entry.count
    records = range(pace.first, last + 1)
    return [(seq, wire.due_us(pace.due_us, seq - pace.first, pace.rate or 0)) for seq in records], receipted


def _ledger(server: ServerProcess) -> Iterator[object]:
    for path in (server.folder / "ledger").glob("*/*.jsonl"):
        for line in path.read_bytes().splitlines(keepends=True):
            # The last line may not be complete yet.
            if line.endswith(b"\n"):
                yield ledger.codec.decode(line)[1]


def _npm(package: str, dialect: str, script: str, *words: str) -> Candidate:
    program = install.npm(package)
    node, modules = program.command
    serve = npm_server(node, str(_HERE / script), modules, *words)
    return Candidate(f"npm {package}", program.version, dialect, serve, install.node_version(node))


def npm_server(*command: str) -> Serve:
    """Return how to run a server program whose command line ends with ``PORT POOL MESSAGES RATE``.

    The program reads the start time from standard input, in epoch microseconds, and prints number and time of sending
    of every message.
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

    def log_tail() -> str:
        return (folder / "output").read_text(errors="replace")[-2000:]

    return Serving(port, server.pid, start, published, log_tail)


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
