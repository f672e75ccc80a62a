"""Compares fan-out: deliveries per second of the server's CPU time, to the same neutral subscribers.

Another server sends one record per message, and may join messages on the way; then it sends batches of the size that
the project's server uses. The project's server generates its records, and batches them itself.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import Figures, InvalidRun, Metric, Sizes, environment, free_port
from benchmarks.peers import pool
from benchmarks.peers.install import NotAvailable
from benchmarks.peers.load import CountResult
from benchmarks.peers.servers import CANDIDATES, Run, Server, own_server

TARGETS: dict[int, dict[str, float]] = {
    1: {"redis-server": 1, "nats-server": 1, "npm ws": 15, "websockets.broadcast": 15},
    pool.BATCH: {"npm ws": 1, "nats-server": 0.5},
}
"""Targets for the ratio of deliveries to those of another server, by the records per message of that server."""

_WARM_UP = 8
"""The warm-up is this fraction of the messages. The project's server has none: its start is part of its figure."""

_BATCH_TEXT = {1: "a record a message", pool.BATCH: f"{pool.BATCH} records a message"}
_IN_BATCHES = 60
_RECORDS_AT_LEAST = 24_576
"""Per subscriber, with batches: more than fits into the buffers, since filling them is cheap."""

_DEADLINE_SECONDS = 180


def prepare(figures: Figures, sizes: Sizes, folder: Path) -> list[Server]:
    """Install the servers, and write the pool of records; servers that cannot be installed are marked as skipped."""
    pool.write(folder / pool.FILE)
    servers = []
    for candidate in CANDIDATES:
        if not candidate.essential and not sizes.all_peers:
            continue
        try:
            servers.append(candidate.prepare())
        except NotAvailable as reason:
            figures.skip(f"fan-out: {candidate.name}", str(reason))
    figures.peers |= {server.name: server.settings for server in servers}
    return servers


def measure(figures: Figures, folder: Path, servers: list[Server], sizes: Sizes) -> None:
    """Run every server for each number of subscribers, and compute the ratios within the round."""
    for subscribers in sizes.subscribers:
        prefix = f"fan-out to {subscribers}"
        single_runs = [(server, 1) for server in servers]
        batched_runs = [(server, pool.BATCH) for server in servers if _compared_in_batches(server, sizes)]
        own_value, results = 0.0, {}
        # The project's server runs in the middle, so that a drift of the machine's speed affects both sides equally.
        for server, batch in [*single_runs, (own_server(), 1), *batched_runs]:
            value = _run(server, folder, subscribers, batch, sizes.fan_out_seconds)
            if server.dialect == "ours":
                own_value = value
                figures.add(
                    Metric(f"{prefix}, per server CPU second: ours, as it batches", "deliveries", "more"), value
                )
            else:
                results[server, batch] = value
                label = f"{prefix}, per server CPU second: {server.name}, {_BATCH_TEXT[batch]}"
                figures.add(Metric(label, "deliveries", "more"), value)
        for (server, batch), value in results.items():
            target = TARGETS[batch].get(server.candidate)
            if target is not None:
                label = f"{prefix}: ours ÷ {server.name}, {_BATCH_TEXT[batch]}"
                figures.add(Metric(label, "×", "more", target), own_value / value)


def _compared_in_batches(server: Server, sizes: Sizes) -> bool:
    return server.candidate in (TARGETS[1] if sizes.all_peers else TARGETS[pool.BATCH])


def _run(server: Server, folder: Path, subscribers: int, per_message: int, seconds: float) -> float:
    """Run one server once; return its deliveries per second of its CPU time."""
    # With batches all servers have about the same speed.
    rate = server.rate if per_message == 1 else _IN_BATCHES
    records = round(rate * 100_000 * seconds / subscribers)
    if server.dialect == "ours" or per_message > 1:
        records = max(records, _RECORDS_AT_LEAST)
    messages = records // per_message
    with tempfile.TemporaryDirectory(dir=folder) as name:
        run = Run(Path(name), folder / pool.FILE, free_port(), subscribers, per_message, messages)
        try:
            counts = _run_server(server, run)
        except InvalidRun as problem:
            message = (run.folder / "output").read_text(errors="replace")[-2000:]
            label_ = f"{server.name} to {subscribers} subscribers, {messages} messages of {per_message}"
            raise InvalidRun(f"{label_}: {problem}\n{message}") from problem
    return counts.records / counts.server_cpu_seconds


def _run_server(server: Server, run: Run) -> CountResult:
    started = server.start(run)
    with (run.folder / "output").open("wb") as output:
        process = subprocess.Popen(started.command, env=started.environment, stdout=output, stderr=output)
    try:
        return _count(server, run, process.pid)
    finally:
        process.terminate()
        process.wait(30)


def _count(server: Server, run: Run, pid: int) -> CountResult:
    warm_up = 0 if server.dialect == "ours" else max(run.messages // _WARM_UP, 1)
    parameters = (server.dialect, run.pool, run.port, pid, run.subscribers, run.per_message, warm_up, run.messages)
    subscribers_process = subprocess.run(
        [sys.executable, "-m", "benchmarks.peers.load", *map(str, parameters)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=_DEADLINE_SECONDS,
    )
    if subscribers_process.returncode:
        raise InvalidRun(
            f"the subscribers ended with code {subscribers_process.returncode}: {subscribers_process.stderr[-2000:]}"
        )
    return CountResult(**json.loads(subscribers_process.stdout))
