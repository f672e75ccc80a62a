"""Tests of the ledger file, on a disk that may refuse writes and syncs."""

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
from services.server.runs.ledger_writer import MAX_LINE, LedgerWriter, last_alive_us, read_entries
from tests.unit.server.fakes import FakeDisk

AT = "2026-11-22T07:30:00.00000{}Z"


def sent(through: int, at: int = 0) -> ledger.SentEntry:
    """Return an entry to write."""
    return ledger.SentEntry(at=AT.format(at), client="client-1", fence=1, through=through)


@pytest.fixture
def writer(tmp_path: Path) -> LedgerWriter:
    """Return the writer of a new ledger on a real disk."""
    return LedgerWriter(tmp_path / "run" / "a.jsonl")


@pytest.fixture
def refusing(writer: LedgerWriter) -> tuple[LedgerWriter, FakeDisk]:
    """Return the writer of a ledger, and the fake disk under it."""
    disk: Any = FakeDisk()
    writer.close()
    writer._file = disk
    return writer, disk


def throughs(lines: list[bytes]) -> list[int]:
    """Return the `through` of each line, after checking their chain."""
    prev, found = "x00000000", []
    for line in lines:
        sealed, entry = ledger.codec.decode(line)
        assert prev == sealed.prev
        prev = sealed.crc
        assert isinstance(entry, ledger.SentEntry)
        found.append(entry.through)
    return found


def test_a_line_is_written_at_once(writer: LedgerWriter) -> None:
    """An entry can be read before any sync, and the lines are chained."""
    for through in (1, 2, 3):
        writer.append(sent(through))

    assert [1, 2, 3] == throughs(writer.path.read_bytes().splitlines(keepends=True))
    assert (3, True) == (writer.line_count, writer.is_writable)


def test_a_callback_follows_the_write(writer: LedgerWriter) -> None:
    """The callback of an entry runs once the line is in the file."""
    sizes: list[int] = []
    writer.append(sent(1), lambda: sizes.append(writer.path.stat().st_size))

    assert [writer.path.stat().st_size] == sizes


def test_callbacks_wait_for_the_disk(refusing: tuple[LedgerWriter, FakeDisk]) -> None:
    """Callbacks wait while the disk refuses; afterwards lines are written and callbacks called in order."""
    writer, disk = refusing
    done: list[int] = []
    writer.append(sent(1), lambda: done.append(1))
    disk.is_full = True
    for through in (2, 3):
        writer.append(sent(through), lambda through=through: done.append(through))  # type: ignore[misc]
    writer.flush()

    assert (False, [1], [1]) == (writer.is_writable, done, throughs(disk.lines))
    disk.is_full = False
    writer.append(sent(4), lambda: done.append(4))
    writer.flush()
    assert (True, [1, 2, 3, 4], [1, 2, 3, 4]) == (writer.is_writable, done, throughs(disk.lines))


def test_a_refusal_is_logged_once(refusing: tuple[LedgerWriter, FakeDisk], caplog: pytest.LogCaptureFixture) -> None:
    """A lasting refusal is logged once, and so is its end."""
    writer, disk = refusing
    caplog.set_level(logging.INFO)
    disk.is_full = True
    writer.append(sent(1))
    writer.flush()
    writer.flush()
    disk.is_full = False
    writer.flush()

    assert ["ledger refused, sending stops", "ledger accepts again"] == [line.message for line in caplog.records]


def test_lines_are_rewritten_after_a_failed_sync(refusing: tuple[LedgerWriter, FakeDisk]) -> None:
    """After a failed sync the lines since the last good one are written again in their place, then synced."""
    writer, disk = refusing
    writer.append(sent(1))
    writer.sync()
    writer.append(sent(2))
    disk.is_full = True
    with pytest.raises(OSError, match="Input/output"):
        writer.sync()
    disk.is_full = False
    writer.append(sent(3))
    writer.sync()
    writer.sync()

    assert [(len(disk.lines[0]), b"".join(disk.lines[1:]))] == disk.rewritten
    assert [1, 2, 3] == throughs(disk.lines)
    assert 2 == disk.syncs


def test_a_failed_sync_makes_the_ledger_unwritable(refusing: tuple[LedgerWriter, FakeDisk]) -> None:
    """The ledger is not writable from a failed sync until one succeeds."""
    writer, disk = refusing
    writer.append(sent(1))
    disk.is_full = True
    with pytest.raises(OSError, match="Input/output"):
        writer.sync()
    refused = writer.is_writable
    disk.is_full = False
    writer.sync()

    assert (False, True) == (refused, writer.is_writable)


def test_a_failing_sync_is_logged_once(
    refusing: tuple[LedgerWriter, FakeDisk], caplog: pytest.LogCaptureFixture
) -> None:
    """Consecutive failed syncs are logged once, and so is the next good one."""
    writer, disk = refusing
    caplog.set_level(logging.INFO)
    writer.append(sent(1))
    disk.is_full = True
    for _ in range(2):
        with pytest.raises(OSError, match="Input/output"):
            writer.sync()
    disk.is_full = False
    writer.sync()

    assert ["ledger not synced, sending stops", "ledger synced again"] == [line.message for line in caplog.records]


