"""The other side of every server: plain sockets in one process that subscribe, count records, and do nothing else.

``python -m benchmarks.peers.load`` prints what they counted, or ends with 1 when a single one is a record short or
over.
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

from benchmarks.measure import BooksOpen, cpu_clock
from benchmarks.peers import pool
from benchmarks.peers.protocols import DIALECTS
from benchmarks.peers.publisher import Publisher

_RECORD = b'{"id":'
_CARRIED = len(_RECORD) - 1
_DEADLINE_SECONDS = 60.0
_CONNECT_SECONDS = 30.0
_LINGER_SECONDS = 0.1
"""After the last record: what a server sends twice would come now."""


class Counted(NamedTuple):
    """What all subscribers received together, how long it took, and what it cost the server."""

    records: int
    seconds: float
    server_cpu_seconds: float


class Subscriber:
    """One plain socket, and how many records have come through it."""

    def __init__(self, connection: socket.socket) -> None:
        self.socket, self.records = connection, 0
        self._carry = b""

    def take(self, buffer: bytearray, view: memoryview) -> None:
        """Count what has come, in a buffer that all subscribers share."""
        begin = len(self._carry)
        view[:begin] = self._carry
        received = self.socket.recv_into(view[begin:])
        if not received:
            raise BooksOpen(f"the server closed a subscriber's connection after {self.records} records")
        end = begin + received
        self.records += buffer.count(_RECORD, 0, end)
        self._carry = bytes(view[max(end - _CARRIED, 0) : end])


class Load:
    """All subscribers of one server and, for a server that has no records, their publisher."""

    def __init__(self, chosen: argparse.Namespace) -> None:
        self._server, self._per_message = chosen.server, chosen.per_message
        self._dialect = DIALECTS[chosen.dialect]
        self._publisher: Publisher | None = None
        if self._dialect.publish is not None:
            messages = [self._dialect.publish(payload) for payload in pool.read(chosen.pool, chosen.per_message)]
            connection = _connected(chosen.port)
            self._dialect.greet(connection)
            self._publisher = Publisher(connection, messages, chosen.per_message)
        self._subscribers = []
        for number in range(chosen.subscribers):
            connection = _connected(chosen.port)
            self._dialect.join(connection, number)
            connection.setblocking(True)
            self._subscribers.append(Subscriber(connection))
        self._buffer = bytearray(1 << 20)
        self._view = memoryview(self._buffer)

    def count(self, warm_up: int, messages: int) -> Counted:
        """Have the feed sent, a warm-up first; return what the messages after it cost."""
        with selectors.DefaultSelector() as selector:
            for subscriber in self._subscribers:
                selector.register(subscriber.socket, selectors.EVENT_READ, subscriber)
            if self._publisher is not None:
                selector.register(self._publisher.socket, selectors.EVENT_READ)
            if warm_up:
                self._take_all(selector, warm_up, 0)
            spent, began = cpu_clock(self._server), time.perf_counter()
            self._take_all(selector, messages, warm_up)
            used, seconds = cpu_clock(self._server) - spent, time.perf_counter() - began
            self._take_leftovers(selector)
        self._balance((warm_up + messages) * self._per_message)
        return Counted(messages * self._per_message * len(self._subscribers), seconds, used)

    def _take_all(self, selector: selectors.BaseSelector, messages: int, before: int) -> None:
        expected = (before + messages) * self._per_message
        deadline = time.perf_counter() + _DEADLINE_SECONDS
        self._dialect.start([subscriber.socket for subscriber in self._subscribers], messages)
        if self._publisher is not None:
            self._publisher.start(messages)
        while (counted := min(subscriber.records for subscriber in self._subscribers)) < expected:
            if self._publisher is not None:
                selector.modify(self._publisher.socket, self._publisher.publish(counted))
            if time.perf_counter() > deadline:
                raise BooksOpen(f"{counted} of {expected} records within {_DEADLINE_SECONDS:.0f} s")
            self._take(selector, 1.0)

    def _balance(self, expected: int) -> None:
        wrong = [subscriber.records for subscriber in self._subscribers if subscriber.records != expected]
        if wrong:
            raise BooksOpen(f"{len(wrong)} subscribers counted {wrong[:5]} … records instead of {expected}")

    def _take_leftovers(self, selector: selectors.BaseSelector) -> None:
        deadline = time.perf_counter() + _LINGER_SECONDS
        while (left := deadline - time.perf_counter()) > 0:
            self._take(selector, left)

    def _take(self, selector: selectors.BaseSelector, seconds: float) -> None:
        for key, _ in selector.select(seconds):
            if key.data is not None:
                key.data.take(self._buffer, self._view)
            elif self._publisher is not None:
                self._publisher.hear()


def _connected(port: int) -> socket.socket:
    deadline = time.monotonic() + _CONNECT_SECONDS
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=5)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def main() -> int:
    """Count, and print what was counted as JSON; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers.load", description=__doc__)
    parser.add_argument("dialect", choices=DIALECTS)
    parser.add_argument("pool", type=Path)
    for name in ("port", "server", "subscribers", "per_message", "warm_up", "messages"):
        parser.add_argument(name, type=int)
    chosen = parser.parse_args()
    try:
        print(json.dumps(Load(chosen).count(chosen.warm_up, chosen.messages)._asdict()))
    except BooksOpen as problem:
        print(problem, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
