"""A foreign server that does what a test says, and a reader of foreign logs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

from services.client.external.rendezvous import AgreedRun
from services.client.external.settings import FeedSettings, read_feed
from services.contract import block_text, blocklog
from services.contract.jsonl import FIRST
from tests.unit.client.fakes import RUN

Script = Callable[[ServerConnection], Awaitable[None]]
OPENED = AgreedRun(run=RUN, url="ws://feed", opened_at="2026-11-22T07:30:00.000000Z", until=None)


def feed_settings(url: str = "ws://feed", **changed: str) -> FeedSettings:
    """Return the settings of a foreign feed whose records have a seq."""
    settings = read_feed({"SERVER_URL": url, "FEED_SEQ": "$.seq", **changed})
    assert settings is not None
    return settings


@asynccontextmanager
async def foreign_server(*scripts: Script, **options: Any) -> AsyncIterator[str]:
    """Serve the first connection by the first script and so on, the last script over and over; yield the address."""
    count = 0

    async def converse(connection: ServerConnection) -> None:
        nonlocal count
        script = scripts[min(count, len(scripts) - 1)]
        count += 1
        await script(connection)

    async with serve(converse, "127.0.0.1", 0, **options) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        yield f"ws{'s' if 'ssl' in options else ''}://localhost:{port}"


def sends(*seqs: int) -> Script:
    """Return a script that sends records of these numbers and then waits for the client to go."""

    async def script(connection: ServerConnection) -> None:
        for seq in seqs:
            await connection.send(json.dumps({"seq": seq}))
        await connection.wait_closed()

    return script


def entries(folder: Path) -> list[blocklog.LogLine]:
    """Return the lines of a client's log in order, after checking digests and chain."""
    found: list[blocklog.LogLine] = []
    prev = FIRST
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_bytes().splitlines(keepends=True):
            sealed, entry = blocklog.codec.decode(line)
            if isinstance(entry, blocklog.OpenLine) and entry.segment == 1:
                prev = FIRST
            assert prev == sealed.prev
            prev = sealed.crc
            found.append(entry)
    return found


def blocks(folder: Path) -> list[blocklog.ExternalBlock]:
    """Return the blocks of a client's log, checked against their own digests."""
    found = [entry for entry in entries(folder) if isinstance(entry, blocklog.ExternalBlock)]
    for block in found:
        assert len(block.messages) == block.count == block.positions[1] - block.positions[0] + 1
        assert block.digest == block_text.messages_digest(block.messages)
    return found


def logged(folder: Path) -> list[int | None]:
    """Return the numbers that a client logged, in the order received."""
    return [message.seq for block in blocks(folder) for message in block.messages]


def reason(folder: Path) -> str | None:
    """Return how the last file of a client's log was closed, None when it was not."""
    last = entries(folder)[-1]
    return last.reason if isinstance(last, blocklog.EndLine) else None


def told(folder: Path) -> list[str]:
    """Return blocks and lines of connections in order: ``opened 1``, ``1-3 by connection`` …."""
    found = []
    for entry in entries(folder):
        if isinstance(entry, blocklog.ConnectionLine):
            code = "" if entry.code is None else f" {entry.code}"
            found.append(f"{entry.event} {entry.connection}{code}")
        elif isinstance(entry, blocklog.ExternalBlock):
            found.append(f"{entry.first}-{entry.last} by {entry.closed_by}")
    return found


def connection_lines(folder: Path) -> list[blocklog.ConnectionLine]:
    """Return what a client's log tells of its connections."""
    return [entry for entry in entries(folder) if isinstance(entry, blocklog.ConnectionLine)]