def test_a_torn_line_is_cut_off_before_the_next(refusing: tuple[LedgerWriter, FakeDisk]) -> None:
    """The file is cut back before a refused line is written again, since a part of it may have been written."""
    writer, disk = refusing
    writer.append(sent(1))
    disk.is_full = True
    writer.append(sent(2))
    disk.is_full = False
    writer.flush()

    assert [len(disk.lines[0])] == disk.cuts
    assert [1, 2] == throughs(disk.lines)


def test_closing_retries_a_failed_sync(writer: LedgerWriter, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sync that fails once while closing is repeated, and every line is written once."""
    writer.append(sent(1))
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
    """A second process cannot create the same ledger."""
    with pytest.raises(FileExistsError):
        LedgerWriter(writer.path)


def test_closing_twice_is_harmless(writer: LedgerWriter) -> None:
    """A closed ledger can be closed again."""
    writer.close()
    writer.close()


def test_ledgers_are_merged_by_time(writer: LedgerWriter) -> None:
    """The ledgers of several servers are read in the order of the times of their entries."""
    other = LedgerWriter(writer.path.with_name("b.jsonl"))
    writer.append(sent(1, at=1))
    writer.append(sent(3, at=3))
    other.append(sent(2, at=2))
    other.append(sent(4, at=3))

    assert [1, 2, 3, 4] == [
        entry.through for entry in read_entries(writer.path.parent) if isinstance(entry, ledger.SentEntry)
    ]


def test_bad_lines_are_skipped(writer: LedgerWriter) -> None:
    """A torn or damaged line is skipped, and the intact lines are read."""
    for through in (1, 2, 3):
        writer.append(sent(through))
    lines = writer.path.read_bytes().splitlines(keepends=True)
    writer.path.write_bytes(lines[0] + lines[1].replace(b"client-1", b"client-9") + lines[2] + lines[0][:40])

    assert [1, 3] == [
        entry.through for entry in read_entries(writer.path.parent) if isinstance(entry, ledger.SentEntry)
    ]


def test_last_alive_is_the_newest_time(writer: LedgerWriter) -> None:
    """The newest modification time of a run's ledgers is when a server was last alive; without a ledger it is 0."""
    os.utime(writer.path, (1000, 1000))
    assert 1000_000_000 == last_alive_us(writer.path.parent)
    link = writer.path.parent / "link.jsonl"
    link.symlink_to(link)
    (writer.path.parent / "other.jsonl").symlink_to("/")
    assert 1000_000_000 == last_alive_us(writer.path.parent)
    writer.touch()

    assert last_alive_us(writer.path.parent) > 1000_000_000
    assert 0 == last_alive_us(writer.path.parent.parent)


def test_only_regular_files_are_read(writer: LedgerWriter, caplog: pytest.LogCaptureFixture) -> None:
    """A pipe, a link and a folder are skipped with a warning; skipped lines are logged once a file."""
    writer.append(sent(1))
    folder = writer.path.parent
    os.mkfifo(folder / "b.jsonl")
    (folder / "c.jsonl").symlink_to("/dev/zero")
    (folder / "d.jsonl").mkdir()
    (folder / "e.jsonl").write_bytes(b"junk\n" * 1000)

    assert [1] == [entry.through for entry in read_entries(folder) if isinstance(entry, ledger.SentEntry)]
    assert ["ledger lines skipped", *["not a ledger"] * 3] == sorted(caplog.messages)


def test_a_large_ledger_is_read_in_little_memory(writer: LedgerWriter) -> None:
    """Memory for reading does not grow with the size of a ledger, its longest line or the number of files."""
    line = b"x" * (MAX_LINE - 2) + b"\n"
    with writer.path.with_name("0.jsonl").open("wb") as file:
        for _ in range(50):
            file.write(line)
    os.truncate(writer.path.with_name("0.jsonl"), 2**28)
    for number in range(300):
        writer.path.with_name(f"b{number}.jsonl").write_bytes(ledger.codec.encode(sent(number), FIRST)[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
    tracemalloc.start()
    try:
        found = sum(1 for _ in read_entries(writer.path.parent))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert 300 == found
    assert peak < 20 * 2**20


def test_a_listener_is_informed(tmp_path: Path) -> None:
    """What listens to a ledger learns how far it is on disk, after each sync, and of every touch."""
    heard: list[int | str] = []

    class Listener:
        def synced(self, size: int) -> None:
            heard.append(size)

        def touched(self) -> None:
            heard.append("touched")

    writer = LedgerWriter(tmp_path / "run" / "a.jsonl", Listener())
    writer.append(sent(1))
    assert [] == heard
    writer.sync()
    size = writer.path.stat().st_size
    writer.touch()
    writer.sync()
    writer.append(sent(2))
    writer.close()

    assert [size, "touched", writer.path.stat().st_size] == heard
