"""Tests of the ledger's file on a disk that may refuse."""

from __future__ import annotations

import logging
import os
import resource
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from services.contract import ledger
from services.contract.jsonl import FIRST
from services.server.runs.ledger_writer import MAX_LINE, LedgerWriter, entries, last_alive_us
from tests.unit.server.fakes import Refusing

AT = "2026-11-22T07:30:00.00000{}Z"


def sent(through: int, at: int = 0) -> ledger.SentEntry:
    """Return a line to write."""
    return ledger.SentEntry(at=AT.format(at), client="client-1", fence=1, through=through)


@pytest.fixture
def writer(tmp_path: Path) -> LedgerWriter:
    """Return a new ledger on a real disk."""
    return LedgerWriter(tmp_path / "run" / "a.jsonl")


@pytest.fixture
def refusing(writer: LedgerWriter) -> tuple[LedgerWriter, Refusing]:
    """Return a ledger, and the disk under it, which can refuse."""
    disk: Any = Refusing()
    writer.close()
    writer._file = disk
    return writer, disk


def throughs(lines: list[bytes]) -> list[int]:
    """Return what lines say, after checking their chain."""
    prev, found = "x00000000", []
    for line in lines:
        sealed, entry = ledger.codec.decode(line)
        assert prev == sealed.prev
        prev = sealed.crc
        assert isinstance(entry, ledger.SentEntry)
        found.append(entry.through)
    return found


def test_a_line_is_written_at_once(writer: LedgerWriter) -> None:
    """A line that was entered can be read by others before any sync, and the lines are chained."""
    for through in (1, 2, 3):
        writer.enter(sent(through))

    assert [1, 2, 3] == throughs(writer.path.read_bytes().splitlines(keepends=True))
    assert (3, True) == (writer.lines, writer.writable)


def test_what_follows_comes_after_the_writing(writer: LedgerWriter) -> None:
    """What is to follow a line finds the line in the file."""
    sizes: list[int] = []
    writer.enter(sent(1), lambda: sizes.append(writer.path.stat().st_size))

    assert [writer.path.stat().st_size] == sizes


def test_a_refusing_disk_stops_the_sending(refusing: tuple[LedgerWriter, Refusing]) -> None:
    """While the disk refuses, nothing follows; when it accepts, lines and what follows come in order."""
    writer, disk = refusing
    done: list[int] = []
    writer.enter(sent(1), lambda: done.append(1))
    disk.full = True
    for through in (2, 3):
        writer.enter(sent(through), lambda through=through: done.append(through))  # type: ignore[misc]
    writer.flush()

    assert (False, [1], [1]) == (writer.writable, done, throughs(disk.lines))
    disk.full = False
    writer.enter(sent(4), lambda: done.append(4))
    writer.flush()
    assert (True, [1, 2, 3, 4], [1, 2, 3, 4]) == (writer.writable, done, throughs(disk.lines))


def test_a_refusal_is_said_once(refusing: tuple[LedgerWriter, Refusing], caplog: pytest.LogCaptureFixture) -> None:
    """A refusal that lasts is one line of log, and its end another."""
    writer, disk = refusing
    caplog.set_level(logging.INFO)
    disk.full = True
    writer.enter(sent(1))
    writer.flush()
    writer.flush()
    disk.full = False
    writer.flush()

    assert ["ledger refused, sending stops", "ledger accepts again"] == [line.message for line in caplog.records]


def test_what_a_sync_refused_is_written_again(refusing: tuple[LedgerWriter, Refusing]) -> None:
    """After a failed sync the lines since the last good one are written again in their place and synced."""
    writer, disk = refusing
    writer.enter(sent(1))
    writer.sync()
    writer.enter(sent(2))
    disk.full = True
    with pytest.raises(OSError, match="Input/output"):
        writer.sync()
    disk.full = False
    writer.enter(sent(3))
    writer.sync()
    writer.sync()

    assert [(len(disk.lines[0]), b"".join(disk.lines[1:]))] == disk.again
    assert [1, 2, 3] == throughs(disk.lines)
    assert 2 == disk.syncs


def test_a_ledger_in_doubt_stops_the_sending(refusing: tuple[LedgerWriter, Refusing]) -> None:
    """From a sync that failed until one that did not, nobody may be sent anything."""
    writer, disk = refusing
    writer.enter(sent(1))
    disk.full = True
    with pytest.raises(OSError, match="Input/output"):
        writer.sync()
    refused = writer.writable
    disk.full = False
    writer.sync()

    assert (False, True) == (refused, writer.writable)


