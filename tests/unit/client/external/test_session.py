"""Tests of one client's log of a foreign feed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from services.client.external.decoder import DecodedRecord
from services.client.external.session import ExternalSession
from tests.unit.client.external.fakes import (
    OPENED,
    blocks,
    connection_lines,
    entries,
    feed_settings,
    logged,
    reason,
    told,
)
from tests.unit.client.fakes import RUN, START_NS, Disk, StoppedClock, conditions, until


def heard(*seqs: int, key: str | None = None) -> list[DecodedRecord]:
    """Return records of these numbers."""
    return [DecodedRecord(b'{"seq":%d}' % seq, seq=seq, key=key) for seq in seqs]


@asynccontextmanager
async def account(logs: Path, **changed: Any) -> AsyncIterator[ExternalSession]:
    """Open an account; close its files afterwards, whatever became of it."""
    opened = ExternalSession("client-1", OPENED, feed_settings().feed, conditions(logs, **changed), StoppedClock())
    try:
        async with asyncio.timeout(20):
            yield opened
    finally:
        opened.abandon()
        await asyncio.gather(opened._writer._task, return_exceptions=True)


async def test_all_that_came_is_logged_in_blocks(tmp_path: Path) -> None:
    """Every record is logged in the order received, a duplicate too, in blocks of the client's size."""
    async with account(tmp_path) as opened:
        await opened.receive(heard(*range(100, 112)), START_NS)
        await opened.receive(heard(111, 115), START_NS + 7)
        await opened.close_block("end")
        await opened.seal("finished")

    first, second = blocks(tmp_path / RUN / "client-1")
    assert [*range(100, 112), 111, 115] == logged(tmp_path / RUN / "client-1")
    assert ((1, 10), 100, 109, [], 0) == (first.positions, first.first, first.last, first.missing, first.duplicates)
    assert ((11, 14), [(112, 114)], 1, 7) == (second.positions, second.missing, second.duplicates, second.duration_ns)
    assert "finished" == reason(tmp_path / RUN / "client-1")


async def test_sequences_of_several_keys_are_told_apart(tmp_path: Path) -> None:
    """With keys a block has no seqs of its own, and each key's numbers are judged by themselves."""
    async with account(tmp_path) as opened:
        await opened.receive([*heard(1, 2, key="a"), *heard(1, 2, key="b")], START_NS)
        await opened.close_block("end")
        await opened.seal("finished")

    [block] = blocks(tmp_path / RUN / "client-1")
    assert (None, None, 0) == (block.first, block.last, block.duplicates)
    assert ["a", "a", "b", "b"] == [message.key for message in block.messages]


async def test_records_without_a_number_are_counted_and_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What cannot be numbered is logged, counted in its block, and told in one line for each kind of trouble."""
    odd = [DecodedRecord(b'"what?"', "text", trouble="not JSON")] * 3
    with caplog.at_level(logging.WARNING):
        async with account(tmp_path) as opened:
            await opened.receive([*odd, *heard(5)], START_NS)
            await opened.close_block("end")
            await opened.seal("finished")

    [block] = blocks(tmp_path / RUN / "client-1")
    assert (3, 4, 5, 5) == (block.unsequenced, block.count, block.first, block.last)
    assert ["not JSON"] == [record.why for record in caplog.records]  # type: ignore[attr-defined]


async def test_a_feed_without_any_number_is_logged(tmp_path: Path) -> None:
    """Where no record has a number, blocks are logged and sealed as ever; they count no duplicates and no gaps."""
    async with account(tmp_path) as opened:
        await opened.receive([DecodedRecord(b'{"text":"tick"}')] * 12, START_NS)
        await opened.close_block("end")
        await opened.seal("finished")

    first, second = blocks(tmp_path / RUN / "client-1")
    assert (10, 10, 0, 0, 0) == (
        first.count, first.unsequenced, first.duplicates, first.reordered, first.restarts
    )  # fmt: skip
    assert (2, None, None, []) == (second.unsequenced, second.first, second.last, second.missing)
    assert "finished" == reason(tmp_path / RUN / "client-1")


async def test_a_block_closes_for_its_age(tmp_path: Path) -> None:
    """A block is closed when its time is over, though it is not full."""
    async with account(tmp_path) as opened:
        await opened.receive(heard(1), START_NS)
        await opened.close_old_block(START_NS + 4_999_999_999)
        await opened.close_old_block(START_NS + 5_000_000_000)
        await opened.seal("shutdown")

    assert ["time"] == [block.closed_by for block in blocks(tmp_path / RUN / "client-1")]


async def test_a_crash_costs_its_torn_tail_alone(tmp_path: Path) -> None:
    """The next session cuts off what has no newline, says so, and keeps all whole lines."""
    folder = tmp_path / RUN / "client-1"
    async with account(tmp_path) as crashed:
        await crashed.receive(heard(*range(10)), START_NS)
        await crashed._writer.drain()
    with (folder / "0001-0001.jsonl").open("ab") as file:
        file.write(b'{"crc":"x')
    async with account(tmp_path) as opened:
        await opened.receive(heard(*range(20, 30)), START_NS)
        await opened.seal("finished")

    begun = [entry for entry in entries(folder) if hasattr(entry, "torn")]
    assert [[], [("0001-0001.jsonl", 9)]] == [[(torn.file, torn.bytes) for torn in one.torn] for one in begun]
    assert [*range(10), *range(20, 30)] == logged(folder)


async def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the disk refuses, blocks wait; when it takes them again, all are there."""
    monkeypatch.setattr("services.client.write_queue._RETRY_SECONDS", 0.01)
    async with account(tmp_path) as opened:
        disk = Disk().put_under(monkeypatch)
        disk.full = True
        await opened.receive(heard(*range(10)), START_NS)
        await until(lambda: disk.calls > 0)
        disk.full = False
        await opened.seal("finished")

    assert [*range(10)] == logged(tmp_path / RUN / "client-1")


