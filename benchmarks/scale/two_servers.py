"""Compares the CPU time of a delivery by two server processes on one port with that by one.

The kernel divides the connections between the processes; each generates the records for its own clients, keeps a ledger
of its own and reads that of the other.
"""

from __future__ import annotations

import selectors
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.fanout import Peer
from benchmarks.measure import Figures, InvalidRun, Metric, cpu_clock, environment, free_port
from benchmarks.scale.serving import ServerProcess, raise_open_file_limit

_START_SECONDS, _RUN_SECONDS = 60.0, 180.0


def metric(connections: int, servers: int) -> Metric:
    """Return the metric of a number of servers."""
    what = "one server process" if servers == 1 else f"{servers} server processes on one port"
    return Metric(f"{what}, {connections} connections: CPU of a delivery, of all processes", "µs", "less")


def ratio(connections: int) -> Metric:
    """Return the metric of the comparison."""
    return Metric(f"cost of a delivery with {connections} connections, two server processes ÷ one", "×", "less", 1.15)


def measure(figures: Figures, folder: Path, size: tuple[int, int]) -> None:
    """Make a run with one server and one with two; ``size`` is the number of connections and of records."""
    connections, records = size
    costs = {servers: _run(folder / f"{servers}", servers, connections, records) for servers in (1, 2)}
    for servers, cost in costs.items():
        figures.add(metric(connections, servers), cost * 1e6)
    figures.add(ratio(connections), costs[2] / costs[1])


def _run(folder: Path, servers: int, connections: int, records: int) -> float:
    """Return the CPU seconds of a delivery."""
    folder.mkdir(parents=True)
    port = free_port()
    settings = {"RATE": 0, "RECORDS": records, "CLIENTS": connections, "GRACE_SECONDS": 60, "SERVERS": servers}
    variables = environment(PORT=port, VOLUMES=folder, **settings)
    with ExitStack() as running:
        pids = [running.enter_context(_server(folder, number, variables)) for number in range(servers)]
        for pid in pids:
            raise_open_file_limit(pid)
        _wait_until_listening(port, folder, pids)
        before = sum(map(cpu_clock, pids))
        counting = subprocess.run(
            [sys.executable, "-m", "benchmarks.scale.two_servers", str(port), str(connections)],
            env=environment(),
            capture_output=True,
            check=False,
            timeout=_RUN_SECONDS,
        )
        if counting.returncode:
            raise InvalidRun(f"the peers ended with code {counting.returncode}: {counting.stderr.decode()[-2000:]}")
        used = sum(map(cpu_clock, pids)) - before
    counted = int(counting.stdout)
    if counted != connections * records:
        raise InvalidRun(f"the peers counted {counted:.0f} of {connections * records} records")
    return used / counted


@contextmanager
def _server(folder: Path, number: int, variables: dict[str, str]) -> Iterator[int]:
    with (folder / f"output-{number}").open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.server"], env=variables, stdout=output, stderr=output
        )
    try:
        yield process.pid
    finally:
        process.terminate()
        process.wait(30)


def _wait_until_listening(port: int, folder: Path, pids: list[int]) -> None:
    """Wait until every process has logged that it listens, and the port answers."""
    deadline = time.monotonic() + _START_SECONDS
    outputs = [folder / f"output-{number}" for number in range(len(pids))]
    while not all(b'"listening"' in output.read_bytes() for output in outputs):
        if time.monotonic() > deadline:
            raise InvalidRun(outputs[-1].read_text(errors="replace")[-2000:])
        time.sleep(0.05)
    ServerProcess(port, pids[0], folder).wait_for(("waiting", "running"), _START_SECONDS)


def count(port: int, connections: int) -> int:
    """Subscribe peers, and count the records until each has received the end."""
    raise_open_file_limit()
    buffer = memoryview(bytearray(1 << 20))
    deadline = time.monotonic() + _RUN_SECONDS
    total = 0
    with selectors.DefaultSelector() as selector:
        for number in range(1, connections + 1):
            _join(selector, port, f"peer-{number}")
        while selector.get_map():
            for key, _ in selector.select(1.0):
                peer, name = key.data
                if _has_left(peer, buffer):
                    selector.unregister(peer.socket)
                    _join(selector, port, name)
                elif peer.ended:
                    selector.unregister(peer.socket)
                    total += peer.records
            if time.monotonic() > deadline:
                raise InvalidRun(f"{len(selector.get_map())} peers waited longer than {_RUN_SECONDS:.0f} s")
    return total


def _join(selector: selectors.BaseSelector, port: int, name: str) -> None:
    peer = Peer(port, name)
    selector.register(peer.socket, selectors.EVENT_READ, (peer, name))


def _has_left(peer: Peer, buffer: memoryview) -> bool:
    """Receive; return whether the server has asked the peer to move to the other one, as it may before the run."""
    try:
        peer.receive(buffer)
    except InvalidRun:
        if peer.records:
            raise
        peer.socket.close()
        return True
    return False


if __name__ == "__main__":
    print(count(*map(int, sys.argv[1:3])))
