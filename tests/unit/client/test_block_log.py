"""Tests of writing the block log on a disk that may refuse anything at any time."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.client.block_builder import BlockBuilder
from services.client.block_encoder import PendingLine, ReceivedBatch, opening
from services.client.block_log import BlockLog, DurableHandler, LineFormatter
from services.client.fence import Superseded
from services.contract import block_text, blocklog
from services.contract.feed_description import FeedDescription
from services.contract.jsonl import FIRST, LineStruct, fields
from services.contract.scalars import utc_text
from services.runtime.durable_file import LineFile
from services.runtime.saturation import SaturationMonitor
from tests.poll import poll_until
from tests.unit.client.fakes import (
    KEY,
    RUN,
    START_US,
    Disk,
    StoppedClock,
    arrived,
    block_of,
    blocks,
    client_config,
    entries,
)

Fsync = Literal["block", "interval", "none"]
COUNT = 6
LINE_NAMES = ("connection", "block", "event")


def new_log(
    folder: Path, fsync: Fsync = "block", torn: int = 0, segment_bytes: int = blocklog.SEGMENT_BYTES
) -> BlockLog:
    """Return a log whose first file was just claimed."""
    tails = [blocklog.Torn("0000-0001.jsonl", torn)] if torn else []
    first = opening(KEY, 1, 0, client_config(folder, fsync=fsync), tails, START_US)
    file, window = LineFile(folder / blocklog.file_name(1, 1)), SaturationMonitor().window()
    return BlockLog(file, first, StoppedClock(), window, segment_bytes=segment_bytes)


def new_blocks(count: int = COUNT) -> Iterator[PendingLine]:
    """Yield blocks of three messages."""
    cutter = BlockBuilder[ReceivedBatch](3, 2**20, 5, 0)
    cuts = cutter.add(arrived(*range(1, 3 * count + 1)))
    for number, cut in enumerate(cuts, 1):
        yield block_of(replace(cut, number=number))


def numbers(lines: list[PendingLine]) -> list[int]:
    """Return the numbers of blocks."""
    return [line.fields["block"] for line in lines]


def write_all(log: BlockLog, folder: Path, synced: dict[Path, int] | None = None, tries: int = 60) -> list[int]:
    """Put and write until all is durable, through all refusals; return the durable blocks' numbers, in order."""
    durable: list[int] = []

    def attempt(call: Any) -> None:
        try:
            lines = call()
        except OSError:
            return
        durable.extend(numbers(lines))
        if synced is not None:
            assert_on_disk(folder, numbers(lines), synced)

    for number, made in enumerate(new_blocks()):
        log.put(made)
        # Some alone and some together.
        if number % 3 != 1:
            attempt(log.write)
    for _ in range(tries):
        attempt(log.write)
        attempt(log.sync)
        if len(durable) == COUNT and not log.has_waiting:
            break
    return durable


def end_well(log: BlockLog) -> None:
    """End the log, trying again while the disk refuses."""
    for _ in range(60):
        try:
            log.end("finished", 0, 0, [])
        except OSError:
            continue
        return
    raise AssertionError("the log could not be ended")


def assert_on_disk(folder: Path, numbers: list[int], synced: dict[Path, int]) -> None:
    """Assert that these blocks are in the synced part of the files."""
    there = b"".join(path.read_bytes()[: synced.get(path, 0)] for path in sorted(folder.glob("*.jsonl")))
    found = [json.loads(line).get("block") for line in there.splitlines()]
    assert set(numbers) <= set(found)


def watch_syncs(monkeypatch: pytest.MonkeyPatch) -> dict[Path, int]:
    """Return how much of each file was synced, kept up to date."""
    synced: dict[Path, int] = {}
    sync, cut_back = LineFile.sync, LineFile.cut_back

    def watched_sync(file: LineFile) -> None:
        sync(file)
        synced[file.path] = file.size

    def watched_cut(file: LineFile, size: int) -> None:
        cut_back(file, size)
        synced[file.path] = min(size, synced.get(file.path, 0))

    monkeypatch.setattr(LineFile, "sync", watched_sync)
    monkeypatch.setattr(LineFile, "cut_back", watched_cut)
    return synced


def calls_of_a_good_run(fsync: Fsync) -> int:
    """Return how often a run without refusals asks the disk."""
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patched:
        log = new_log(Path(folder), fsync)
        disk = Disk().install(patched)
        write_all(log, Path(folder))
        end_well(log)
        return disk.calls


