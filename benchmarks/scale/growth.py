"""Compares the server's CPU time per delivery with few and with many connections.

Each run sends the same number of deliveries at full speed to plain sockets that only count. CPU time is measured from
when all but one are subscribed and the server is idle, so that the cost of connecting is not included. The work per
record (generation, digest) is shared by fewer deliveries if there are fewer connections, so these are the most
expensive; the target applies to the increase from one size to the next larger one.
"""

from __future__ import annotations

import selectors
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from urllib.request import urlopen

from benchmarks.fanout import Peer
from benchmarks.measure import Figures, InvalidRun, Metric, cpu_clock, environment
from benchmarks.scale.serving import raise_open_file_limit, run_server

_MANY = "cost of a delivery with more connections / with fewer, the worst of these steps"
GROWTH = Metric(_MANY, "times", "less", 2, rounds=3)
SPREAD = Metric("cost of a delivery, dearest / cheapest, making the records included", "times", "less", 2, rounds=3)

_CONNECT_SECONDS = 60.0
_SETTLE_SECONDS = 1.0
_DEADLINE_SECONDS = 120.0


def metric(connections: int, records: int) -> Metric:
    """Return the metric of one size."""
    return Metric(f"{connections:,} connections × {records:,} records: per server CPU second", "deliveries", "more")


def measure(figures: Figures, folder: Path, sizes: tuple[tuple[int, int], ...]) -> None:
    """Make one run of every size, and compare each with the one before."""
    costs: list[float] = []
    for connections, records in sizes:
        cpu = _run(folder / f"{connections}", connections, records)
        costs.append(cpu / connections / records)
        figures.add(metric(connections, records), 1 / costs[-1])
    figures.add(GROWTH, max(more / fewer for fewer, more in pairwise(costs)))
    figures.add(SPREAD, max(costs) / min(costs))


def _run(folder: Path, connections: int, records: int) -> float:
    with run_server(folder, RATE=0, RECORDS=records, CLIENTS=connections, GRACE_SECONDS=60) as server:
        peers_process = subprocess.run(
            [sys.executable, "-m", "benchmarks.scale.growth", str(server.port), str(server.pid), str(connections)],
            env=environment(),
            capture_output=True,
            check=False,
            timeout=_CONNECT_SECONDS + _DEADLINE_SECONDS,
        )
        if peers_process.returncode:
            raise InvalidRun(
                f"the peers ended with code {peers_process.returncode}: {peers_process.stderr.decode()[-2000:]}"
            )
    total, cpu = map(float, peers_process.stdout.split())
    if total != connections * records:
        raise InvalidRun(f"the peers counted {total:.0f} of {connections * records} records")
    return cpu


def count(port: int, server: int, connections: int) -> tuple[int, float]:
    """Subscribe peers and count until each has received the end; return the records and the server's CPU seconds."""
    raise_open_file_limit()
    peers = [Peer(port, f"peer-{number}") for number in range(1, connections)]
    _wait_for(port, connections - 1)
    time.sleep(_SETTLE_SECONDS)
    cpu_before = cpu_clock(server)
    peers.append(Peer(port, f"peer-{connections}"))
    _count(peers)
    used = cpu_clock(server) - cpu_before
    for peer in peers:
        peer.socket.close()
    return sum(peer.records for peer in peers), used


def _count(peers: list[Peer]) -> None:
    buffer, open_peers = memoryview(bytearray(1 << 20)), len(peers)
    deadline = time.monotonic() + _DEADLINE_SECONDS
    with selectors.EpollSelector() as selector:
        for peer in peers:
            selector.register(peer.socket, selectors.EVENT_READ, peer)
        while open_peers:
            for key, _ in selector.select(1.0):
                key.data.receive(buffer)
                if key.data.ended:
                    selector.unregister(key.fileobj)
                    open_peers -= 1
            if time.monotonic() > deadline:
                raise InvalidRun(f"{open_peers} peers waited longer than {_DEADLINE_SECONDS:.0f} s")


def _wait_for(port: int, subscribed: int) -> None:
    deadline = time.monotonic() + _CONNECT_SECONDS
    wanted = f"\nstreamgauge_clients {float(subscribed)}\n"
    while wanted not in _metrics(port):
        if time.monotonic() > deadline:
            raise InvalidRun(f"{subscribed} peers were not subscribed within {_CONNECT_SECONDS:.0f} s")
        time.sleep(0.2)


def _metrics(port: int) -> str:
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
        return str(answer.read().decode())


if __name__ == "__main__":
    print(*count(*map(int, sys.argv[1:4])))
