"""The subscribers of every server: plain sockets in one process that subscribe and count records.

``python -m benchmarks.peers.load`` prints the counts; it exits with 1 if a subscriber has a record too few or too many.
"""

from __future__ import annotations

import argparse
import json
import selectors
import socket
import sys
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import InvalidRun, cpu_clock
from benchmarks.peers import pool
from benchmarks.peers.protocols import DIALECTS
from benchmarks.peers.publisher import Publisher

_RECORD = b'{"id":'
_CARRIED = len(_RECORD) - 1
_DEADLINE_SECONDS = 60.0
_CONNECT_SECONDS = 30.0
_LINGER_SECONDS = 0.1
"""How long to wait after the last record for duplicates."""


class CountResult(NamedTuple):
    """The records that all subscribers received, the seconds it took, and the server's CPU seconds."""

    records: int
    seconds: float
    server_cpu_seconds: float


class Subscriber:
    """One plain socket, and the number of records received on it."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket, self.records = connection, 0
        self._carry = b""

    def receive(self, buffer: bytearray, view: memoryview) -> None:
        """Receive once into the buffer that all subscribers share, and count the records in it."""
        begin = len(self._carry)
        view[:begin] = self._carry
        received = self.socket.recv_into(view[begin:])
        if not received:
            raise InvalidRun(f"the server closed a subscriber's connection after {self.records} records")
        end = begin + received
        self.records += buffer.count(_RECORD, 0, end)
        self._carry = bytes(view[max(end - _CARRIED, 0) : end])


class Load:
    """All subscribers of one server, and a publisher if the server needs one."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._server, self._per_message = arguments.server, arguments.per_message
        self._dialect = DIALECTS[arguments.dialect]
        self._publisher: Publisher | None = None
        if self._dialect.publish is not None:
            messages = [self._dialect.publish(payload) for payload in pool.read(arguments.pool, arguments.per_message)]
            connection = _connect(arguments.port)
            self._dialect.open_publisher(connection)
            self._publisher = Publisher(connection, messages, arguments.per_message)
        self._subscribers = []
        for number in range(arguments.subscribers):
            connection = _connect(arguments.port)
            self._dialect.join(connection, number)
            connection.setblocking(True)
            self._subscribers.append(Subscriber(connection))
        self._buffer = bytearray(1 << 20)
        self._view = memoryview(self._buffer)

    def count(self, warm_up: int, messages: int) -> CountResult:
        """Count a warm-up and then ``messages`` messages; return the result without the warm-up."""
        with selectors.DefaultSelector() as selector:
            for subscriber in self._subscribers:
                selector.register(subscriber.socket, selectors.EVENT_READ, subscriber)
            if self._publisher is not None:
                selector.register(self._publisher.socket, selectors.EVENT_READ)
            if warm_up:
                self._receive_all(selector, warm_up, 0)
            cpu_before, began = cpu_clock(self._server), time.perf_counter()
            self._receive_all(selector, messages, warm_up)
            used, seconds = cpu_clock(self._server) - cpu_before, time.perf_counter() - began
            self._receive_rest(selector)
        self._check_counts((warm_up + messages) * self._per_message)
        return CountResult(messages * self._per_message * len(self._subscribers), seconds, used)

    def _receive_all(self, selector: selectors.BaseSelector, messages: int, before: int) -> None:
        expected = (before + messages) * self._per_message
        deadline = time.perf_counter() + _DEADLINE_SECONDS
        self._dialect.start([subscriber.socket for subscriber in self._subscribers], messages)
        if self._publisher is not None:
            self._publisher.start(messages)
        while (counted := min(subscriber.records for subscriber in self._subscribers)) < expected:
            if self._publisher is not None:
                selector.modify(self._publisher.socket, self._publisher.publish(counted))
            if time.perf_counter() > deadline:
                raise InvalidRun(f"{counted} of {expected} records within {_DEADLINE_SECONDS:.0f} s")
            self._receive(selector, 1.0)

    def _check_counts(self, expected: int) -> None:
        wrong_counts = [subscriber.records for subscriber in self._subscribers if subscriber.records != expected]
        if wrong_counts:
            raise InvalidRun(
                f"{len(wrong_counts)} subscribers counted {wrong_counts[:5]} … records instead of {expected}"
            )

    def _receive_rest(self, selector: selectors.BaseSelector) -> None:
        deadline = time.perf_counter() + _LINGER_SECONDS
        while (left := deadline - time.perf_counter()) > 0:
            self._receive(selector, left)

    def _receive(self, selector: selectors.BaseSelector, seconds: float) -> None:
        for key, _ in selector.select(seconds):
            if key.data is not None:
                key.data.receive(self._buffer, self._view)
            elif self._publisher is not None:
                self._publisher.read_replies()


def _connect(port: int) -> socket.socket:
    deadline = time.monotonic() + _CONNECT_SECONDS
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=5)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def main() -> int:
    """Count, print the result as JSON, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.load", description=__doc__)
    parser.add_argument("dialect", choices=DIALECTS)
    parser.add_argument("pool", type=Path)
    for name in ("port", "server", "subscribers", "per_message", "warm_up", "messages"):
        parser.add_argument(name, type=int)
    arguments = parser.parse_args()
    try:
        print(json.dumps(Load(arguments).count(arguments.warm_up, arguments.messages)._asdict()))
    except InvalidRun as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