def check_refusals(refuses: set[int], fsync: Fsync, segment: int) -> None:
    """Write through these refusals; assert that nothing is lost, doubled or reported too early."""
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patched:
        folder = Path(name)
        # Which calls are made is what counts here, and there are thousands.
        patched.setattr("os.fsync", lambda _: None)
        patched.setattr("os.fdatasync", lambda _: None)
        patched.setattr(blocklog, "SEGMENT_BYTES", segment)
        log = new_log(folder, fsync, torn=7)
        disk = Disk(refuses).install(patched)
        synced = watch_syncs(patched) if fsync != "none" else None
        durable = write_all(log, folder, synced)
        disk.refuses = set()
        end_well(log)
        log.close()

        assert list(range(1, COUNT + 1)) == durable
        assert durable == [it.block for it in blocks(folder)]
        lines = entries(folder)
        assert "finished" == lines[-1].reason if isinstance(lines[-1], blocklog.EndLine) else None
        assert [7] == [torn.bytes for it in lines if isinstance(it, blocklog.OpenLine) for torn in it.torn]
        check_ends(folder)


def check_ends(folder: Path) -> None:
    """Assert that every last line has the figures of its file."""
    for path in folder.glob("*.jsonl"):
        *before, last = path.read_bytes().splitlines(keepends=True) or [b""]
        entry = blocklog.codec.decode(last)[1] if last else None
        if isinstance(entry, blocklog.EndLine):
            counts = [it["count"] for it in map(json.loads, before) if it["kind"] == "block"]
            text = b"".join(before)
            assert (len(counts), sum(counts), len(text), hashlib.sha256(text).hexdigest()) == (
                *(entry.block_count, entry.message_count, entry.byte_count, entry.sha256),
            )


@pytest.mark.parametrize("segment", [2000, 2**26], ids=["small segments", "one segment"])
@pytest.mark.parametrize("fsync", ["block", "interval", "none"])
def test_any_one_refusal(fsync: Fsync, segment: int) -> None:
    """If the disk refuses any one call, every block is logged once, in order, and is durable before it is reported."""
    for call in range(1, calls_of_a_good_run(fsync) + 20):
        check_refusals({call}, fsync, segment)


@pytest.mark.parametrize("fsync", ["block", "interval", "none"])
@given(refuses=st.sets(st.integers(1, 60)), segment=st.sampled_from([700, 1500, 2**26]))
def test_any_refusals(fsync: Fsync, refuses: set[int], segment: int) -> None:
    """After any refusals every block is logged once, in order, and is durable when it is reported."""
    check_refusals(refuses, fsync, segment)


@given(st.integers(1, 30), st.integers(1, 40))
def test_a_disk_that_is_full_for_long(start: int, length: int) -> None:
    """If the disk refuses every call for a while, no block is lost or logged twice."""
    check_refusals(set(range(start, start + length)), "block", 2**26)


def test_a_log_is_complete(tmp_path: Path) -> None:
    """A log has its first line, its blocks and its last line, chained, and the last line has the counts of the file."""
    log = new_log(tmp_path)
    assert [1, 2, 3, 4, 5, 6] == write_all(log, tmp_path)
    log.end("finished", 1, 2, [(3, 4)])
    first, *middle, last = entries(tmp_path, sealed=True)

    assert isinstance(first, blocklog.OpenLine)
    assert isinstance(last, blocklog.EndLine)
    written = [msgspec.json.encode(it.fields) for it in new_blocks()]
    assert written == [msgspec.json.encode(fields(it)) for it in middle if isinstance(it, blocklog.Block)]
    assert ("finished", 6, 18, 1, 2, [(3, 4)]) == (
        *(last.reason, last.block_count, last.message_count),
        *(last.duplicates, last.reordered, last.corrupt),
    )
    check_ends(tmp_path)


def test_a_log_states_the_saturation_of_its_client(tmp_path: Path) -> None:
    """The last line states the event loop lag of the process in the session's window."""
    saturation = SaturationMonitor()
    saturation.tick(9_000_000_000)
    first = opening(KEY, 1, 0, client_config(tmp_path), [], START_US)
    log = BlockLog(LineFile(tmp_path / blocklog.file_name(1, 1)), first, StoppedClock(), saturation.window())
    saturation.tick(5_000_000)
    poll_until(lambda: saturation.snapshot().lags.count == 2, "the ticks are counted", 5, 0.001)
    log.end("finished", 0, 0, [])
    last = entries(tmp_path)[-1]

    assert isinstance(last, blocklog.EndLine)
    assert pytest.approx(5_000_000, rel=0.01) == last.loop_lag_max_ns
    assert last.loop_lag_p99_ns is None
    assert last.cpu_ns is not None


