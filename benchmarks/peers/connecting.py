"""Compares the server's CPU time of one connection: opened, subscribed, and closed or cut off.

npm ``ws`` greets each client and answers its request, as the project's server does, but keeps no ledger. The clients
are blocking sockets in this process, a few at a time, the same for both servers.

``python -m benchmarks.peers.connecting`` measures only this; ``--product DIR`` measures another checkout in turn.
"""

from __future__ import annotations

import argparse
import os
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from benchmarks import report
from benchmarks.measure import Figures, InvalidRun, Metric, cpu_clock, environment, free_port
from benchmarks.peers import install
from benchmarks.scale.websocket import CLOSE, TEXT, Frames, frame_message, opening
from services.contract import wire

AT_ONCE = 8
"""Connections that are open at the same time."""

_CUT = struct.pack("ii", 1, 0)
"""``SO_LINGER`` with no time: the socket is closed with a reset, as a connection that is cut off."""

_HERE = Path(__file__).parent
_SECONDS = 30.0
_WARM_UP = 4
"""A quarter of the connections is opened in advance and not counted."""


class Listening(NamedTuple):
    """A server that listens: its port, its process, and the opening request of its clients."""

    port: int
    pid: int
    opening: bytes


class Connection:
    """One client: connects, is greeted, asks for a subscription and waits until it is granted."""

    def __init__(self, server: Listening, number: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=_SECONDS)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._name, self._frames = f"connection-{number}", Frames()
        self.socket.sendall(server.opening)

    def subscribe(self) -> None:
        """Wait for the greeting and send the request."""
        self._wait_for(TEXT)
        request = wire.Subscribe(client=self._name, session=1, instance=self._name, block_size=10, after=0, run="")
        self.socket.sendall(frame_message(wire.encode(request)))

    def wait_until_granted(self) -> None:
        """Wait for the answer to the request."""
        self._wait_for(TEXT)

    def ask_for_close(self) -> None:
        """Begin the closing handshake."""
        self.socket.sendall(frame_message((1000).to_bytes(2, "big"), CLOSE))

    def wait_until_closed(self) -> None:
        """Complete the closing handshake; the server closes the connection first."""
        self._wait_for(CLOSE)
        while self.socket.recv(4096):
            pass
        self.socket.close()

    def cut(self) -> None:
        """Disconnect with a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _CUT)
        self.socket.close()

    def _wait_for(self, opcode: int) -> None:
        while True:
            data = self.socket.recv(65_536)
            if not data:
                raise InvalidRun("the server closed a connection")
            if any(found == opcode for found, _ in self._frames.feed(data)):
                return


def metric(server: str, *, is_cut: bool) -> Metric:
    """Return the metric of one server."""
    return Metric(f"{_name(is_cut=is_cut)}: server CPU, {server}", "µs", "less")


def ratio(peer: str, *, is_cut: bool) -> Metric:
    """Return the metric of the comparison with another server."""
    return Metric(f"{_name(is_cut=is_cut)}: ours ÷ {peer}", "×", "less", 1)


def _name(*, is_cut: bool) -> str:
    return f"a connection opened, subscribed and {'cut off' if is_cut else 'closed'}"


def measure(figures: Figures, folder: Path, connections: int) -> None:
    """Measure both servers in turn."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        program = install.npm("ws")
    except install.NotAvailable as reason:
        figures.skip(_name(is_cut=False), str(reason))
        return
    peer = f"npm ws {program.version}"
    for is_cut in (False, True):
        with tempfile.TemporaryDirectory(dir=folder) as volumes, own_server(Path(volumes)) as server:
            own = seconds_each(server, connections, is_cut=is_cut)
        with _npm_ws(folder, program) as server:
            other = seconds_each(server, connections, is_cut=is_cut)
        figures.add(metric("ours", is_cut=is_cut), own * 1e6)
        figures.add(metric(peer, is_cut=is_cut), other * 1e6)
        figures.add(ratio(peer, is_cut=is_cut), own / other)


def seconds_each(server: Listening, connections: int, *, is_cut: bool) -> float:
    """Open and end connections, `AT_ONCE` at a time; return the server's CPU seconds for each."""
    _open_and_end(server, max(connections // _WARM_UP, AT_ONCE), is_cut=is_cut)
    rounds = max(connections // AT_ONCE, 1)
    before = cpu_clock(server.pid)
    _open_and_end(server, rounds * AT_ONCE, is_cut=is_cut)
    return (cpu_clock(server.pid) - before) / rounds / AT_ONCE


def _open_and_end(server: Listening, connections: int, *, is_cut: bool) -> None:
    for _ in range(max(connections // AT_ONCE, 1)):
        opened = [Connection(server, number) for number in range(AT_ONCE)]
        for step in (Connection.subscribe, Connection.wait_until_granted):
            for connection in opened:
                step(connection)
        for step in (Connection.cut,) if is_cut else (Connection.ask_for_close, Connection.wait_until_closed):
            for connection in opened:
                step(connection)


@contextmanager
def own_server(volumes: Path, product: Path | None = None) -> Iterator[Listening]:
    """Run the project's server, or that of another checkout, inside a ``with`` block."""
    port = free_port()
    # More clients than ever connect, so the run waits and no record is sent.
    variables = environment(CLIENTS=1000, PORT=port, VOLUMES=volumes)
    command = [sys.executable, "-m", "services.server"]
    with _process(command, variables, volumes, port, product) as pid:
        yield Listening(port, pid, opening(subprotocol=wire.SUBPROTOCOL))


@contextmanager
def _npm_ws(folder: Path, program: install.Program) -> Iterator[Listening]:
    (node, modules), port = program.command, free_port()
    command = [node, str(_HERE / "serve_connecting.js"), modules, str(port)]
    with _process(command, environment(), folder, port) as pid:
        yield Listening(port, pid, opening())


@contextmanager
def _process(
    command: list[str], variables: dict[str, str], folder: Path, port: int, product: Path | None = None
) -> Iterator[int]:
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(command, env=variables, stdout=output, stderr=output, cwd=product)
    try:
        _wait_for(port, folder / "output")
        yield process.pid
    finally:
        process.terminate()
        process.wait(_SECONDS)


def _wait_for(port: int, output: Path) -> None:
    deadline = time.monotonic() + _SECONDS
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
        except OSError as problem:
            if time.monotonic() > deadline:
                raise InvalidRun(output.read_text(errors="replace")[-2000:]) from problem
            time.sleep(0.02)
        else:
            return


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.connecting", description=__doc__)
    parser.add_argument("--connections", type=int, default=2000, help="connections of each kind and server")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--product", type=Path, help="another checkout, which is measured in turn")
    arguments = parser.parse_args()
    figures = Figures()
    with tempfile.TemporaryDirectory(prefix="connecting-") as name:
        for _ in range(arguments.rounds):
            measure(figures, Path(name), arguments.connections)
            if arguments.product is not None:
                _measure_product(figures, Path(name), arguments.connections, arguments.product.resolve())
    print(report.table(figures))


def _measure_product(figures: Figures, folder: Path, connections: int, product: Path) -> None:
    for is_cut in (False, True):
        with tempfile.TemporaryDirectory(dir=folder) as volumes, own_server(Path(volumes), product) as server:
            figures.add(metric("other checkout", is_cut=is_cut), seconds_each(server, connections, is_cut=is_cut) * 1e6)


if __name__ == "__main__":
    os.environ.pop("PYTHONPATH", None)
    main()
