"""Measures what the evidence of a run costs: the same run with all of it, and without one part after the other.

One server and one client process with five connections at full speed; the figure is their CPU time for a delivery. A
part's share is the difference to the run before it. `benchmarks.stripped` takes the parts away.

``python -m benchmarks.evidence`` measures only this.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks import report
from benchmarks.busy import LogCounter
from benchmarks.measure import Figures, InvalidRun, Metric, cpu_clock, environment, free_port
from benchmarks.scale.serving import ServerProcess
from benchmarks.stripped import PARTS

CONNECTIONS = 5
_WHAT = f"evidence, {CONNECTIONS} connections, RATE=0 BLOCK_SIZES=1000 FSYNC=block"
_NAMES = {
    "sync": "syncs of ledger and logs",
    "chain": "checksums, chain and SHA-256 of the lines",
    "receipts": "receipts, their digests and confirmations",
    "ledger": "ledger",
}
_GRACE_SECONDS, _START_SECONDS, _RUN_SECONDS = 60, 60.0, 120.0


class Cost(NamedTuple):
    """CPU time of a delivery, in seconds: of the server and of the client, each without its start."""

    server: float
    client: float

    @property
    def total(self) -> float:
        """Of both together."""
        return self.server + self.client


def metric(side: str, *, is_complete: bool) -> Metric:
    """Return the metric of a run with all parts, or with none."""
    how = "with all of it" if is_complete else f"without {', '.join(PARTS)}"
    return Metric(f"{_WHAT}: {side} CPU of a delivery, {how}", "µs", "less")


def share(part: str) -> Metric:
    """Return the metric of a part's share."""
    return Metric(f"{_WHAT}: share of the {_NAMES[part]}", "%", "less")


def measure(figures: Figures, folder: Path, records: int) -> None:
    """Make the run with all parts, and without the first, the first two … of them."""
    costs = []
    for number in range(len(PARTS) + 1):
        parts = PARTS[:number]
        costs.append(_run(folder / f"without-{number}", parts, records))
    for cost, is_complete in ((costs[0], True), (costs[-1], False)):
        figures.add(metric("server", is_complete=is_complete), cost.server * 1e6)
        figures.add(metric("client", is_complete=is_complete), cost.client * 1e6)
    for part, before, after in zip(PARTS, costs, costs[1:], strict=False):
        figures.add(share(part), 100 * (before.total - after.total) / costs[0].total)


def _run(folder: Path, parts: tuple[str, ...], records: int) -> Cost:
    folder.mkdir(parents=True)
    # Data that the run before has left unwritten would be written in the time of this one.
    os.sync()
    port = free_port()
    settings = {"PORT": port, "VOLUMES": folder, "RATE": 0, "BLOCK_SIZES": 1000, "FSYNC": "block"}
    clients = environment(**settings, SERVER_URL=f"ws://127.0.0.1:{port}", CONNECTIONS=CONNECTIONS)
    serving = environment(**settings, RECORDS=records, CLIENTS=CONNECTIONS, GRACE_SECONDS=_GRACE_SECONDS)
    with _service("services.server", parts, serving, folder / "output") as pid:
        server = ServerProcess(port, pid, folder)
        server.wait_for(("waiting",), _START_SECONDS)
        server_before = cpu_clock(pid)
        with _service("services.client", parts, clients, folder / "client-output") as client:
            server.wait_for(("running", "ended"), _START_SECONDS)
            client_before = cpu_clock(client)
            _wait_for_logs(folder, records * CONNECTIONS)
            deliveries = records * CONNECTIONS
            cost = Cost((cpu_clock(pid) - server_before) / deliveries, (cpu_clock(client) - client_before) / deliveries)
    # The page cache of these files becomes that of the next run's: to write into new memory costs three times as much.
    shutil.rmtree(folder)
    return cost


def _wait_for_logs(folder: Path, messages: int) -> None:
    """Wait until the logs have every message.

    Raises:
        InvalidRun: they have not in time, or have too many.
    """
    counter, deadline = LogCounter(folder), time.monotonic() + _RUN_SECONDS
    while counter.update() < messages and time.monotonic() < deadline:
        time.sleep(0.05)
    if counter.messages != messages:
        raise InvalidRun(f"the logs have {counter.messages} of {messages} messages")


@contextmanager
def _service(module: str, parts: tuple[str, ...], variables: dict[str, str], output: Path) -> Iterator[int]:
    command = [sys.executable, "-m", "benchmarks.stripped", ",".join(parts), module]
    with output.open("wb") as file:
        process = subprocess.Popen(command, env=variables, stdout=file, stderr=file)
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(30)


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.evidence", description=__doc__)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    figures = Figures()
    for number in range(arguments.rounds):
        with tempfile.TemporaryDirectory(prefix="evidence-") as folder:
            measure(figures, Path(folder) / str(number), arguments.records)
    print(report.table(figures))


if __name__ == "__main__":
    main()
