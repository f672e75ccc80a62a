"""Tests of one client's session in one run of the own feed."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from services.client.clock_sync import Estimate
from services.client.session import ClientSession, LogsChanged
from services.client.write_budget import WriteBudget
from services.contract import blocklog, wire
from services.runtime.durable_file import LineFile
from tests.unit.client.fakes import (
    EXACT,
    RUN,
    START_NS,
    Disk,
    StoppedClock,
    batch,
    blocks,
    client_config,
    entries,
    until,
)

TOTAL = 100_000


class WrittenSession:
    """A session that is being written, and the receipts that it has given."""

    def __init__(self, logs: Path, total: int = TOTAL, **changed: Any) -> None:
        self.receipts: list[wire.Receipt] = []
        self.session = ClientSession("client-1", RUN, total, client_config(logs, **changed), StoppedClock())
        self.writing = asyncio.create_task(self._write())

    async def _write(self) -> None:
        async for receipt in self.session.receipts():
            self.receipts.append(receipt)

    async def receive(self, first: int, count: int, now_ns: int = START_NS, estimate: Estimate = EXACT) -> None:
        """Receive a good batch."""
        self.session.receive(*batch(first, count), now_ns, lambda: estimate)
        await self.session.room()


@asynccontextmanager
async def written_session(logs: Path, **changed: Any) -> AsyncIterator[WrittenSession]:
    """Open a session and write it; close its files afterwards."""
    opened = WrittenSession(logs, **changed)
    try:
        async with asyncio.timeout(20):
            yield opened
    finally:
        opened.session.close()
        await opened.writing


def folder(logs: Path) -> Path:
    """Return the client's folder."""
    return logs / RUN / "client-1"


async def test_blocks_are_receipted_when_durable(tmp_path: Path) -> None:
    """Full blocks are written and receipted in order, with the digest of the block on disk."""
    async with written_session(tmp_path) as opened:
        opened.session.subscribed(1, 0)
        await opened.receive(1, 35)
        await until(lambda: len(opened.receipts) == 3)

        assert [(1, 1, 1, 10), (1, 2, 11, 20), (1, 3, 21, 30)] == [
            (it.session, it.block, it.first, it.last) for it in opened.receipts
        ]
        assert [it.digest for it in blocks(folder(tmp_path))] == [it.digest for it in opened.receipts]
        assert (35, 30) == (opened.session.after, opened.session.durable_through)


async def test_a_client_carries_what_was_recorded(tmp_path: Path) -> None:
    """A request carries the last seq up to which servers have recorded every receipt; the first carries none."""
    async with written_session(tmp_path) as opened:
        assert b"recorded" not in wire.encode(opened.session.request())
        opened.session.subscribed(1, 0)
        await opened.receive(1, 30)
        await until(lambda: len(opened.receipts) == 3)
        opened.session.recorded(wire.Recorded(session=1, block=2, match=True))
        assert b"recorded" not in wire.encode(opened.session.request())
        opened.session.recorded(wire.Recorded(session=1, block=1, match=True))
        assert 20 == opened.session.request().recorded


async def test_a_client_carries_its_highest_fence(tmp_path: Path) -> None:
    """Each request carries the highest fence of the run, also that of an earlier process; the first carries none."""
    async with written_session(tmp_path) as opened:
        assert b"fence" not in wire.encode(opened.session.request())
        opened.session.subscribed(7, 0)
        assert 7 == opened.session.request().fence
        opened.session.subscribed(5, 0)
        assert 7 == opened.session.request().fence
        await opened.receive(1, 10)
        await until(lambda: len(opened.receipts) == 1)
    async with written_session(tmp_path) as opened:
        assert 7 == opened.session.request().fence


async def test_sealing_writes_what_is_open(tmp_path: Path) -> None:
    """Closing the block and sealing completes the log; sealing again changes nothing."""
    async with written_session(tmp_path) as opened:
        opened.session.subscribed(1, 0)
        await opened.receive(1, 15)
        opened.session.close_block("shutdown")
        await opened.session.seal("shutdown")
        await opened.session.seal("finished")

    found = blocks(folder(tmp_path))
    assert [("count", 10), ("shutdown", 5)] == [(it.closed_by, it.count) for it in found]
    ends = [it for it in entries(folder(tmp_path), sealed=True) if isinstance(it, blocklog.EndLine)]
    assert [("shutdown", 2, 15)] == [(it.reason, it.block_count, it.message_count) for it in ends]
    assert [1, 2] == [it.block for it in opened.receipts]


def log_contents(logs: Path) -> dict[Path, bytes]:
    """Return the contents of all log files."""
    return {path: path.read_bytes() for path in logs.rglob("*.jsonl")}


