"""Publishes records to a broker, no faster than its subscribers receive them."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterator, Sequence

AHEAD_BYTES = 2 << 20
"""Bytes that may be in flight to a subscriber: enough to keep a server busy, but below any server's drop limit."""

_PIECE_BYTES = 1 << 16


class Publisher:
    """Writes messages to a connection, no faster than the slowest subscriber counts their records."""

    def __init__(self, connection: socket.socket, pool: Sequence[bytes], per_message: int) -> None:
        self.socket = connection
        self._pool, self._pieces = pool, _pieces(pool, 0)
        self._sent, self._per_message = 0, per_message
        self._ahead = max(AHEAD_BYTES * len(pool) // sum(map(len, pool)), 1) * per_message
        self._unsent = memoryview(b"")
        connection.setblocking(False)

    def start(self, messages: int) -> None:
        """Prepare to publish ``messages`` messages, starting with the first of the pool."""
        self._pieces = _pieces(self._pool, messages)

    def read_replies(self) -> None:
        """Read and discard the server's replies: a server whose replies are not read would stop reading itself."""
        try:
            while len(self.socket.recv(1 << 16)) == 1 << 16:
                pass
        except BlockingIOError:
            return

    def publish(self, counted: int) -> int:
        """Continue to write; return the selector events to wait for.

        ``counted`` is the number of records that the slowest subscriber has counted.
        """
        while True:
            if not self._unsent:
                if self._sent - counted >= self._ahead:
                    return selectors.EVENT_READ
                messages, piece = next(self._pieces, (0, b""))
                if not messages:
                    return selectors.EVENT_READ
                self._sent, self._unsent = self._sent + messages * self._per_message, memoryview(piece)
            try:
                self._unsent = self._unsent[self.socket.send(self._unsent) :]
            except BlockingIOError:
                return selectors.EVENT_READ | selectors.EVENT_WRITE


def _pieces(pool: Sequence[bytes], messages: int) -> Iterator[tuple[int, bytes]]:
    """Yield pieces of joined messages with their count, ``messages`` in all, repeating the pool."""
    count = max(_PIECE_BYTES * len(pool) // sum(map(len, pool)), 1)
    while messages > 0:
        for begin in range(0, min(len(pool), messages), count):
            piece = pool[begin : min(begin + count, messages)]
            yield len(piece), b"".join(piece)
        messages -= len(pool)
