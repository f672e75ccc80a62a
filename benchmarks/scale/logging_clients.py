"""Measures the collector with thousands of clients that log: its memory, and its processor time for a message.

The folders are written by another process. For the memory, 5,000 clients log 60 blocks of 10 messages each. One process
reads them and makes the files of the run, and then the service follows and closes the same run. For the processor time,
a few clients log blocks of 10, 250 and 1,000 messages of the real feed, each message with an arrival time of its own,
as at a low rate; the time includes the receipts.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks.measure import Figures, InvalidRun, Metric, environment
from benchmarks.scale.following import SummaryWatch, collector
from benchmarks.scale.run_files import RUN, Ledger, Log, batch
from benchmarks.scale.verifying import peak_bytes
from services.collector.open_run import OpenRun
from services.contract import blocklog
from services.server.feed.generator import FeedGenerator

BLOCK = 10
BLOCKS = 60
COSTS = {10: 3.0, 250: 1.5, 1000: 1.0}
"""Microseconds of processor time for a message, at most, by messages per block."""
_MESSAGES = 100_000
_MESSAGES_OF_A_CLIENT = 200
"""So that a bench with few clients is short here too."""
_CLIENTS = 10
_POLL_SECONDS = 0.05
_DEADLINE_SECONDS = 600.0


class Metrics(NamedTuple):
    """The metrics of one number of clients."""

    memory: Metric
    of_one: Metric
    service: Metric

    @classmethod
    def of(cls, clients: int) -> Metrics:
        """Return the metrics of a run with this many clients."""
        # The targets are for thousands: a few clients share what a run has once.
        is_target = clients == 5_000
        what = f"collector, `report` of {clients:,} clients that log {BLOCKS} blocks of {BLOCK}"
        return cls(
            memory=Metric(f"{what}: peak memory", "MiB", "less", 256 if is_target else None),
            of_one=Metric(f"{what}: memory of one more client", "kB", "less", 25 if is_target else None),
            service=Metric(
                f"collector, the service until it has closed the run of {clients:,} such clients: peak memory",
                "MiB",
                "less",
                256 if is_target else None,
            ),
        )


def cost_metric(block: int) -> Metric:
    """Return the metric of the processor time for a message in blocks of this size."""
    return Metric(f"collector, a message in blocks of {block:,}: processor time", "µs", "less", COSTS[block])


def measure(figures: Figures, folder: Path, clients: int) -> None:
    """Measure the memory with ``clients`` and with one, and the processor time for a message."""
    folder.mkdir(parents=True)
    for number in (1, clients):
        _in_another_process(folder / f"{number}", number, BLOCKS, BLOCK)
    least, most = _peak(folder / "1"), _peak(folder / f"{clients}")
    metrics = Metrics.of(clients)
    figures.add(metrics.memory, most / 2**20)
    figures.add(metrics.of_one, (most - least) / (clients - 1) / 1000)
    figures.add(metrics.service, _peak_of_service(folder / f"{clients}") / 2**20)
    for block in COSTS:
        place = folder / f"blocks-{block}"
        messages = min(_MESSAGES, _MESSAGES_OF_A_CLIENT * clients) // _CLIENTS
        _in_another_process(place, _CLIENTS, max(1, messages // block), block, "person")
        figures.add(cost_metric(block), _microseconds(place))
        shutil.rmtree(place)


def _in_another_process(volumes: Path, *sizes: int | str) -> None:
    command = [sys.executable, "-m", "benchmarks.scale.logging_clients", str(volumes), *map(str, sizes)]
    subprocess.run(command, env=environment(), check=True, timeout=_DEADLINE_SECONDS)


def _peak(volumes: Path) -> int:
    """Read a run and make all of its files in one process; return the most memory that it used, in bytes."""
    with (volumes / "output").open("wb") as output:
        reporting = subprocess.Popen(
            [sys.executable, "-m", "services.collector", "report", volumes, "--jobs", "1", "--out", volumes / "files"],
            env=environment(VOLUMES=volumes),
            stdout=output,
            stderr=output,
        )
    deadline, peak = time.monotonic() + _DEADLINE_SECONDS, 0
    while reporting.poll() is None:
        peak = peak_bytes(reporting.pid) or peak
        if time.monotonic() > deadline:
            reporting.kill()
        time.sleep(_POLL_SECONDS)
    if reporting.returncode:
        raise InvalidRun(f"report ended with code {reporting.returncode}: {(volumes / 'output').read_text()[-2000:]}")
    return peak


def _peak_of_service(volumes: Path) -> int:
    """Let the service follow a run until it is closed; return the most memory that it used, in bytes."""
    with collector(volumes) as pid:
        SummaryWatch(volumes).wait("closed", _DEADLINE_SECONDS)
        return peak_bytes(pid) or 0


def _microseconds(volumes: Path) -> float:
    run = OpenRun(volumes, RUN, 0.0)
    began = time.process_time()
    run.read(0.0, lambda: False)
    used = time.process_time() - began
    return used * 1e6 / sum(log.messages for log in run.evidence.logs.values())


def write(volumes: Path, clients: int, blocks: int, block: int, schema: str = "") -> None:
    """Write ledger and logs of a run; without a schema the records are short."""
    total, receipts, logs = blocks * block, [], []
    # One list for all clients: each block is encoded once for each of them, and that takes the time.
    messages = list(_blocks(schema, blocks, block))
    for number in range(1, clients + 1):
        log = Log(volumes, f"client-{number}", number, block)
        logs.append(log)
        receipts += [log.put(_delayed(every, number)) for every in messages]
        log.finish()
    ledger = Ledger(volumes, total, logs, block)
    for receipt in receipts:
        ledger.put(receipt)
    ledger.finish()


def _blocks(schema: str, blocks: int, block: int) -> Iterator[list[blocklog.OwnMessage]]:
    feed = FeedGenerator(schema, "en_US", 42) if schema else None
    for first in range(1, blocks * block + 1, block):
        records = feed.records(first, block) if feed else [b'{"n":%d}' % seq for seq in range(first, first + block)]
        yield [message for place, record in enumerate(records) for message in batch([record], first + place)]


def _delayed(messages: Sequence[blocklog.OwnMessage], number: int) -> list[blocklog.OwnMessage]:
    """Return messages with durations that differ from client to client."""
    later_ns = number * 7919 % 1_000_000
    return [
        msgspec.structs.replace(one, latency_ns=one.latency_ns + later_ns, transit_ns=one.transit_ns + later_ns)
        for one in messages
    ]


if __name__ == "__main__":
    clients, blocks, block = map(int, sys.argv[2:5])
    write(Path(sys.argv[1]), clients, blocks, block, "".join(sys.argv[5:]))
