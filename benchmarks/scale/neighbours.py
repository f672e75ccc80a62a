"""Do clients that do not read make it slower for those that do? Runs without such neighbours and with them, in turn.

One neighbour reads nothing at all, the other 1 KB a second. They watch (``observe``), so that the run's books are those
of the five real clients, but the server sends to a watcher by the same loop. Whoever is cut for not reading returns.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from benchmarks.measure import BooksOpen, Figures, Metric, environment, free_port
from benchmarks.scale.websocket import framed, opening
from services.contract import summary, wire

CLIENTS = 5
RATE = 1000
_WHAT = f"p99 from due, {RATE:,} records/s × {CLIENTS} clients"
ALONE = Metric(f"{_WHAT}, alone", "ms", "less")
BESIDE = Metric(f"{_WHAT}, beside one that never reads and one that reads 1 KB/s", "ms", "less")
CHANGE = Metric("what such neighbours add to that p99, of runs in turn", "%", "less", 10, rounds=3)

_SEND_SECONDS = 3
"""The server cuts whoever takes nothing for so long: it happens within the run, and again."""

_SEGMENT_BYTES = 1448
_RECEIVE_BYTES = 4096
_STEP_SECONDS = 0.05
_DEADLINE_SECONDS = 120.0


class Neighbour:
    """A watcher that reads ``pace`` bytes a second, 0 for none, and comes back when it was cut."""

    def __init__(self, port: int, name: str, pace: int) -> None:
        self._port, self._name, self._pace = port, name, pace
        self._socket: socket.socket | None = None
        self._read_at = 0.0
        self.returns = -1

    def step(self) -> None:
        """Connect if need be, and read what the pace permits."""
        now = time.monotonic()
        try:
            if self._socket is None:
                self._socket = self._connected()
                self.returns += 1
            if now - self._read_at >= 1:
                self._read_at = now
                self._read(self._socket)
        except OSError:
            self.leave()

    def leave(self) -> None:
        """Break the connection off."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connected(self) -> socket.socket:
        made = socket.socket()
        try:
            # As over a network: for the large segments of the loopback the kernel would hold megabytes.
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _SEGMENT_BYTES)
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
            made.settimeout(1)
            made.connect(("127.0.0.1", self._port))
            made.sendall(
                opening(subprotocol=wire.SUBPROTOCOL)
                + framed(wire.encode(wire.Subscribe(client=self._name, observe=True)))
            )
        except OSError:
            made.close()
            raise
        return made

    def _read(self, connected: socket.socket) -> None:
        if self._pace:
            with suppress(TimeoutError):
                if not connected.recv(self._pace):
                    raise ConnectionResetError
        else:
            # It learns that it was cut without reading: by saying something.
            connected.sendall(framed(wire.encode(wire.Ping(t1_us=0))))


def measure(figures: Figures, folder: Path, records: int) -> None:
    """Play a run without them and one with them, and hold them to each other."""
    alone = _played(folder / "alone", records, slow=False)
    beside = _played(folder / "beside", records, slow=True)
    figures.add(ALONE, alone)
    figures.add(BESIDE, beside)
    figures.add(CHANGE, 100 * (beside / alone - 1))


def _played(folder: Path, records: int, *, slow: bool) -> float:
    """Return the 99th percentile of the five clients' latency, in milliseconds, by the run's own books."""
    folder.mkdir(parents=True)
    port = free_port()
    # What the disk adds to a latency is far more than any neighbour does, and never the same.
    given = environment(
        CLIENTS=CLIENTS, RATE=RATE, RECORDS=records, SEND_SECONDS=_SEND_SECONDS, FSYNC="none", VOLUMES=folder,
        PORT=port, PAGE_PORT=free_port(), PYTHONUNBUFFERED=1,
    )  # fmt: skip
    neighbours = [Neighbour(port, "silent", 0), Neighbour(port, "slow", 1024)] if slow else []
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", "services"], env=given, stdout=output, stderr=output)
    deadline = time.monotonic() + _DEADLINE_SECONDS
    try:
        while process.poll() is None:
            for neighbour in neighbours:
                neighbour.step()
            if time.monotonic() > deadline:
                raise BooksOpen(f"a run took longer than {_DEADLINE_SECONDS:.0f} s")
            time.sleep(_STEP_SECONDS)
    finally:
        for neighbour in neighbours:
            neighbour.leave()
        process.terminate()
        process.wait(30)
    made = [summary.decode(path.read_bytes()) for path in (folder / "summary").glob("*/summary.json")]
    if process.returncode or not made or made[0].verdict != "PASS" or made[0].totals.residual:
        tail = "\n".join((folder / "output").read_text(errors="replace").splitlines()[-40:])
        raise BooksOpen(f"a run ended with code {process.returncode}:\n{tail}")
    shutil.rmtree(folder)
    return (made[0].latency_ns.p99 or 0) / 1e6
