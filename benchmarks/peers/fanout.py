"""Fan-out, side by side: deliveries for a second of the server's processor time, to the same neutral subscribers.

A peer is given a record a message, and what it joins on the way is its merit; then it is given our batches. Ours makes
its records, and batches them by itself.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measure import BooksOpen, Figures, Metric, Sizes, environment, free_port
from benchmarks.peers import pool
from benchmarks.peers.install import NotAvailable
from benchmarks.peers.load import Counted
from benchmarks.peers.servers import ENTRANTS, Run, Server, ours

TARGETS: dict[int, dict[str, float]] = {
    1: {"redis-server": 1, "nats-server": 1, "npm ws": 15, "websockets.broadcast": 15},
    pool.BATCH: {"npm ws": 1, "nats-server": 0.5},
}
"""How many times as much as a peer ours must deliver, by the records in a message that the peer is given."""

_WARM_UP = 8
"""One message to so many that count. Ours has none: its start is in its figure."""

_GIVEN = {1: "a record a message", pool.BATCH: f"{pool.BATCH} records a message"}
_IN_BATCHES = 60
_RECORDS_AT_LEAST = 24_576
"""To each subscriber where batches are sent: more than what is on its way at any time, for to fill buffers is cheap."""

_DEADLINE_SECONDS = 180


def prepare(figures: Figures, sizes: Sizes, folder: Path) -> list[Server]:
    """Install what is to be compared, and write what all of it sends; what cannot be had is noted among the figures."""
    pool.write(folder / pool.FILE)
    servers = []
    for entrant in ENTRANTS:
        if not entrant.essential and not sizes.all_peers:
            continue
        try:
            servers.append(entrant.prepare())
        except NotAvailable as why:
            figures.skip(f"fan-out: {entrant.name}", str(why))
    return servers


def measure(figures: Figures, folder: Path, servers: list[Server], sizes: Sizes) -> None:
    """Run every server in turn for each number of subscribers, and set ours against them within the round."""
    for subscribers in sizes.subscribers:
        work = f"fan-out to {subscribers}"
        lone = [(server, 1) for server in servers]
        together = [(server, pool.BATCH) for server in servers if _compared_in_batches(server, sizes)]
        mine, found = 0.0, {}
        # Ours stands in the middle: whatever changes on the machine meanwhile falls on both sides of it.
        for server, given in [*lone, (ours(), 1), *together]:
            value = _run(server, folder, subscribers, given, sizes.fan_out_seconds)
            if server.dialect == "ours":
                mine = value
                figures.add(Metric(f"{work}, per server CPU second: ours, as it batches", "deliveries", "more"), value)
            else:
                found[server, given] = value
                which = f"{work}, per server CPU second: {server.name}, {_GIVEN[given]}"
                figures.add(Metric(which, "deliveries", "more"), value)
        for (server, given), value in found.items():
            target = TARGETS[given].get(server.entrant)
            if target is not None:
                which = f"{work}: ours ÷ {server.name}, {_GIVEN[given]}"
                figures.add(Metric(which, "×", "more", target), mine / value)


def _compared_in_batches(server: Server, sizes: Sizes) -> bool:
    return server.entrant in (TARGETS[1] if sizes.all_peers else TARGETS[pool.BATCH])


def _run(server: Server, folder: Path, subscribers: int, per_message: int, seconds: float) -> float:
    """Run one server once; return its deliveries per second of its processor time."""
    # Given batches, all servers are about as quick.
    rate = server.rate if per_message == 1 else _IN_BATCHES
    records = round(rate * 100_000 * seconds / subscribers)
    if server.dialect == "ours" or per_message > 1:
        records = max(records, _RECORDS_AT_LEAST)
    messages = records // per_message
    with tempfile.TemporaryDirectory(dir=folder) as name:
        run = Run(Path(name), folder / pool.FILE, free_port(), subscribers, per_message, messages)
        try:
            counted = _play(server, run)
        except BooksOpen as problem:
            said = (run.folder / "output").read_text(errors="replace")[-2000:]
            what = f"{server.name} to {subscribers} subscribers, {messages} messages of {per_message}"
            raise BooksOpen(f"{what}: {problem}\n{said}") from problem
    return counted.records / counted.server_cpu_seconds


def _play(server: Server, run: Run) -> Counted:
    started = server.start(run)
    with (run.folder / "output").open("wb") as output:
        process = subprocess.Popen(started.command, env=started.environment, stdout=output, stderr=output)
    try:
        return _count(server, run, process.pid)
    finally:
        process.terminate()
        process.wait(30)


def _count(server: Server, run: Run, pid: int) -> Counted:
    warm_up = 0 if server.dialect == "ours" else max(run.messages // _WARM_UP, 1)
    told = (server.dialect, run.pool, run.port, pid, run.subscribers, run.per_message, warm_up, run.messages)
    counting = subprocess.run(
        [sys.executable, "-m", "benchmarks.peers.load", *map(str, told)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=_DEADLINE_SECONDS,
    )
    if counting.returncode:
        raise BooksOpen(f"the subscribers ended with code {counting.returncode}: {counting.stderr[-2000:]}")
    return Counted(**json.loads(counting.stdout))
