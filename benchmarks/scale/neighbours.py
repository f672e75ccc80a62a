"""Measures the effect of clients that do not read on the latency of others, in runs with and without them, in turn.

One such neighbour reads nothing, the other 1 KB per second. They subscribe as observers (``observe``), so that the
run's summary is that of the five real clients, but the server sends to them in the same way. A neighbour that was cut
for not reading reconnects.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from benchmarks.measure import Figures, InvalidRun, Metric, environment, free_port
from benchmarks.scale.websocket import frame_message, opening
from services.contract import summary, wire

CLIENTS = 5
RATE = 1000
_WHAT = f"p99 from due, {RATE:,} records/s × {CLIENTS} clients"
ALONE = Metric(f"{_WHAT}, alone", "ms", "less")
BESIDE = Metric(f"{_WHAT}, beside one that never reads and one that reads 1 KB/s", "ms", "less")
CHANGE = Metric("what such neighbours add to that p99, of runs in turn", "%", "less", 10, rounds=3)

_SEND_SECONDS = 3
"""Timeout after which the server cuts a client that does not read: short, so that it happens several times in a run."""

_SEGMENT_BYTES = 1448
_RECEIVE_BYTES = 4096
_STEP_SECONDS = 0.05
_DEADLINE_SECONDS = 120.0


class Neighbour:
    """An observer that reads ``bytes_per_second`` (0: nothing), and reconnects after it was cut."""

    def __init__(self, port: int, name: str, bytes_per_second: int) -> None:
        self._port, self._name, self._bytes_per_second = port, name, bytes_per_second
        self._socket: socket.socket | None = None
        self._read_at = 0.0
        self.returns = -1

    def step(self) -> None:
        """Connect if necessary, and read once per second."""
        now = time.monotonic()
        try:
            if self._socket is None:
                self._socket = self._connect()
                self.returns += 1
            if now - self._read_at >= 1:
                self._read_at = now
                self._read(self._socket)
        except OSError:
            self.leave()

    def leave(self) -> None:
        """Close the connection."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _connect(self) -> socket.socket:
        connected_socket = socket.socket()
        try:
            # Segments as on a network: with the loopback's large segments the kernel would buffer megabytes.
            connected_socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, _SEGMENT_BYTES)
            connected_socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
            connected_socket.settimeout(1)
            connected_socket.connect(("127.0.0.1", self._port))
            connected_socket.sendall(
                opening(subprotocol=wire.SUBPROTOCOL)
                + frame_message(wire.encode(wire.Subscribe(client=self._name, observe=True)))
            )
        except OSError:
            connected_socket.close()
            raise
        return connected_socket

    def _read(self, connected: socket.socket) -> None:
        if self._bytes_per_second:
            with suppress(TimeoutError):
                if not connected.recv(self._bytes_per_second):
                    raise ConnectionResetError
        else:
            # Without reading it notices only by sending that it was cut.
            connected.sendall(frame_message(wire.encode(wire.Ping(t1_us=0))))


def measure(figures: Figures, folder: Path, records: int) -> None:
    """Make a run without neighbours and one with them, and compare the two."""
    alone = _run(folder / "alone", records, slow=False)
    beside = _run(folder / "beside", records, slow=True)
    figures.add(ALONE, alone)
    figures.add(BESIDE, beside)
    figures.add(CHANGE, 100 * (beside / alone - 1))


def _run(folder: Path, records: int, *, slow: bool) -> float:
    """Return the 99th percentile of the five clients' latency, in milliseconds, from the run's summary."""
    folder.mkdir(parents=True)
    port = free_port()
    # FSYNC=none: the disk would add more to the latency, and less evenly, than a neighbour does.
    variables = environment(
        CLIENTS=CLIENTS, RATE=RATE, RECORDS=records, SEND_SECONDS=_SEND_SECONDS, FSYNC="none", VOLUMES=folder,
        PORT=port, PAGE_PORT=free_port(), PYTHONUNBUFFERED=1,
    )  # fmt: skip
    neighbours = [Neighbour(port, "silent", 0), Neighbour(port, "slow", 1024)] if slow else []
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen([sys.executable, "-m", "services"], env=variables, stdout=output, stderr=output)
    deadline = time.monotonic() + _DEADLINE_SECONDS
    try:
        while process.poll() is None:
            for neighbour in neighbours:
                neighbour.step()
            if time.monotonic() > deadline:
                raise InvalidRun(f"a run took longer than {_DEADLINE_SECONDS:.0f} s")
            time.sleep(_STEP_SECONDS)
    finally:
        for neighbour in neighbours:
            neighbour.leave()
        process.terminate()
        process.wait(30)
    summaries = [summary.decode(path.read_bytes()) for path in (folder / "summary").glob("*/summary.json")]
    if process.returncode or not summaries or summaries[0].verdict != "PASS" or summaries[0].totals.residual:
        tail = "\n".join((folder / "output").read_text(errors="replace").splitlines()[-40:])
        raise InvalidRun(f"a run ended with code {process.returncode}:\n{tail}")
    shutil.rmtree(folder)
    return (summaries[0].latency_ns.p99 or 0) / 1e6
