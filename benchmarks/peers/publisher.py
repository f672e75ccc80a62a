"""Gives a server the records when it has none itself, and no more than its subscribers can take."""

from __future__ import annotations

import selectors
import socket
from collections.abc import Iterator, Sequence

AHEAD_BYTES = 2 << 20
"""So much may be on its way to a subscriber: enough to keep a server busy, and below what any server drops at."""

_PIECE_BYTES = 1 << 16


class Publisher:
    """Writes messages to a connection, no faster than the slowest subscriber counts their records."""

    def __init__(self, connection: socket.socket, pool: Sequence[bytes], per_message: int) -> None:
        self.socket = connection
        self._pool, self._pieces = pool, _pieces(pool, 0)
        self._sent, self._per_message = 0, per_message
        self._ahead = max(AHEAD_BYTES * len(pool) // sum(map(len, pool)), 1) * per_message
        self._rest = memoryview(b"")
        connection.setblocking(False)

    def start(self, messages: int) -> None:
        """Be about to publish so many messages more, from the pool's first on."""
        self._pieces = _pieces(self._pool, messages)

    def hear(self) -> None:
        """Read and forget what the server answers: one that cannot answer would stop reading."""
        try:
            while len(self.socket.recv(1 << 16)) == 1 << 16:
                pass
        except BlockingIOError:
            return

    def publish(self, counted: int) -> int:
        """Write on, given how many records the slowest has counted; return what to wait for on the connection."""
        while True:
            if not self._rest:
                if self._sent - counted >= self._ahead:
                    return selectors.EVENT_READ
                messages, piece = next(self._pieces, (0, b""))
                if not messages:
                    return selectors.EVENT_READ
                self._sent, self._rest = self._sent + messages * self._per_message, memoryview(piece)
            try:
                self._rest = self._rest[self.socket.send(self._rest) :]
            except BlockingIOError:
                return selectors.EVENT_READ | selectors.EVENT_WRITE


def _pieces(pool: Sequence[bytes], messages: int) -> Iterator[tuple[int, bytes]]:
    """Yield so many messages from a pool that is gone round, joined to what is worth a call; each with its count."""
    together = max(_PIECE_BYTES * len(pool) // sum(map(len, pool)), 1)
    while messages > 0:
        for begin in range(0, min(len(pool), messages), together):
            piece = pool[begin : min(begin + together, messages)]
            yield len(piece), b"".join(piece)
        messages -= len(pool)
