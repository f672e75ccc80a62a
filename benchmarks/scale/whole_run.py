"""Plays whole runs of one server with many logging clients, and prints what each service needs.

    python -m benchmarks.scale.whole_run 100 1000

Every client receives 2 records a second in frames of their own, and logs them. The figures are processor time, which
other processes on the machine change little, and memory; the verdict is that of the ordinary collector.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measure import cpu_seconds
from tests.integration.processes import Process, System
from tests.poll import poll_until

RATE, SECONDS = 2, 60
_PER_PROCESS = 100
"""Clients in one process. The next process starts when they have subscribed: more that begin to connect at once are not
answered in time on a busy machine."""
_VERDICTS = ("PASS", "FAIL", "INVALID")


def main(arguments: Sequence[str]) -> int:
    """Play a run for each number of clients; print a row of a Markdown table each, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale.whole_run", description=__doc__)
    parser.add_argument("clients", nargs="+", type=int)
    print("| clients | server, cores | clients, cores | collector, cores | server | clients | collector | verdict |")
    print("|--:|--:|--:|--:|--:|--:|--:|---|")
    for clients in parser.parse_args(arguments).clients:
        with tempfile.TemporaryDirectory(prefix="whole-run-") as folder:
            print(f"| {clients:,} | {_row(Path(folder), clients)} |", flush=True)
    return 0


def _row(folder: Path, clients: int) -> str:
    """Play a run and return the cells of its row: cores, memory at the end, and the headline."""
    settings = {"CLIENTS": clients, "CONNECTIONS": min(clients, _PER_PROCESS), "RATE": RATE, "RECORDS": RATE * SECONDS}
    with System(folder, **settings) as system:
        server, collector = system.server(), system.start("collector")
        sums = range(_PER_PROCESS, clients + _PER_PROCESS, _PER_PROCESS)
        many = [_start_clients(system, number, min(expected, clients)) for number, expected in enumerate(sums, 1)]
        services = [[server], many, [collector]]
        server.wait_for_line('"rate set"', 240)
        before = [_cpu(processes) for processes in services]
        server.wait_for_line('"run ended"', 4 * SECONDS)
        cores = [(_cpu(processes) - used) / SECONDS for processes, used in zip(services, before, strict=True)]
        memory = [sum(_resident(process.pid) for process in processes) / 1e6 for processes in services]
        line = poll_until(lambda: _verdict(collector), "there is a verdict", 120)
    cells = [*(f"{one:.3f}" for one in cores), *(f"{one:,.0f} MB" for one in memory), " ".join(line.split())]
    return " | ".join(cells)


def _start_clients(system: System, number: int, expected: int) -> Process:
    """Start one more process, and wait until this many clients have subscribed."""
    process = system.client(f"client-{number}")
    poll_until(lambda: _subscriptions(system) >= expected, f"{expected} clients have subscribed", 120, 0.5)
    return process


def _subscriptions(system: System) -> int:
    return sum(path.read_bytes().count(b'"kind":"subscribe"') for path in system.volumes.ledger_files())


def _cpu(processes: Sequence[Process]) -> float:
    return sum(cpu_seconds(process.pid) or 0.0 for process in processes)


def _resident(pid: int) -> int:
    """Return the memory of a process in bytes."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def _verdict(collector: Process) -> str:
    """Return the line with the verdict, empty before."""
    return next((line for line in collector.lines if line.strip().startswith(_VERDICTS)), "")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