@pytest.mark.parametrize(
    ("fsync", "written", "synced"), [("block", [1, 2], []), ("interval", [], [1, 2]), ("none", [1, 2], [])]
)
def test_when_a_block_is_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fsync: Fsync, written: list[int], synced: list[int]
) -> None:
    """By the FSYNC policy blocks are durable after the call that writes them, after the next sync, or when written."""
    log = new_log(tmp_path, fsync)
    syncs = watch_syncs(monkeypatch)
    for made in new_blocks(2):
        log.put(made)

    assert written == numbers(log.write())
    assert ({} if fsync != "block" else {tmp_path / "0001-0001.jsonl": 1}).keys() == syncs.keys()
    assert synced == numbers(log.sync())
    assert [] == log.write()


def test_blocks_that_wait_share_a_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks that wait at the same time share one sync."""
    log = new_log(tmp_path)
    for made in new_blocks():
        log.put(made)
    calls: list[int] = []
    monkeypatch.setattr(LineFile, "sync", lambda file: calls.append(file.size))

    assert COUNT == len(log.write())
    assert 1 == len(calls)


def test_segments_are_closed_at_their_size(tmp_path: Path) -> None:
    """A file that has reached its size is closed and the next one begun; each is complete, and the chain continues."""
    log = new_log(tmp_path, torn=7, segment_bytes=1500)
    write_all(log, tmp_path)
    log.end("finished", 0, 0, [])
    lines = entries(tmp_path, sealed=True)
    opens = [it for it in lines if isinstance(it, blocklog.OpenLine)]
    reasons = [it.reason for it in lines if isinstance(it, blocklog.EndLine)]

    assert len(opens) > 2
    assert list(range(1, len(opens) + 1)) == [it.segment for it in opens]
    assert ["rotated"] * (len(opens) - 1) + ["finished"] == reasons
    assert [1, *[0] * (len(opens) - 1)] == [len(it.torn) for it in opens]
    check_ends(tmp_path)


def test_a_refused_file_ends_with_the_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that refused a block is cut back and, if it still takes a line, ends with the error."""
    log = new_log(tmp_path)
    first, second, *_ = new_blocks()
    log.put(first)
    log.write()
    disk = Disk({1}).install(monkeypatch)
    log.put(second)
    with pytest.raises(OSError, match="No space"):
        log.write()
    assert log.has_waiting
    log.write()
    log.end("shutdown", 0, 0, [])
    reasons = [it.reason for it in entries(tmp_path, sealed=True) if isinstance(it, blocklog.EndLine)]

    assert ["error", "shutdown"] == reasons
    assert [1, 2] == [it.block for it in blocks(tmp_path)]
    assert disk.calls > 1


def test_nothing_is_written_before_the_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a file cannot be cut back, no other file is written: a block would be logged twice."""
    log = new_log(tmp_path)
    first, second, *_ = new_blocks()
    log.put(first)
    log.write()
    disk = Disk().install(monkeypatch)
    disk.full = True
    log.put(second)
    for _ in range(3):
        with pytest.raises(OSError, match="No space"):
            log.write()
    assert ["0001-0001.jsonl"] == [path.name for path in tmp_path.iterdir()]
    disk.full = False
    assert [2] == numbers(log.write())

    assert [1, 2] == [it.block for it in blocks(tmp_path)]


def test_closing_early_keeps_durable_blocks(tmp_path: Path) -> None:
    """A log that is closed before its end keeps the durable blocks, and has no last line."""
    log = new_log(tmp_path)
    write_all(log, tmp_path)
    log.close()

    assert COUNT == len(blocks(tmp_path))
    assert not isinstance(entries(tmp_path)[-1], blocklog.EndLine)


@pytest.mark.parametrize(("after", "kept"), [(0, 0), (3, 1)])
def test_what_another_process_logs_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int, kept: int
) -> None:
    """A block that was written after another process took the name is cut off, unless that process may have read it."""
    log, first = new_log(tmp_path), next(new_blocks())
    holds = iter([None, Superseded(tmp_path, after)])

    def check() -> None:
        if (problem := next(holds)) is not None:
            raise problem

    monkeypatch.setattr(log._fence, "check", check)
    log.put(first)
    with pytest.raises(Superseded):
        log.write()
    log.close()

    assert kept == len(blocks(tmp_path))


def test_nothing_is_written_beside_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once another process logs under the name, no block is written any more."""
    log = new_log(tmp_path)

    def check() -> None:
        raise Superseded(tmp_path, 0)

    monkeypatch.setattr(log._fence, "check", check)
    log.put(next(new_blocks()))
    with pytest.raises(Superseded):
        log.write()
    log.close()

    assert [] == blocks(tmp_path)
    assert log.has_waiting


