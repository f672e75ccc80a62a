"""The same job as one would write it first, side by side with ours: a message a record, and a log call a record."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import BooksOpen, Figures, Metric, environment, free_port
from benchmarks.peers import pool
from benchmarks.system import CLIENTS, VERIFIED

NAIVE = Metric(
    f"end to end, {CLIENTS} clients, naive form: json.dumps, send and a log call per record, no sync, no receipts",
    "deliveries/s",
    "more",
)
RATIO = Metric(f"end to end, {CLIENTS} clients: ours, synced and receipted, ÷ naive form", "×", "more", 8)

_DEADLINE_SECONDS = 180


def measure(figures: Figures, folder: Path, records: int) -> None:
    """Play the naive form once on the pool in the folder, and set our own figure of this round against it."""
    with tempfile.TemporaryDirectory(dir=folder) as logs:
        rate = CLIENTS * records / _play(Path(logs), folder / pool.FILE, records)
    figures.add(NAIVE, rate)
    figures.add(RATIO, figures.values[VERIFIED][-1] / rate)


def _play(folder: Path, made: Path, records: int) -> float:
    """Return the seconds from the first send until the last client has logged all."""
    port = free_port()
    server = _start("naive_server", port, made, records, CLIENTS)
    running = [server]
    try:
        if server.stdout is None or server.stdout.readline() != "listening\n":
            raise BooksOpen("the naive server does not listen")
        logs = [folder / f"client-{number}.log" for number in range(1, CLIENTS + 1)]
        clients = [_start("naive_client", port, log) for log in logs]
        running += clients
        began = float(server.communicate(timeout=_DEADLINE_SECONDS)[0])
        ended = [float(client.communicate(timeout=_DEADLINE_SECONDS)[0]) for client in clients]
    except (ValueError, subprocess.TimeoutExpired) as problem:
        raise BooksOpen(f"the naive form did not end well: {problem}") from problem
    finally:
        for process in running:
            process.kill()
            process.wait(30)
    for log in logs:
        lines = log.read_bytes().count(b"\n")
        if lines != records:
            raise BooksOpen(f"the naive form logged {lines} of {records} records in {log.name}")
    return max(ended) - began


def _start(module: str, *told: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", f"benchmarks.peers.{module}", *map(str, told)]
    return subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)
