"""Tests of what the sessions of the own feed and of external feeds share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from services.client.block_builder import BlockCut
from services.client.block_encoder import PendingLine, ReceivedBatch, opening
from services.client.session_log import SessionLog
from services.client.write_budget import WriteBudget
from services.contract import blocklog
from services.contract.scalars import Span, utc_us
from tests.unit.client.fakes import (
    RUN,
    START_US,
    Disk,
    StoppedClock,
    arrived,
    block_of,
    blocks,
    client_config,
    entries,
    until,
)


class PlainSession(SessionLog[ReceivedBatch]):
    """A session that logs blocks without faults, and lists the lines that are durable."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.durable: list[PendingLine] = []

    def _line_of(self, cut: BlockCut[ReceivedBatch]) -> PendingLine:
        return block_of(cut)

    def _take_counts(self) -> tuple[int, int, list[Span]]:
        return 0, 0, []

    def begin(self) -> None:
        """Begin the log."""
        self._begin(opening(self._key, 1, 0, self._config, [], START_US))

    def receive(self, *seqs: int) -> None:
        """Add consecutive records."""
        self._add(arrived(*seqs))

    async def write(self) -> None:
        """Write the log."""
        async for line in self._queue.durable():
            self.durable.append(line)


@asynccontextmanager
async def plain_session(logs: Path, clock: StoppedClock | None = None, **changed: Any) -> AsyncIterator[PlainSession]:
    """Open a session and write it; close its files afterwards."""
    config = client_config(logs, retry_seconds=0.001, **changed)
    session = PlainSession("client-1", RUN, config, clock or StoppedClock())
    writing = asyncio.create_task(session.write())
    try:
        async with asyncio.timeout(20):
            yield session
    finally:
        session.close()
        await writing


@pytest.mark.parametrize(("reason", "logged"), [("shutdown", [10, 3]), ("superseded", [10])])
async def test_sealing_waits_for_the_blocks(tmp_path: Path, reason: blocklog.FileEndReason, logged: list[int]) -> None:
    """Sealing writes all blocks and the last line; a superseded session leaves waiting blocks to its successor."""
    async with plain_session(tmp_path) as session:
        session.begin()
        session.receive(*range(1, 14))
        # Durable, and not only in the file: until then the thread that writes would take the next block along.
        await until(lambda: len(session.durable) == 1)
        session.close_block("shutdown")
        await session.seal(reason)
        ended = entries(session.folder)[-1]

    assert logged == [block.count for block in blocks(session.folder)]
    assert isinstance(ended, blocklog.EndLine)
    assert reason == ended.reason


async def test_a_second_seal_waits_for_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A session that is being sealed while the disk refuses is not reported as sealed to a second caller."""
    async with plain_session(tmp_path) as session:
        session.begin()
        await until(lambda: len(entries(session.folder)) == 1)
        disk = Disk().install(monkeypatch)
        disk.full = True
        first = asyncio.create_task(session.seal("finished"))
        await until(lambda: session.is_sealed and disk.calls > 1)
        second = asyncio.create_task(session.seal("shutdown"))
        await asyncio.sleep(0.01)
        assert not second.done()
        disk.full = False
        await asyncio.gather(first, second)
        ended = entries(session.folder)[-1]

    assert isinstance(ended, blocklog.EndLine)
    assert "finished" == ended.reason


async def test_a_closed_session_has_no_last_line(tmp_path: Path) -> None:
    """Closing without sealing ends the writing and leaves the files as they are; closing again is harmless."""
    async with plain_session(tmp_path) as session:
        session.begin()
        session.receive(*range(1, 11))
        await until(lambda: len(entries(session.folder)) == 2)
        session.close()

    assert [10] == [block.count for block in blocks(session.folder)]
    assert not isinstance(entries(session.folder)[-1], blocklog.EndLine)


async def test_a_time_without_reading_is_entered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next line states when the client did not read; a stall is divided where a block is closed during it."""
    clock = StoppedClock()
    async with plain_session(tmp_path, clock, budget=WriteBudget(4000)) as session:
        session.begin()
        await until(lambda: len(entries(session.folder)) == 1)
        disk = Disk().install(monkeypatch)
        disk.full = True
        session.receive(*range(1, 24))
        reading = asyncio.create_task(session.room())
        await until(lambda: disk.calls > 10)
        clock.us += 250_000
        session.close_block("time")
        clock.us += 500_000
        disk.full = False
        await reading
        await session.seal("finished")

    *logged, end = entries(session.folder)
    assert isinstance(end, blocklog.EndLine)
    assert [[], [], [0.25]] == [seconds(line.stalls) for line in logged if isinstance(line, blocklog.Block)]
    assert [0.5] == seconds(end.stalls)
    written = b"".join(path.read_bytes() for path in session.folder.glob("*.jsonl"))
    assert written.index(b'"stalls"') < written.rindex(b'"messages"')


def seconds(stalls: list[blocklog.Stall]) -> list[float]:
    """Return how long each stall lasted."""
    return [(utc_us(stall.ended_at) - utc_us(stall.started_at)) / 1e6 for stall in stalls]
