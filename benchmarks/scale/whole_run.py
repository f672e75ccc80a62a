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
_SERVICES = ("server", "client", "collector")
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
    settings = {"CLIENTS": clients, "CONNECTIONS": clients, "RATE": RATE, "RECORDS": RATE * SECONDS}
    with System(folder, **settings) as system:
        started = {"server": system.server(), "collector": system.start("collector")}
        started["client"] = system.client("client")
        started["server"].wait_for_line('"rate set"', 120)
        before = _cpu(started)
        started["server"].wait_for_line('"run ended"', 4 * SECONDS)
        after = _cpu(started)
        memory = [f"{_resident(started[name].pid) / 1e6:,.0f} MB" for name in _SERVICES]
        line = poll_until(lambda: _verdict(started["collector"]), "there is a verdict", 120)
    cores = [f"{(after[name] - before[name]) / SECONDS:.3f}" for name in _SERVICES]
    return " | ".join([*cores, *memory, " ".join(line.split())])


def _cpu(started: dict[str, Process]) -> dict[str, float]:
    return {name: cpu_seconds(process.pid) or 0.0 for name, process in started.items()}


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
