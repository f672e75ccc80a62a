"""Compares the system with a naive implementation: one message per record, and one log call per record."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import Figures, InvalidRun, Metric, environment, free_port
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
    """Run the naive implementation once, and compute the ratio to the system's figure of this round."""
    with tempfile.TemporaryDirectory(dir=folder) as logs:
        rate = CLIENTS * records / _run(Path(logs), folder / pool.FILE, records)
    figures.add(NAIVE, rate)
    figures.add(RATIO, figures.values[VERIFIED][-1] / rate)


def _run(folder: Path, records_file: Path, records: int) -> float:
    """Return the seconds from the first send until the last client has logged all records."""
    port = free_port()
    server = _start("naive_server", port, records_file, records, CLIENTS)
    processes = [server]
    try:
        if server.stdout is None or server.stdout.readline() != "listening\n":
            raise InvalidRun("the naive server does not listen")
        logs = [folder / f"client-{number}.log" for number in range(1, CLIENTS + 1)]
        clients = [_start("naive_client", port, log) for log in logs]
        processes += clients
        began = float(server.communicate(timeout=_DEADLINE_SECONDS)[0])
        ended = [float(client.communicate(timeout=_DEADLINE_SECONDS)[0]) for client in clients]
    except (ValueError, subprocess.TimeoutExpired) as problem:
        raise InvalidRun(f"the naive form did not end well: {problem}") from problem
    finally:
        for process in processes:
            process.kill()
            process.wait(30)
    for log in logs:
        lines = log.read_bytes().count(b"\n")
        if lines != records:
            raise InvalidRun(f"the naive form logged {lines} of {records} records in {log.name}")
    return max(ended) - began


def _start(module: str, *parameters: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", f"benchmarks.peers.{module}", *map(str, parameters)]
    return subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)
