"""What every server sends: the project's own records, one or many a message, from a file that all of them read."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

FILE = "pool.jsonl"
"""Its name, in the folder of a benchmark; `fanout.prepare` writes it."""

BATCH = 768
"""Records a message when a peer is given our batches: as many as our server puts into a frame when it lags."""

POOL = 86 * BATCH
"""Records in the file. A longer run goes round, which spares a peer's memory; ours makes every record anew."""

BURST = 64
"""Messages that a server which has the records itself hands over in one turn of its loop …"""

MOST_BUFFERED = 256 * 1024
"""… while no connection has more bytes than this waiting: our own server's limit."""


def write(path: Path, records: int = POOL) -> None:
    """Write the pool: so many first records of the feed, one a line."""
    # Imported here, for the servers that read the file have no services beside them, nor need they.
    from services.server.feed.generator import FeedGenerator  # noqa: PLC0415

    path.write_bytes(FeedGenerator("person", "en_US", 42).lines(1, records))


def read(path: Path, per_message: int) -> list[bytes]:
    """Return the pool's messages: a record without newline each, or so many whole lines."""
    lines = path.read_bytes().splitlines(keepends=True)
    if per_message == 1:
        return [line[:-1] for line in lines]
    return [b"".join(lines[begin : begin + per_message]) for begin in range(0, len(lines), per_message)]


def arguments() -> tuple[int, list[bytes]]:
    """Return what a server is told that has the records itself, on its command line: ``PORT POOL PER_MESSAGE``.

    That is its port and the messages; whoever says a number to it makes it send so many, going round.
    """
    port, path, per_message = sys.argv[1:4]
    return int(port), read(Path(path), int(per_message))


async def turn(buffered: Callable[[], int]) -> None:
    """Give the others their turn between two bursts, until no connection has too many bytes waiting."""
    await asyncio.sleep(0)
    while buffered() > MOST_BUFFERED:  # noqa: ASYNC110 - a transport sends no event for what it has written
        await asyncio.sleep(0.001)
