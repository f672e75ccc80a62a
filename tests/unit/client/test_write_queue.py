"""Tests of services/client/write_queue.py, over real files."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.client import write_queue
from services.client.block_builder import BlockBuilder
from services.client.block_encoder import ReceivedBatch, SessionKey, block, opening
from services.client.block_log import BlockLog
from services.client.fence import Superseded
from services.client.write_queue import WriteQueue
from services.contract import blocklog
from services.runtime.durable_file import LineFile
from tests.unit.client.fakes import (
    EXACT,
    RUN,
    START_US,
    Disk,
    StoppedClock,
    arrived,
    blocks,
    conditions,
    entries,
    until,
)

PLACE = SessionKey(RUN, "client-1", 1)


def block_of(number: int, size: int = 10) -> blocklog.WrittenBlock:
    """Return the block with this number, of so many messages."""
    first = (number - 1) * size + 1
    cutter = BlockBuilder[ReceivedBatch](size, 2**20, 5, first - 1)
    (cut,) = cutter.add(arrived(*range(first, first + size)))
    return block(PLACE, replace(cut, number=number), (0, 0, []), EXACT)


class Rig:
    """A writer, its log, and the numbers of the blocks that it called durable."""

    def __init__(self, folder: Path, **changed: Any) -> None:
        given = conditions(folder, **changed)
        self.durable: list[int] = []
        self.log = BlockLog(
            LineFile(folder / blocklog.file_name(1, 1)),
            opening(PLACE, 1, 0, given, [], START_US),
            StoppedClock(),
            given.strain.window(),
        )
        self.writer = WriteQueue("client-1", given, lambda made: self.durable.append(made.block))


@asynccontextmanager
async def rig(folder: Path, **changed: Any) -> AsyncIterator[Rig]:
    """Make a writer; close its files afterwards, whatever became of it."""
    made = Rig(folder, **changed)
    try:
        async with asyncio.timeout(20):
            yield made
    finally:
        made.writer.abandon()
        made.log.abandon()
        await asyncio.gather(made.writer._task, return_exceptions=True)


async def test_the_first_line_is_written_at_once(tmp_path: Path) -> None:
    """A log that has begun shows it before there is a block."""
    async with rig(tmp_path) as it:
        assert not it.writer.begun
        it.writer.begin(it.log)
        await until(lambda: len(entries(tmp_path)) == 1)

        assert it.writer.begun


async def test_a_block_needs_a_log(tmp_path: Path) -> None:
    """What comes before the log has begun is a fault of this program."""
    async with rig(tmp_path) as it:
        with pytest.raises(RuntimeError, match="before a subscription"):
            it.writer.put(block_of(1))


@pytest.mark.parametrize("fsync", ["block", "interval", "none"])
async def test_blocks_are_durable_in_their_order(tmp_path: Path, fsync: str) -> None:
    """Every block is called durable once, in order, whatever durable means; the last line comes after all."""
    async with rig(tmp_path, fsync=fsync) as it:
        it.writer.begin(it.log)
        for number in range(1, 6):
            it.writer.put(block_of(number))
        await it.writer.drain()
        assert list(range(1, 6)) == it.durable
        await it.writer.end("finished", (0, 0, []))

    assert list(range(1, 6)) == [made.block for made in blocks(tmp_path)]
    assert isinstance(entries(tmp_path, sealed=True)[-1], blocklog.EndLine)


async def test_reading_waits_for_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the disk refuses only so much is kept; when it accepts again, nothing is lacking."""
    monkeypatch.setattr(write_queue, "_RETRY_SECONDS", 0.001)
    monkeypatch.setattr(write_queue, "_SHARED_SYNC_MESSAGES", 20)
    async with rig(tmp_path, block_size=10) as it:
        it.writer.begin(it.log)
        await until(lambda: len(entries(tmp_path)) == 1)
        disk = Disk().put_under(monkeypatch)
        disk.full = True
        for number in (1, 2):
            it.writer.put(block_of(number))
        it.writer.put(block_of(3))
        third = asyncio.create_task(it.writer.room())
        await until(lambda: disk.calls > 10)
        assert not third.done()
        disk.full = False
        await third
        await it.writer.drain()

    assert [1, 2, 3] == it.durable


async def test_who_lost_the_name_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A process that another one has taken over from tells that, and not that the disk is full."""
    monkeypatch.setattr(write_queue, "_RETRY_SECONDS", 0.001)

    def fenced(_: BlockLog[blocklog.BlockHeader]) -> list[blocklog.Block]:
        raise Superseded(tmp_path, 7)

    monkeypatch.setattr(BlockLog, "push", fenced)
    async with rig(tmp_path) as it:
        with caplog.at_level(logging.WARNING):
            it.writer.begin(it.log)
            await until(lambda: bool(caplog.messages))

    assert ["superseded, writing stops"] == caplog.messages