def external_lines(count: int = COUNT) -> Iterator[LineStruct]:
    """Yield lines of an external feed: every block of three messages is between two lines of its connection."""
    for number in range(1, count + 1):
        yield connection_line(number, "opened")
        messages = [blocklog.ExternalMessage(seq, "", None, None, msgspec.Raw(b"{}")) for seq in range(3)]
        yield blocklog.ExternalBlock(
            run=RUN, client="client-1", session=1, block=number, positions=(3 * number - 2, 3 * number),
            first=0, last=2, count=3, connection=number, closed_by="connection", started_at="", ended_at="",
            duration_ns=0, idle_ns=0,
            digest=block_text.messages_digest(messages), messages=messages,
        )  # fmt: skip
        yield connection_line(number, "closed")


def pending(line: LineStruct) -> PendingLine:
    """Return a line of an external feed as its session queues it."""
    return PendingLine(fields(line), getattr(line, "count", 0), getattr(line, "first", None))


def connection_line(number: int, event: blocklog.ConnectionEvent) -> blocklog.ConnectionLine:
    """Return a line about a connection."""
    return blocklog.ConnectionLine(
        run=RUN, client="client-1", session=1, connection=number, event=event, at=utc_text(START_US), connected=True
    )


def check_external_refusals(refuses: set[int], fsync: Fsync, segment: int) -> None:
    """Write lines of an external feed through these refusals; assert that every line is logged once, in order."""
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patched:
        folder = Path(name)
        patched.setattr("os.fsync", lambda _: None)
        patched.setattr("os.fdatasync", lambda _: None)
        patched.setattr(blocklog, "SEGMENT_BYTES", segment)
        native = opening(KEY, 0, 0, client_config(folder, fsync=fsync), [], START_US)
        first = msgspec.structs.replace(native, external=FeedDescription(url="ws://feed"))
        log = BlockLog(LineFile(folder / blocklog.file_name(1, 1)), first, StoppedClock(), SaturationMonitor().window())
        disk, durable = Disk(refuses).install(patched), []
        for place, made in enumerate(external_lines()):
            log.put(pending(made))
            for call in (log.write, log.sync)[: place % 3]:
                with contextlib.suppress(OSError):
                    durable += call()
        expected = [line_of(made) for made in external_lines()]
        for call in [log.write, log.sync] * 60:
            with contextlib.suppress(OSError):
                durable += call()
            if len(durable) >= len(expected) and not log.has_waiting:
                break
        disk.refuses = set()
        end_well(log)
        log.close()

        assert expected == [tuple(line.fields.get(name) for name in LINE_NAMES) for line in durable]
        assert expected == [line_of(entry) for entry in external_entries(folder)]
        check_ends(folder)


def line_of(entry: object) -> tuple[object, ...]:
    """Return the fields that identify a line."""
    return tuple(getattr(entry, name, None) for name in LINE_NAMES)


def external_entries(folder: Path) -> list[blocklog.ExternalBlock | blocklog.ConnectionLine]:
    """Return blocks and lines of connections in order, after checking the chain."""
    found, prev = [], FIRST
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_bytes().splitlines(keepends=True):
            sealed, entry = blocklog.codec.decode(line)
            assert prev == sealed.prev
            prev = sealed.crc
            if isinstance(entry, blocklog.ExternalBlock | blocklog.ConnectionLine):
                found.append(entry)
    return found


@pytest.mark.parametrize("fsync", ["block", "interval", "none"])
@given(refuses=st.sets(st.integers(1, 60)), segment=st.sampled_from([700, 1500, 2**26]))
def test_lines_between_blocks_are_written_like_them(fsync: Fsync, refuses: set[int], segment: int) -> None:
    """After any refusals lines about connections are logged once, in order with the blocks, and are not counted."""
    check_external_refusals(refuses, fsync, segment)


def test_a_log_is_python_json_logger() -> None:
    """A line is what the formatter makes of a logged mapping: no field is added, none is escaped."""
    formatter = LineFormatter()
    logger = logging.Logger("test")  # noqa: LOG001
    record = logger.makeRecord("test", logging.INFO, "", 0, {"v": 1, "kind": "open", "name": "Zoë"}, (), None)

    line = formatter.line(record)
    content = json.loads(line)

    assert line.decode() == formatter.format(record)
    assert ["crc", "prev", "v", "kind", "name"] == list(content)
    assert ("Zoë", formatter.crc) == (content["name"], content["crc"])


def test_a_handler_needs_a_segment() -> None:
    """Writing a line without an open file raises an error."""
    handler = DurableHandler(LineFormatter())

    with pytest.raises(OSError, match="no segment is open"):
        handler.emit(logging.makeLogRecord({"msg": {"v": 1}}))