def test_a_failing_sync_is_said_once(refusing: tuple[LedgerWriter, Refusing], caplog: pytest.LogCaptureFixture) -> None:
    """Syncs that fail one after the other are one line of log, and their end another."""
    writer, disk = refusing
    caplog.set_level(logging.INFO)
    writer.enter(sent(1))
    disk.full = True
    for _ in range(2):
        with pytest.raises(OSError, match="Input/output"):
            writer.sync()
    disk.full = False
    writer.sync()

    assert ["ledger not synced, sending stops", "ledger synced again"] == [line.message for line in caplog.records]


def test_a_torn_line_is_cut_off_before_the_next(refusing: tuple[LedgerWriter, Refusing]) -> None:
    """A line that was refused may have left a part, so the file is cut back before it is written again."""
    writer, disk = refusing
    writer.enter(sent(1))
    disk.full = True
    writer.enter(sent(2))
    disk.full = False
    writer.flush()

    assert [len(disk.lines[0])] == disk.cuts
    assert [1, 2] == throughs(disk.lines)


def test_closing_bears_one_failing_sync(writer: LedgerWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sync that fails once, at the very end, is made good; what was written stands once."""
    writer.enter(sent(1))
    real, failures = os.fdatasync, [OSError(5, "Input/output error")]

    def fdatasync(fd: int) -> None:
        if failures:
            raise failures.pop()
        real(fd)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    writer.close()

    assert [1] == throughs(writer.path.read_bytes().splitlines(keepends=True))
    assert [] == failures


def test_a_ledger_is_claimed(writer: LedgerWriter) -> None:
    """No two processes write one file."""
    with pytest.raises(FileExistsError):
        LedgerWriter(writer.path)


def test_closing_twice_is_harmless(writer: LedgerWriter) -> None:
    """A closed ledger is closed."""
    writer.close()
    writer.close()


def test_reads_all_files_by_time(writer: LedgerWriter) -> None:
    """The ledgers of several servers are read as one, by the time of their lines."""
    other = LedgerWriter(writer.path.with_name("b.jsonl"))
    writer.enter(sent(1, at=1))
    writer.enter(sent(3, at=3))
    other.enter(sent(2, at=2))
    other.enter(sent(4, at=3))

    assert [1, 2, 3, 4] == [
        entry.through for entry in entries(writer.path.parent) if isinstance(entry, ledger.SentEntry)
    ]


def test_bad_lines_are_passed_over(writer: LedgerWriter) -> None:
    """A torn tail and a damaged line are passed over; the good lines count."""
    for through in (1, 2, 3):
        writer.enter(sent(through))
    lines = writer.path.read_bytes().splitlines(keepends=True)
    writer.path.write_bytes(lines[0] + lines[1].replace(b"client-1", b"client-9") + lines[2] + lines[0][:40])

    assert [1, 3] == [entry.through for entry in entries(writer.path.parent) if isinstance(entry, ledger.SentEntry)]


def test_a_touch_shows_life(writer: LedgerWriter) -> None:
    """The newest time of a run's files tells when a server was last alive; without files it is 0."""
    os.utime(writer.path, (1000, 1000))
    assert 1000_000_000 == last_alive_us(writer.path.parent)
    writer.touch()

    assert last_alive_us(writer.path.parent) > 1000_000_000
    assert 0 == last_alive_us(writer.path.parent.parent)


def test_what_is_no_ledger_is_passed_over(writer: LedgerWriter, caplog: pytest.LogCaptureFixture) -> None:
    """A pipe, a link and a folder are named and passed over; of bad lines a file says once how many there were."""
    writer.enter(sent(1))
    folder = writer.path.parent
    os.mkfifo(folder / "b.jsonl")
    (folder / "c.jsonl").symlink_to("/dev/zero")
    (folder / "d.jsonl").mkdir()
    (folder / "e.jsonl").write_bytes(b"junk\n" * 1000)

    assert [1] == [entry.through for entry in entries(folder) if isinstance(entry, ledger.SentEntry)]
    assert ["ledger lines passed over", *["not a ledger"] * 3] == sorted(caplog.messages)


def test_a_large_ledger_is_read_in_little_memory(writer: LedgerWriter) -> None:
    """Neither the size of a ledger, nor the length of its lines, nor how many files there are takes memory."""
    line = b"x" * (MAX_LINE - 2) + b"\n"
    with writer.path.with_name("0.jsonl").open("wb") as file:
        for _ in range(50):
            file.write(line)
    os.truncate(writer.path.with_name("0.jsonl"), 2**31)
    for number in range(300):
        writer.path.with_name(f"b{number}.jsonl").write_bytes(ledger.codec.encode(sent(number), FIRST)[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
    tracemalloc.start()
    try:
        found = sum(1 for _ in entries(writer.path.parent))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert 300 == found
    assert peak < 20 * 2**20