async def test_queries_write_nothing(tmp_path: Path) -> None:
    """Reading every property of a session, and making its request, leaves its state and its files unchanged."""
    async with written_session(tmp_path) as opened:
        opened.session.subscribed(1, 0)
        await opened.receive(1, 15)
        await until(lambda: len(opened.receipts) == 1)
        names = [name for name, member in inspect.getmembers(ClientSession) if isinstance(member, property)]
        contents = log_contents(tmp_path)
        first = [getattr(opened.session, name) for name in names], opened.session.request()
        again = [getattr(opened.session, name) for name in names], opened.session.request()

        assert {"after", "has_begun", "is_full", "is_settled"} == set(names)
        assert first == again
        assert contents == log_contents(tmp_path)


async def test_settled_is_sealed_and_recorded(tmp_path: Path) -> None:
    """Nothing is left to do when the log is sealed and every receipt is in the ledger."""
    async with written_session(tmp_path) as opened:
        opened.session.subscribed(1, 0)
        await opened.receive(1, 10)
        await until(lambda: len(opened.receipts) == 1)
        opened.session.recorded(wire.Recorded(session=1, block=1, match=True))
        assert not opened.session.is_settled
        await opened.session.seal("finished")
        assert opened.session.is_settled


async def test_the_last_record_closes_the_block(tmp_path: Path) -> None:
    """With the run's last record the block is closed, full or not."""
    async with written_session(tmp_path, total=7) as opened:
        opened.session.subscribed(1, 0)
        await opened.receive(1, 7)
        await until(lambda: len(opened.receipts) == 1)

    assert [("end", 7)] == [(it.closed_by, it.count) for it in blocks(folder(tmp_path))]


async def test_old_blocks_are_closed(tmp_path: Path) -> None:
    """A block is closed for its age even if no record arrives."""
    async with written_session(tmp_path) as opened:
        opened.session.subscribed(1, 0)
        await opened.receive(1, 3)
        opened.session.close_old_block(START_NS + 4_999_999_999)
        assert [] == opened.receipts
        opened.session.close_old_block(START_NS + 5_000_000_000)
        await until(lambda: len(opened.receipts) == 1)

    assert ["time"] == [it.closed_by for it in blocks(folder(tmp_path))]


async def test_a_corrupt_batch_is_noted(tmp_path: Path) -> None:
    """A batch that fails its digest is not logged; the next block lists it as corrupt and missing."""
    async with written_session(tmp_path) as opened:
        opened.session.subscribed(1, 0)
        await opened.receive(1, 5)
        header, lines = batch(6, 5)
        opened.session.receive(header, lines.replace(b"text", b"test"), START_NS, lambda: EXACT)
        await opened.receive(11, 5)
        await until(lambda: len(opened.receipts) == 1)

    (block,) = blocks(folder(tmp_path))
    assert ([(6, 10)], [(6, 10)], 10, 15) == (block.corrupt, block.missing, block.count, block.last)
    assert [[(6, 10)]] == [it.missing for it in opened.receipts]


async def test_duplicates_are_counted_and_not_logged(tmp_path: Path) -> None:
    """A record that arrived twice is logged once, and the block counts the duplicate."""
    async with written_session(tmp_path) as opened:
        opened.session.subscribed(1, 0)
        await opened.receive(1, 6)
        await opened.receive(4, 6)
        await opened.receive(4, 6)
        await opened.receive(10, 1)
        await until(lambda: len(opened.receipts) == 1)

    (block,) = blocks(folder(tmp_path))
    assert (list(range(1, 11)), 9) == ([it.seq for it in block.messages], block.duplicates)


async def test_a_block_states_the_estimate_of_its_messages(tmp_path: Path) -> None:
    """All delays of a block are corrected by the one offset that the block states."""
    async with written_session(tmp_path) as opened:
        opened.session.subscribed(1, 0)
        for first, offset_us in ((1, 100), (6, 200), (11, 300)):
            await opened.receive(first, 5, estimate=Estimate(offset_us, 9))
        opened.session.close_block("end")
        await until(lambda: len(opened.receipts) == 2)

    found = blocks(folder(tmp_path))
    assert [(100, 9), (300, 9)] == [(it.clock_offset_us, it.clock_error_us) for it in found]
    for block in found:
        assert {block.clock_offset_us * 1000} == {it.transit_ns for it in block.messages}


async def test_idle_is_the_time_between_blocks(tmp_path: Path) -> None:
    """A block states the time since the block before; for the first one it is 0."""
    async with written_session(tmp_path) as opened:
        opened.session.subscribed(1, 0)
        for place in range(3):
            await opened.receive(place * 10 + 1, 5, START_NS + place * 1000)
            await opened.receive(place * 10 + 6, 5, START_NS + place * 1000 + 10)
        await until(lambda: len(opened.receipts) == 3)

    assert [(10, 0), (10, 990), (10, 990)] == [(it.duration_ns, it.idle_ns) for it in blocks(folder(tmp_path))]