async def test_what_becomes_of_connections_stands_between_the_blocks(tmp_path: Path) -> None:
    """Every event has its line, in order with the blocks, none of which spans two connections."""
    async with account(tmp_path) as opened:
        opened.refused(503, "later")
        await opened.opened()
        await opened.receive(heard(*range(12)), START_NS)
        await opened.closed(1006, "cut")
        opened.refused(None, "no route")
        await opened.opened()
        await opened.receive(heard(13, 14), START_NS)
        await opened.close_block("end")
        await opened.seal("finished")

    folder = tmp_path / RUN / "client-1"
    assert [
        "refused 0 503", "opened 1", "0-9 by count", "10-11 by connection", "closed 1 1006", "refused 1", "opened 2",
        "13-14 by end", "sealed 2",
    ] == told(folder)  # fmt: skip
    assert [1, 1, 2] == [block.connection for block in blocks(folder)]
    assert (3, 14) == (entries(folder)[-1].block_count, entries(folder)[-1].message_count)  # type: ignore[union-attr]


async def test_lines_of_connections_wait_for_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the disk refuses, lines of connections wait like blocks, and a log is sealed only when they are written."""
    monkeypatch.setattr("services.client.write_queue._RETRY_SECONDS", 0.01)
    async with account(tmp_path) as opened:
        await opened.opened()
        await until(lambda: bool(connection_lines(tmp_path / RUN / "client-1")))
        disk = Disk().put_under(monkeypatch)
        disk.full = True
        await opened.closed(1001, "going away")
        sealing = asyncio.create_task(opened.seal("finished"))
        await until(lambda: disk.calls > 3)
        assert not sealing.done()
        disk.full = False
        await sealing

    assert ["opened 1", "closed 1 1001", "sealed 1 1001"] == told(tmp_path / RUN / "client-1")
    assert "finished" == reason(tmp_path / RUN / "client-1")


async def test_numbers_from_2_to_the_53rd_on_are_texts(tmp_path: Path) -> None:
    """Bounds and gaps of a block are texts where a reader might not keep the integer, and their numbers are right."""
    high = 2**63
    async with account(tmp_path) as opened:
        await opened.receive(heard(high + 1, high + 2, high + 5, 2**64 - 1), START_NS)
        await opened.close_block("end")
        await opened.seal("finished")

    [block] = blocks(tmp_path / RUN / "client-1")
    text = (tmp_path / RUN / "client-1" / "0001-0001.jsonl").read_text()
    assert f'"first":"{high + 1}","last":"{2**64 - 1}",' in text
    assert f'"missing":[["{high + 3}","{high + 4}"],["{high + 6}","{2**64 - 2}"]],' in text
    assert (high + 1, 2**64 - 1) == (block.first, block.last)
    assert [(high + 3, high + 4), (high + 6, 2**64 - 2)] == block.missing
    assert [high + 1, high + 2, high + 5, 2**64 - 1] == logged(tmp_path / RUN / "client-1")
