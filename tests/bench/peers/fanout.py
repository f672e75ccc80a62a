"""Fan-out, side by side: deliveries for a second of the server's processor time, to the same neutral subscribers.

A peer is given a record a message, and what it joins on the way is its merit; then it is given our batches. Ours makes
its records, and batches them by itself.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.bench.measure import BooksOpen, Figures, Metric, Sizes, environment, free_port
from tests.bench.peers import pool
from tests.bench.peers.install import NotHere
from tests.bench.peers.load import Counted
from tests.bench.peers.servers import ENTRANTS, Run, Server, ours

TARGETS: dict[int, dict[str, float]] = {
    1: {"redis-server": 1, "nats-server": 1, "npm ws": 15, "websockets.broadcast": 15},
    pool.BATCH: {"npm ws": 1, "nats-server": 0.5},
}
"""How many times as much as a peer ours must deliver, by the records in a message that the peer is given."""

_WARM_UP = 5
"""One message to so many that count. Ours has none: its start is in its figure."""

_GIVEN = {1: "a record a message", pool.BATCH: f"{pool.BATCH} records a message"}
_QUICKEST = 40
_DEADLINE_SECONDS = 180


def prepare(figures: Figures, sizes: Sizes, folder: Path) -> list[Server]:
    """Install what is to be compared, and write what all of it sends; what cannot be had is noted among the figures."""
    pool.write(folder / "pool.jsonl")
    servers = []
    for entrant in ENTRANTS:
        if not entrant.essential and not sizes.all_peers:
            continue
        try:
            servers.append(entrant.prepare())
        except NotHere as why:
            figures.skip(f"fan-out: {entrant.name}", str(why))
    return servers


def measure(figures: Figures, folder: Path, servers: list[Server], sizes: Sizes) -> None:
    """Run every server in turn, once in each column and for each number of subscribers."""
    for subscribers in sizes.subscribers:
        mine = 0.0
        for given, what in _GIVEN.items():
            chosen = [server for server in servers if given == 1 or sizes.all_peers or _target(given, server)]
            if not mine:
                # Not first: the first of a round has the quietest machine.
                chosen.insert(len(chosen) // 2, ours())
            found = {server: _run(server, folder, subscribers, given, sizes.fan_out_seconds) for server in chosen}
            for server, value in found.items():
                which = f"fan-out to {subscribers}, per server CPU second: {server.name}"
                if server.dialect == "ours":
                    mine = value
                    figures.add(Metric(f"{which}, as it batches", "deliveries", "more"), value)
                else:
                    figures.add(Metric(f"{which}, {what}", "deliveries", "more"), value)
            for server, value in found.items():
                if server.dialect != "ours":
                    which = f"fan-out to {subscribers}: ours ÷ {server.name}, {what}"
                    figures.add(Metric(which, "×", "more", _target(given, server)), mine / value)


def _target(given: int, server: Server) -> float | None:
    return TARGETS[given].get(server.name.rpartition(" ")[0])


def _run(server: Server, folder: Path, subscribers: int, per_message: int, seconds: float) -> float:
    """Run one server once; return its deliveries per second of its processor time."""
    # Batches make every server about as quick.
    rate = server.rate if per_message == 1 else max(server.rate, _QUICKEST)
    records = round(rate * 100_000 * seconds / subscribers)
    messages = max(records // per_message, 16)
    place = folder / f"{server.dialect}-{subscribers}-{per_message}"
    place.mkdir(exist_ok=True)
    run = Run(place, folder / "pool.jsonl", free_port(), subscribers, per_message, messages)
    started = server.start(run)
    with (place / "output").open("wb") as output:
        process = subprocess.Popen(started.command, env=started.environment, stdout=output, stderr=output)
    try:
        counted = _count(server, run, process.pid)
    except BooksOpen as problem:
        said = (place / "output").read_text(errors="replace")[-2000:]
        raise BooksOpen(
            f"{server.name} to {subscribers} subscribers, {run.messages} messages: {problem}\n{said}"
        ) from problem
    finally:
        process.terminate()
        process.wait(30)
    return counted.records / counted.server_cpu_seconds


def _count(server: Server, run: Run, pid: int) -> Counted:
    warm_up = 0 if server.dialect == "ours" else max(run.messages // _WARM_UP, 1)
    told = (server.dialect, run.pool, run.port, pid, run.subscribers, run.per_message, warm_up, run.messages)
    counting = subprocess.run(
        [sys.executable, "-m", "tests.bench.peers.load", *map(str, told)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=_DEADLINE_SECONDS,
    )
    if counting.returncode:
        raise BooksOpen(f"the subscribers ended with code {counting.returncode}: {counting.stderr[-2000:]}")
    return Counted(**json.loads(counting.stdout))