async def test_a_session_is_claimed(tmp_path: Path) -> None:
    """Each process has a session of its own, whose file is there, empty, before it subscribes."""
    async with written_session(tmp_path) as first, written_session(tmp_path) as second:
        assert [1, 2] == [first.session.session, second.session.session]
        assert ["0001-0001.jsonl", "0002-0001.jsonl"] == sorted(path.name for path in folder(tmp_path).iterdir())
        assert [0, 0] == [path.stat().st_size for path in folder(tmp_path).iterdir()]


async def test_a_name_is_given_back(tmp_path: Path) -> None:
    """A session whose name belongs to another process leaves no file and no empty folder."""
    async with written_session(tmp_path) as opened:
        opened.session.release()

        assert not folder(tmp_path).exists()
    async with written_session(tmp_path) as opened:
        (folder(tmp_path) / "0009-0001.jsonl").touch()
        opened.session.release()

        assert ["0009-0001.jsonl"] == [path.name for path in folder(tmp_path).iterdir()]


async def test_resumes_after_a_crash(tmp_path: Path) -> None:
    """The next session resumes after the durable blocks, cuts the torn tail off and lists it, and repeats receipts."""
    async with written_session(tmp_path) as opened:
        opened.session.subscribed(1, 0)
        await opened.receive(1, 25)
        await until(lambda: len(opened.receipts) == 2)
    torn = folder(tmp_path) / "0001-0001.jsonl"
    torn.write_bytes(torn.read_bytes() + b'{"crc":"x00')
    async with written_session(tmp_path) as again:
        assert (2, 20) == (again.session.session, again.session.after)
        assert torn.read_bytes().endswith(b"x00")
        lacking = again.session.subscribed(2, 10)
        await again.receive(21, 10)
        await until(lambda: len(again.receipts) == 1)

    assert [opened.receipts[1]] == lacking
    assert torn.read_bytes().endswith(b"\n")
    lines = [
        blocklog.codec.decode(it)[1] for it in (folder(tmp_path) / "0002-0001.jsonl").read_bytes().splitlines(True)
    ]
    assert isinstance(lines[0], blocklog.OpenLine)
    assert ([blocklog.Torn("0001-0001.jsonl", 11)], 20, 2) == (lines[0].torn, lines[0].after, lines[0].fence)


async def broken(logs: Path) -> tuple[Path, bytes]:
    """Log three blocks, and let a power cut keep the third and not the second; return the file and its good bytes."""
    async with written_session(logs) as opened:
        opened.session.subscribed(1, 0)
        await opened.receive(1, 30)
        await until(lambda: len(opened.receipts) == 3)
    path = folder(logs) / "0001-0001.jsonl"
    opening, first, second, third = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(opening + first + bytes(len(second) - 1) + b"\n" + third)
    return path, opening + first


async def test_resumes_before_a_hole(tmp_path: Path) -> None:
    """Blocks behind a hole that a power cut left were never receipted: they are cut off with it and sent again."""
    path, good = await broken(tmp_path)
    cut = path.stat().st_size - len(good)
    async with written_session(tmp_path) as again:
        assert 10 == again.session.after
        assert 1 == len(again.session.subscribed(2, 0))
        await again.receive(11, 20)
        await until(lambda: len(again.receipts) == 2)
        assert [(11, 20), (21, 30)] == [(it.first, it.last) for it in again.receipts]

    assert good == path.read_bytes()
    opening = blocklog.codec.decode((folder(tmp_path) / "0002-0001.jsonl").read_bytes().splitlines(True)[0])[1]
    assert isinstance(opening, blocklog.OpenLine)
    assert [blocklog.Torn("0001-0001.jsonl", cut)] == opening.torn


async def test_what_was_written_meanwhile_is_held(tmp_path: Path) -> None:
    """Records that another process logged after this one had read the folder are not requested again."""
    async with written_session(tmp_path) as first, written_session(tmp_path) as second:
        first.session.subscribed(1, 0)
        assert 0 == second.session.after
        await first.receive(1, 20)
        await until(lambda: len(first.receipts) == 2)
        with pytest.raises(LogsChanged):
            second.session.subscribed(2, 10)

        assert 20 == second.session.after
        assert [11] == [it.first for it in second.session.subscribed(3, 10)]


