"""The records that every server sends, one or several per message, from a file that all servers read."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

FILE = "pool.jsonl"
"""Name of the file in the folder of a benchmark; `fanout.prepare` writes it."""

BATCH = 768
"""Records per message in a comparison with batches: the number in a full frame of the project's server."""

POOL = 86 * BATCH
"""Records in the file. A longer run repeats them, to limit the servers' memory; the project's server generates all."""

BURST = 64
"""Messages that a server sends in one turn of its event loop …"""

MOST_BUFFERED = 256 * 1024
"""… as long as no connection has more bytes buffered than this: the limit of the project's server."""


def write(path: Path, records: int = POOL) -> None:
    """Write the first ``records`` records of the feed, one per line."""
    # Imported here, since the servers that only read the file run without the services' requirements.
    from services.server.feed.generator import FeedGenerator  # noqa: PLC0415

    path.write_bytes(FeedGenerator("person", "en_US", 42).lines(1, records))


def read(path: Path, per_message: int) -> list[bytes]:
    """Return the pool as messages: single records without newline, or ``per_message`` whole lines each."""
    lines = path.read_bytes().splitlines(keepends=True)
    if per_message == 1:
        return [line[:-1] for line in lines]
    return [b"".join(lines[begin : begin + per_message]) for begin in range(0, len(lines), per_message)]


def arguments() -> tuple[int, list[bytes]]:
    """Parse a server's command line, ``PORT POOL PER_MESSAGE``; return its port and messages.

    A client that sends a number makes the server send that many messages, repeating the pool.
    """
    port, path, per_message = sys.argv[1:4]
    return int(port), read(Path(path), int(per_message))


async def turn(buffered: Callable[[], int]) -> None:
    """Yield to the event loop between two bursts, until no connection has too many bytes buffered."""
    await asyncio.sleep(0)
    while buffered() > MOST_BUFFERED:  # noqa: ASYNC110 - a transport sends no event for what it has written
        await asyncio.sleep(0.001)
