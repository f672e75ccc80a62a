"""Tests of the queue in front of the block log."""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.client.block_builder import BlockBuilder
from services.client.block_encoder import PendingLine, ReceivedBatch, opening
from services.client.block_log import BlockLog
from services.client.fence import Superseded
from services.client.write_budget import WriteBudget
from services.client.write_queue import WriteQueue
from services.contract import blocklog
from services.runtime.durable_file import LineFile
from tests.unit.client.fakes import (
    KEY,
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


def numbered_block(number: int, size: int = 10) -> PendingLine:
    """Return the block with this number and size."""
    first = (number - 1) * size + 1
    builder = BlockBuilder[ReceivedBatch](size, 2**20, 5, first - 1)
    (cut,) = builder.add(arrived(*range(first, first + size)))
    return block_of(replace(cut, number=number))


class QueuedLog:
    """A queue, its log, and the numbers of the blocks that became durable."""

    def __init__(self, folder: Path, **changed: Any) -> None:
        config = client_config(folder, **changed)
        self.durable: list[int] = []
        self.log = BlockLog(
            LineFile(folder / blocklog.file_name(1, 1)),
            opening(KEY, 1, 0, config, [], START_US),
            StoppedClock(),
            config.saturation.window(),
        )
        self.queue = WriteQueue("client-1", config)
        self.writing = asyncio.create_task(self._write())

    async def _write(self) -> None:
        async for line in self.queue.durable():
            self.durable.append(line.fields["block"])


@asynccontextmanager
async def queued_log(folder: Path, **changed: Any) -> AsyncIterator[QueuedLog]:
    """Make a queue and write its lines; close the files afterwards."""
    made = QueuedLog(folder, **changed)
    try:
        async with asyncio.timeout(20):
            yield made
    finally:
        made.queue.close()
        made.log.close()
        await asyncio.gather(made.writing, return_exceptions=True)


async def test_the_first_line_is_written_at_once(tmp_path: Path) -> None:
    """The first line of a log is written before its first block."""
    async with queued_log(tmp_path) as it:
        assert not it.queue.has_begun
        it.queue.begin(it.log)
        await until(lambda: len(entries(tmp_path)) == 1)

        assert it.queue.has_begun


async def test_a_block_needs_a_log(tmp_path: Path) -> None:
    """A block before the log has begun raises an error: it is a fault of this program."""
    async with queued_log(tmp_path) as it:
        with pytest.raises(RuntimeError, match="before a subscription"):
            it.queue.put(numbered_block(1))


@pytest.mark.parametrize("fsync", ["block", "interval", "none"])
async def test_blocks_are_durable_in_their_order(tmp_path: Path, fsync: str) -> None:
    """Every block is yielded as durable once, in order, with every policy; the last line follows all of them."""
    async with queued_log(tmp_path, fsync=fsync) as it:
        it.queue.begin(it.log)
        for number in range(1, 6):
            it.queue.put(numbered_block(number))
        await it.queue.drain()
        assert list(range(1, 6)) == it.durable
        await it.queue.end("finished", (0, 0, []))

    assert list(range(1, 6)) == [block.block for block in blocks(tmp_path)]
    assert isinstance(entries(tmp_path, sealed=True)[-1], blocklog.EndLine)


@pytest.mark.parametrize("fsync", ["block", "interval", "none"])
async def test_the_end_of_the_log_ends_the_writing(tmp_path: Path, fsync: str) -> None:
    """The iterator of durable lines is exhausted when the log has ended, and when the queue is closed."""
    async with queued_log(tmp_path, fsync=fsync) as it:
        it.queue.begin(it.log)
        await it.queue.end("finished", (0, 0, []))
        await it.writing
    (tmp_path / "other").mkdir()
    async with queued_log(tmp_path / "other", fsync=fsync) as it:
        it.queue.close()
        await it.writing


async def test_drained_lines_have_been_handed_over(tmp_path: Path) -> None:
    """When `drain` returns, the receiver of durable lines has had every one, so that its receipts are sent."""
    async with queued_log(tmp_path) as it:
        it.queue.begin(it.log)
        for number in range(1, 4):
            it.queue.put(numbered_block(number))
            await it.queue.drain()
            assert number == it.durable[-1]


async def test_receiving_waits_for_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the disk refuses, a bounded number of bytes waits; when it accepts again, all are written."""
    async with queued_log(tmp_path, retry_seconds=0.001, budget=WriteBudget(7000)) as it:
        it.queue.begin(it.log)
        await until(lambda: len(entries(tmp_path)) == 1)
        disk = Disk().install(monkeypatch)
        disk.full = True
        is_full = []
        for number in (1, 2, 3):
            it.queue.put(numbered_block(number))
            is_full.append(it.queue.is_full)
        assert [False, False, True] == is_full
        waiting = asyncio.create_task(it.queue.room())
        await until(lambda: disk.calls > 10)
        assert not waiting.done()
        disk.full = False
        await waiting
        await it.queue.drain()

    assert [1, 2, 3] == it.durable


async def test_clients_of_a_process_share_a_budget(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that wait in one queue stop the client of another; a closed queue stops no client."""
    budget = WriteBudget(7000)
    (tmp_path / "other").mkdir()
    async with (
        queued_log(tmp_path, retry_seconds=0.001, budget=budget) as it,
        queued_log(tmp_path / "other", retry_seconds=0.001, budget=budget) as other,
    ):
        it.queue.begin(it.log)
        await until(lambda: len(entries(tmp_path)) == 1)
        Disk().install(monkeypatch).full = True
        for number in (1, 2, 3):
            it.queue.put(numbered_block(number))
        assert other.queue.is_full
        it.queue.close()
        await other.queue.room()

    assert 0 == budget.waiting_bytes


async def test_a_disk_that_refuses_is_tried_again_after_a_pause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that refuses is tried again at once, and from then on only after `retry_seconds`."""
    async with queued_log(tmp_path, retry_seconds=0.2) as it:
        it.queue.begin(it.log)
        await until(lambda: len(entries(tmp_path)) == 1)
        disk, began = Disk().install(monkeypatch), asyncio.get_running_loop().time()
        disk.full = True
        it.queue.put(numbered_block(1))
        await until(lambda: disk.calls > 10)

        assert asyncio.get_running_loop().time() - began >= 0.2


async def test_lines_of_a_refused_sync_are_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that a sync at an interval did not make durable are written to another file, and become durable there."""
    real, refusals = LineFile.sync, [OSError(errno.EIO, "refused")]

    def refuse_once(file: LineFile) -> None:
        if refusals:
            raise refusals.pop()
        real(file)

    async with queued_log(tmp_path, fsync="interval", retry_seconds=0.001) as it:
        it.queue.begin(it.log)
        await until(lambda: len(entries(tmp_path)) == 1)
        monkeypatch.setattr(LineFile, "sync", refuse_once)
        it.queue.put(numbered_block(1))
        await it.queue.drain()

    assert ([], [1]) == (refusals, it.durable)


async def test_a_line_without_messages_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`drain` waits also for a line that holds no message."""
    async with queued_log(tmp_path, retry_seconds=0.001) as it:
        it.queue.begin(it.log)
        await until(lambda: len(entries(tmp_path)) == 1)
        disk = Disk().install(monkeypatch)
        disk.full = True
        it.queue.put(PendingLine(numbered_block(1).fields))
        waiting = asyncio.create_task(it.queue.drain())
        await until(lambda: disk.calls > 10)
        assert not waiting.done()
        disk.full = False
        await waiting

    assert [1] == it.durable


async def test_a_lost_name_is_not_reported_as_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A process that was superseded logs this as the reason, instead of a disk that refuses."""

    def superseded(_: BlockLog) -> list[PendingLine]:
        raise Superseded(tmp_path, 7)

    monkeypatch.setattr(BlockLog, "write", superseded)
    async with queued_log(tmp_path, retry_seconds=0.001) as it:
        with caplog.at_level(logging.WARNING):
            it.queue.begin(it.log)
            await until(lambda: bool(caplog.messages))

    assert ["superseded, writing stops"] == caplog.messages
