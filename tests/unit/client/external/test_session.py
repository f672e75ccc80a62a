"""Tests of one client's session in one run of an external feed."""

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
    outline,
    reason,
)
from tests.unit.client.fakes import RUN, START_NS, Disk, StoppedClock, client_config, until


def records(*seqs: int, key: str | None = None) -> list[DecodedRecord]:
    """Return records of these numbers."""
    return [DecodedRecord(b'{"seq":%d}' % seq, seq=seq, key=key) for seq in seqs]


@asynccontextmanager
async def written_session(logs: Path, **changed: Any) -> AsyncIterator[ExternalSession]:
    """Open a session and write it; close its files afterwards."""
    opened = ExternalSession("client-1", OPENED, feed_settings().feed, client_config(logs, **changed), StoppedClock())
    writing = asyncio.create_task(opened.write())
    try:
        async with asyncio.timeout(20):
            yield opened
    finally:
        opened.close()
        await writing


async def test_the_number_of_followed_sequences_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records of further keys are logged like all others, and their sequences take no memory."""
    monkeypatch.setattr("services.client.external.session.MOST_SEQUENCES", 2)
    async with written_session(tmp_path) as opened:
        for key in "abcab":
            opened.receive(records(5, 5, key=key), START_NS)
        await opened.seal("finished")

    logs = blocks(tmp_path / RUN / "client-1")
    assert {"a", "b"} == set(opened.sequences.by_key)
    assert (10, 6) == (sum(one.count for one in logs), sum(one.duplicates for one in logs))


async def test_all_records_are_logged_in_blocks(tmp_path: Path) -> None:
    """Every record is logged in the order received, a duplicate too, in blocks of the client's size."""
    async with written_session(tmp_path) as opened:
        opened.receive(records(*range(100, 112)), START_NS)
        opened.receive(records(111, 115), START_NS + 7)
        opened.close_block("end")
        await opened.seal("finished")

    first, second = blocks(tmp_path / RUN / "client-1")
    assert [*range(100, 112), 111, 115] == logged(tmp_path / RUN / "client-1")
    assert ((1, 10), 100, 109, [], 0) == (first.positions, first.first, first.last, first.missing, first.duplicates)
    assert ((11, 14), [(112, 114)], 1, 7) == (second.positions, second.missing, second.duplicates, second.duration_ns)
    assert "finished" == reason(tmp_path / RUN / "client-1")


async def test_sequences_of_several_keys_are_separate(tmp_path: Path) -> None:
    """With keys a block has no first and last seq, and the numbers of each key are checked separately."""
    async with written_session(tmp_path) as opened:
        opened.receive([*records(1, 2, key="a"), *records(1, 2, key="b")], START_NS)
        opened.close_block("end")
        await opened.seal("finished")

    [block] = blocks(tmp_path / RUN / "client-1")
    assert (None, None, 0) == (block.first, block.last, block.duplicates)
    assert ["a", "a", "b", "b"] == [message.key for message in block.messages]


async def test_records_without_a_number_are_counted_and_reported_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A record without a usable number is logged, counted in its block, and each kind of remark is logged once."""
    odd = [DecodedRecord(b'"what?"', "text", remark="not JSON")] * 3
    with caplog.at_level(logging.WARNING):
        async with written_session(tmp_path) as opened:
            opened.receive([*odd, *records(5)], START_NS)
            opened.close_block("end")
            await opened.seal("finished")

    [block] = blocks(tmp_path / RUN / "client-1")
    assert (3, 4, 5, 5) == (block.unsequenced, block.count, block.first, block.last)
    assert ["not JSON"] == [vars(record)["why"] for record in caplog.records]


async def test_a_feed_without_any_number_is_logged(tmp_path: Path) -> None:
    """Without numbers blocks are logged and sealed as usual, and count no duplicates and no gaps."""
    async with written_session(tmp_path) as opened:
        opened.receive([DecodedRecord(b'{"text":"tick"}')] * 12, START_NS)
        opened.close_block("end")
        await opened.seal("finished")

    first, second = blocks(tmp_path / RUN / "client-1")
    assert (10, 10, 0, 0, 0) == (
        first.count, first.unsequenced, first.duplicates, first.reordered, first.restarts
    )  # fmt: skip
    assert (2, None, None, []) == (second.unsequenced, second.first, second.last, second.missing)
    assert "finished" == reason(tmp_path / RUN / "client-1")


async def test_a_block_closes_for_its_age(tmp_path: Path) -> None:
    """A block is closed after its time even if it is not full."""
    async with written_session(tmp_path) as opened:
        opened.receive(records(1), START_NS)
        opened.close_old_block(START_NS + 4_999_999_999)
        opened.close_old_block(START_NS + 5_000_000_000)
        await opened.seal("shutdown")

    assert ["time"] == [block.closed_by for block in blocks(tmp_path / RUN / "client-1")]


async def test_a_crash_costs_its_torn_tail_alone(tmp_path: Path) -> None:
    """The next session cuts off a tail without a newline, lists it in its first line, and keeps all complete lines."""
    folder = tmp_path / RUN / "client-1"
    async with written_session(tmp_path) as crashed:
        crashed.receive(records(*range(10)), START_NS)
        await until(lambda: logged(folder) == [*range(10)])
    with (folder / "0001-0001.jsonl").open("ab") as file:
        file.write(b'{"crc":"x')
    async with written_session(tmp_path) as opened:
        opened.receive(records(*range(20, 30)), START_NS)
        await opened.seal("finished")

    begun = [entry for entry in entries(folder) if hasattr(entry, "torn")]
    assert [[], [("0001-0001.jsonl", 9)]] == [[(torn.file, torn.bytes) for torn in one.torn] for one in begun]
    assert [*range(10), *range(20, 30)] == logged(folder)


async def test_a_full_disk_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the disk refuses, blocks wait; when it accepts writes again, all are logged."""
    async with written_session(tmp_path, retry_seconds=0.01) as opened:
        disk = Disk().install(monkeypatch)
        disk.full = True
        opened.receive(records(*range(10)), START_NS)
        await until(lambda: disk.calls > 0)
        disk.full = False
        await opened.seal("finished")

    assert [*range(10)] == logged(tmp_path / RUN / "client-1")


