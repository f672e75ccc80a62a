"""Measures the latency from the due time while other programs keep half of the processors busy.

Beside the run a bare pair of processes does as little as can be done: one sends the time at which each record is due
over plain sockets, the other stamps what it reads. Its latency is the machine's; what the run has above it is the
system's own share.

``python -m benchmarks.half_busy`` measures only this.
"""

from __future__ import annotations

import argparse
import os
import selectors
import socket
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import report, system
from benchmarks.busy import busy_loops
from benchmarks.measure import Figures, InvalidRun, Metric, environment

RATE, CLIENTS = 200, system.CLIENTS
_WHAT = f"latency from due, {RATE} records/s × {CLIENTS} clients, half of the processors busy"
P50, P99 = Metric(f"{_WHAT}: p50", "ms", "less"), Metric(f"{_WHAT}: p99", "ms", "less")
BARE_P50 = Metric(f"{_WHAT}: p50 of a bare pair of processes beside it", "ms", "less")
BARE_P99 = Metric(f"{_WHAT}: p99 of a bare pair of processes beside it", "ms", "less")
OWN = Metric(f"{_WHAT}: own share of p99, above the bare pair's", "%", "less", 10, rounds=3)
SERVER = Metric(f"{_WHAT}: p99 of the server's lateness, in the above", "ms", "less")

_STAMP = struct.Struct("<q")
_LEAD_SECONDS = 3.0
"""Time after which the bare pair begins, when the run has begun, too."""
_END_SECONDS = 60.0


def measure(figures: Figures, folder: Path, records: int) -> None:
    """Send ``records`` records beside busy loops, and the same number of stamps over the bare pair."""
    with busy_loops(max((os.cpu_count() or 1) // 2, 1)):
        pair = _BarePair(records)
        try:
            found = system.latencies(folder, rate=RATE, records=records, may_be_late=True)
            bare = pair.latencies_ms()
        finally:
            pair.stop()
    for metric, value in (
        (P50, found.p50_ms),
        (P99, found.p99_ms),
        (SERVER, found.server_late_p99_ms),
        (BARE_P50, _percentile(bare, 50)),
        (BARE_P99, _percentile(bare, 99)),
    ):
        figures.add(metric, value)
    figures.add(OWN, own_share(found.p99_ms, _percentile(bare, 99)))


def own_share(latency: float, bare: float) -> float:
    """Return the percentage of a latency that is above that of the bare pair; 0 if none is."""
    return 100 * max(latency - bare, 0.0) / latency if latency else 0.0


def _percentile(values: list[float], percent: int) -> float:
    return sorted(values)[(len(values) - 1) * percent // 100]


class _BarePair:
    """A sender and a reader, as processes: the reader prints the latencies in milliseconds."""

    def __init__(self, count: int) -> None:
        self._processes: list[subprocess.Popen[str]] = []
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = str(listener.getsockname()[1])
            command = [sys.executable, "-m", "benchmarks.half_busy"]
            self._reader = subprocess.Popen(
                [*command, "--read", port], env=environment(), stdout=subprocess.PIPE, text=True
            )
            self._processes.append(self._reader)
            sending = [*command, "--send", str(listener.fileno()), str(count)]
            self._processes.append(
                subprocess.Popen(sending, env=environment(), text=True, pass_fds=(listener.fileno(),))
            )

    def latencies_ms(self) -> list[float]:
        """Return the latency of every stamp."""
        output, _ = self._reader.communicate(timeout=_END_SECONDS)
        values = [float(value) for value in output.split()]
        if not values:
            raise InvalidRun("the bare pair of processes measured nothing")
        return values

    def stop(self) -> None:
        """End both processes."""
        for process in self._processes:
            process.kill()
            process.wait()


def send(listening: int, count: int) -> None:
    """Accept a connection for each client, and send each due time over all of them when it has come."""
    with socket.socket(fileno=listening) as listener:
        connections = [listener.accept()[0] for _ in range(CLIENTS)]
    for connection in connections:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    began_ns = time.time_ns() + round(_LEAD_SECONDS * 1e9)
    for number in range(count):
        due_ns = began_ns + number * 1_000_000_000 // RATE
        while (ahead_ns := due_ns - time.time_ns()) > 0:
            time.sleep(ahead_ns / 1e9)
        stamp = _STAMP.pack(due_ns)
        for connection in connections:
            connection.sendall(stamp)


def read(port: int) -> None:
    """Read the stamps of all connections until they end, and print the latencies."""
    values: list[float] = []
    with selectors.DefaultSelector() as selector:
        for _ in range(CLIENTS):
            connection = socket.create_connection(("127.0.0.1", port))
            selector.register(connection, selectors.EVENT_READ, connection)
        while selector.get_map():
            for key, _ in selector.select():
                data = key.data.recv(4096)
                now_ns = time.time_ns()
                if not data:
                    selector.unregister(key.data)
                values += [(now_ns - due_ns) / 1e6 for (due_ns,) in _STAMP.iter_unpack(data)]
    print(*values)


def main() -> None:
    """Measure and print the table, or be one of the bare pair."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.half_busy", description=__doc__)
    parser.add_argument("--records", type=int, default=4000, help="records to send, 200 per second")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--send", nargs=2, type=int, help=argparse.SUPPRESS)
    parser.add_argument("--read", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.send:
        send(*arguments.send)
        return
    if arguments.read:
        read(arguments.read)
        return
    figures = Figures()
    with tempfile.TemporaryDirectory(prefix="half-busy-") as folder:
        for number in range(arguments.rounds):
            measure(figures, Path(folder) / str(number), arguments.records)
    print(report.table(figures))


if __name__ == "__main__":
    main()
