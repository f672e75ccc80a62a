"""The servers that meet the profile: how each is run, told to publish, and asked for what it published when."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

from services.contract import ledger, wire
from tests.bench.measure import BooksOpen, environment, free_port
from tests.bench.peers import install, pool
from tests.bench.profile.deliveries import Published
from tests.bench.scale.serving import Served, served
from tests.bench.scale.sizes import Profile

_HERE = Path(__file__).parent
_GRACE_SECONDS = 60
_START_SECONDS = 30.0
_STOP_SECONDS = 10.0


class Serving(NamedTuple):
    """A server that listens.

    ``start`` has it publish from a time on, in microseconds, epoch; ``published`` returns the publisher's log, and the
    number of deliveries that the server holds receipts for, None where there are no receipts.
    """

    port: int
    pid: int
    start: Callable[[int], None]
    published: Callable[[], tuple[Published, int | None]]
    said: Callable[[], str]


Serve = Callable[[Path, Profile], AbstractContextManager[Serving]]


class Entrant(NamedTuple):
    """A server by its name and version, what is spoken to it, and how it is run in a folder for a profile."""

    name: str
    version: str
    speech: str
    serve: Serve

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
    program = install.npm("ws")
    return Entrant("npm ws", program.version, "websocket", _node(program, "serve_ws.js"))


def npm_socketio() -> Entrant:
    """Return npm ``socket.io`` as it comes.

    Raises:
        NotHere: it is not to be had.
    """
    program = install.npm("socket.io")
    return Entrant("npm socket.io", program.version, "socket.io", _node(program, "serve_socketio.js"))


def npm_socketio_recovery() -> Entrant:
    """Return npm ``socket.io`` with connection-state recovery.

    Raises:
        NotHere: it is not to be had.
    """
    program = install.npm("socket.io")
    version = f"{program.version}, with recovery"
    return Entrant("npm socket.io", version, "socket.io", _node(program, "serve_socketio.js", "recovery"))


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
        # It is not told when: the clients' driver holds the last client back until then.
        yield Serving(server.port, server.pid, lambda _: None, lambda: _entered(server), server.said)


def _entered(server: Served) -> tuple[Published, int]:
    """Return what the ledger says: which records were due when up to the run's end, and how many receipts match."""
    server.wait_for(("ended",), _GRACE_SECONDS + 10)
    paces: list[ledger.Pace] = []
    last = receipted = 0
    for path in (server.folder / "ledger").glob("*/*.jsonl"):
        for line in path.read_bytes().splitlines(keepends=True):
            match ledger.codec.decode(line)[1]:
                case ledger.Pace() as entry:
                    paces.append(entry)
                case ledger.Receipt() as entry:
                    receipted += entry.count if entry.match else 0
                case ledger.End() as entry:
                    last = entry.last
                case _:
                    pass
    if len(paces) != 1 or not paces[0].rate:
        raise BooksOpen(f"the schedule was not kept: {paces}")
    pace, rate = paces[0], paces[0].rate
    return [(seq, wire.due_us(pace.due_us, seq - pace.first, rate)) for seq in range(pace.first, last + 1)], receipted


def _node(program: install.Program, script: str, *words: str) -> Serve:
    node, modules = program.command
    return told(node, str(_HERE / script), modules, *words)


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
    def start(start_us: int) -> None:
        if server.stdin is not None:
            server.stdin.write(b"%d\n" % start_us)
            server.stdin.flush()

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