async def test_connections_are_logged_between_the_blocks(tmp_path: Path) -> None:
    """Every event of a connection has a line, in order with the blocks, and no block spans two connections."""
    async with written_session(tmp_path) as opened:
        opened.refused(503, "later")
        opened.opened()
        opened.receive(records(*range(12)), START_NS)
        opened.closed(1006, "cut")
        opened.refused(None, "no route")
        opened.opened()
        opened.receive(records(13, 14), START_NS)
        opened.close_block("end")
        await opened.seal("finished")

    folder = tmp_path / RUN / "client-1"
    assert [
        "refused 0 503", "opened 1", "0-9 by count", "10-11 by connection", "closed 1 1006", "refused 1", "opened 2",
        "13-14 by end", "sealed 2",
    ] == outline(folder)  # fmt: skip
    assert [1, 1, 2] == [block.connection for block in blocks(folder)]
    assert (3, 14) == (entries(folder)[-1].block_count, entries(folder)[-1].message_count)  # type: ignore[union-attr]


async def test_lines_of_connections_wait_for_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the disk refuses, lines of connections wait like blocks, and a log is sealed only when they are written."""
    async with written_session(tmp_path, retry_seconds=0.01) as opened:
        opened.opened()
        await until(lambda: bool(connection_lines(tmp_path / RUN / "client-1")))
        disk = Disk().install(monkeypatch)
        disk.full = True
        opened.closed(1001, "going away")
        sealing = asyncio.create_task(opened.seal("finished"))
        await until(lambda: disk.calls > 3)
        assert not sealing.done()
        disk.full = False
        await sealing

    assert ["opened 1", "closed 1 1001", "sealed 1 1001"] == outline(tmp_path / RUN / "client-1")
    assert "finished" == reason(tmp_path / RUN / "client-1")


async def test_numbers_from_2_to_the_53rd_on_are_texts(tmp_path: Path) -> None:
    """Bounds and gaps of a block are texts where a reader might not keep the integer, and their numbers are right."""
    high = 2**63
    async with written_session(tmp_path) as opened:
        opened.receive(records(high + 1, high + 2, high + 5, 2**64 - 1), START_NS)
        opened.close_block("end")
        await opened.seal("finished")

    [block] = blocks(tmp_path / RUN / "client-1")
    text = (tmp_path / RUN / "client-1" / "0001-0001.jsonl").read_text()
    assert f'"first":"{high + 1}","last":"{2**64 - 1}",' in text
    assert f'"missing":[["{high + 3}","{high + 4}"],["{high + 6}","{2**64 - 2}"]],' in text
    assert (high + 1, 2**64 - 1) == (block.first, block.last)
    assert [(high + 3, high + 4), (high + 6, 2**64 - 2)] == block.missing
    assert [high + 1, high + 2, high + 5, 2**64 - 1] == logged(tmp_path / RUN / "client-1")


async def test_what_was_passed_over_is_counted_in_the_log(tmp_path: Path) -> None:
    """Ignored messages and pings are in the next block, and after the last block in the line of the connection."""
    async with written_session(tmp_path) as opened:
        opened.opened()
        opened.passed_over(ignored=2, pings=1)
        opened.receive(records(*range(12)), START_NS)
        opened.passed_over(ignored=0, pings=3)
        opened.closed(1006, "cut")
        opened.passed_over(ignored=1, pings=0)
        await opened.seal("finished")

    folder = tmp_path / RUN / "client-1"
    assert [(2, 1), (0, 3)] == [(block.ignored, block.pings) for block in blocks(folder)]
    assert [("opened", 0, 0), ("closed", 0, 0), ("sealed", 1, 0)] == [
        (line.event, line.ignored, line.pings) for line in connection_lines(folder)
    ]


async def test_messages_without_key_or_time_are_counted_where_these_are_wanted(tmp_path: Path) -> None:
    """A block counts its messages without a key and without a time if the settings name their paths."""
    feed = feed_settings(FEED_KEY="$.k", FEED_TIME="$.t").feed
    opened = ExternalSession("client-1", OPENED, feed, client_config(tmp_path), StoppedClock())
    writing = asyncio.create_task(opened.write())
    opened.receive([*records(1, 2, key="a"), DecodedRecord(b"{}", seq=3, sent_ns=START_NS)], START_NS)
    opened.close_block("end")
    await opened.seal("finished")
    opened.close()
    await writing
    async with written_session(tmp_path / "plain") as plain:
        plain.receive(records(1), START_NS)
        plain.close_block("end")
        await plain.seal("finished")

    [block], [other] = blocks(tmp_path / RUN / "client-1"), blocks(tmp_path / "plain" / RUN / "client-1")
    assert (1, 2) == (block.without_key, block.without_time)
    assert (None, None) == (other.without_key, other.without_time)