async def test_receipted_lines_behind_damage_stay(tmp_path: Path) -> None:
    """If a receipted block follows the damage, it had been synced: the client subscribes again after that block."""
    path, _ = await broken(tmp_path)
    before = path.read_bytes()
    async with written_session(tmp_path) as again:
        with pytest.raises(LogsChanged):
            again.session.subscribed(2, 30)

        assert 30 == again.session.after == again.session.durable_through
        assert [] == again.session.subscribed(3, 30)
    assert before == path.read_bytes()


@pytest.mark.parametrize(("receipted", "again"), [(0, [1, 2, 3]), (10, [2, 3]), (30, [])])
async def test_receipts_are_sent_again(tmp_path: Path, receipted: int, again: list[int]) -> None:
    """A new subscription sends the receipts that the ledger lacks, including those that it had recorded before."""
    async with written_session(tmp_path) as opened:
        opened.session.subscribed(1, 0)
        await opened.receive(1, 30)
        await until(lambda: len(opened.receipts) == 3)
        for number in (1, 2, 3):
            opened.session.recorded(wire.Recorded(session=1, block=number, match=True))

        assert again == [it.block for it in opened.session.subscribed(2, receipted)]


async def test_a_block_without_its_sync_is_not_receipted(tmp_path: Path) -> None:
    """A block that is written and waits for its sync is not among the receipts that are sent again."""
    async with written_session(tmp_path, fsync="interval") as opened:
        opened.session.subscribed(1, 0)
        await opened.receive(1, 10)
        await until(lambda: len(blocks(folder(tmp_path))) == 1)
        before, lacking = len(opened.receipts), opened.session.subscribed(2, 0)

        assert before == len(lacking)
        await until(lambda: len(opened.receipts) == 1)
        assert [1] == [it.block for it in opened.session.subscribed(3, 0)]


async def test_reading_stops_while_the_disk_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the disk refuses, reading stops and memory is bounded; no block is receipted, and later none is missing."""
    budget = WriteBudget(1_000_000)
    async with written_session(tmp_path, block_size=1000, retry_seconds=0.001, budget=budget) as opened:
        opened.session.subscribed(1, 0)
        await opened.receive(1, 1000)
        await until(lambda: len(opened.receipts) == 1)
        disk = Disk().install(monkeypatch)
        disk.full = True

        async def read() -> None:
            for first in range(1001, 20_001, 500):
                await opened.receive(first, 500)

        reading = asyncio.create_task(read())
        await until(lambda: disk.calls > 10)
        assert not reading.done()
        assert budget.waiting_bytes < 1_000_000 + 200_000
        assert 1 == len(opened.receipts)
        disk.full = False
        await reading
        opened.session.close_block("end")
        await opened.session.seal("finished")

    assert list(range(1, 21)) == [it.block for it in opened.receipts]
    assert [(1, 20_000)] == [(blocks(folder(tmp_path))[0].first, blocks(folder(tmp_path))[-1].last)]
    assert any(block.stalls for block in blocks(folder(tmp_path)))


async def test_sealing_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the disk refuses the last line, it is written again until the disk accepts it."""
    async with written_session(tmp_path, retry_seconds=0.001) as opened:
        opened.session.subscribed(1, 0)
        await opened.receive(1, 10)
        await until(lambda: len(opened.receipts) == 1)
        disk = Disk().install(monkeypatch)
        disk.full = True
        sealing = asyncio.create_task(opened.session.seal("finished"))
        await until(lambda: disk.calls > 5)
        assert not sealing.done()
        disk.full = False
        await sealing

    ends = [it.reason for it in entries(folder(tmp_path)) if isinstance(it, blocklog.EndLine)]
    assert "finished" == ends[-1]


async def test_an_interval_syncs_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an interval many blocks share a sync, and none is receipted before it."""
    calls: list[int] = []
    sync = LineFile.sync

    def counted(file: LineFile) -> None:
        calls.append(file.size)
        sync(file)

    monkeypatch.setattr(LineFile, "sync", counted)
    async with written_session(tmp_path, fsync="interval") as opened:
        opened.session.subscribed(1, 0)
        for first in range(1, 201, 10):
            await opened.receive(first, 10)
            assert [] == opened.receipts or calls
        await until(lambda: len(opened.receipts) == 20)

    assert len(calls) <= 3


async def test_records_need_a_subscription(tmp_path: Path) -> None:
    """Records before a granted subscription raise an error: they are a fault of this program."""
    async with written_session(tmp_path) as opened:
        with pytest.raises(RuntimeError, match="before a subscription"):
            await opened.receive(1, 10)


async def test_an_unused_session_leaves_an_empty_file(tmp_path: Path) -> None:
    """A session that was never granted is sealed with an empty file."""
    async with written_session(tmp_path) as opened:
        await opened.session.seal("shutdown")

    assert b"" == (folder(tmp_path) / "0001-0001.jsonl").read_bytes()
