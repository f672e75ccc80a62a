"""Tests of reading back what earlier sessions logged."""

from __future__ import annotations

import os
import tracemalloc
from dataclasses import replace
from pathlib import Path

import pytest

from services.client import recovery
from services.client.block_builder import BlockBuilder
from services.client.block_encoder import PendingLine, ReceivedBatch, SessionKey, block_line, opening
from services.client.block_log import BlockLog
from services.client.receipts import receipt_of
from services.contract import blocklog
from services.runtime.durable_file import LineFile
from services.runtime.jsonlogs import LogOnce
from tests.unit.client.fakes import EXACT, RUN, START_US, StoppedClock, arrived, client_config


def session(folder: Path, number: int, blocks: list[list[int]], *, ended: bool = True) -> list[PendingLine]:
    """Write a session's log as a client does; return its blocks."""
    key = SessionKey(RUN, "client-1", number)
    file = LineFile(folder / blocklog.file_name(number, 1))
    config = client_config(folder)
    log = BlockLog(file, opening(key, number, 0, config, [], START_US), StoppedClock(), config.saturation.window())
    written: list[PendingLine] = []
    for at, seqs in enumerate(blocks, 1):
        builder = BlockBuilder[ReceivedBatch](len(seqs), 2**20, 5, seqs[0] - 1)
        (cut,) = builder.add(arrived(*seqs))
        written.append(block_line(key, replace(cut, number=at), (0, 0, []), EXACT))
        log.put(written[-1])
    log.write()
    if ended:
        log.end("finished", 0, 0, [])
    else:
        log.close()
    return written


@pytest.fixture(autouse=True)
def nothing_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget which files were logged as skipped before."""
    monkeypatch.setattr(recovery, "_logged", LogOnce())


def test_without_a_folder_the_history_is_empty(tmp_path: Path) -> None:
    """A client that never logged holds nothing."""
    found = recovery.read(tmp_path / "missing")

    assert ([], [], []) == (list(found.held), found.receipts, found.tails)
    assert 0 == recovery.last_session(tmp_path / "missing")


def test_all_sessions_are_read(tmp_path: Path) -> None:
    """The seqs of the blocks of all sessions are held, without their gaps, and each block has a receipt."""
    blocks = session(tmp_path, 1, [[1, 2, 3], [5, 6]]) + session(tmp_path, 2, [[8, 9]])
    found = recovery.read(tmp_path)

    assert [(1, 3), (5, 6), (8, 9)] == list(found.held)
    assert [receipt_of(it.fields) for it in blocks] == found.receipts
    assert [(1, 1, 1, 3, 3), (1, 2, 5, 6, 2), (2, 1, 8, 9, 2)] == [
        (it.session, it.block, it.first, it.last, it.count) for it in found.receipts
    ]
    assert 2 == recovery.last_session(tmp_path)


@pytest.mark.parametrize("kept", range(1, 400, 37))
def test_a_torn_tail_is_found(tmp_path: Path, kept: int) -> None:
    """A tail without a newline is not read; it is reported with its offset and length, and can be cut off."""
    session(tmp_path, 1, [[1, 2], [3, 4]], ended=False)
    path = tmp_path / "0001-0001.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1] + lines[2][:kept])
    found = recovery.read(tmp_path)

    assert [(1, 2)] == list(found.held)
    assert [recovery.TornTail(path, len(lines[0] + lines[1]), kept)] == found.tails
    recovery.cut_off(found.tails[0])
    assert lines[0] + lines[1] == path.read_bytes()
    assert [] == recovery.read(tmp_path).tails


def test_an_empty_file_is_valid(tmp_path: Path) -> None:
    """A file that was only claimed has no history and no tail, and its session number is used."""
    (tmp_path / "0003-0001.jsonl").touch()

    assert ([], 3) == (recovery.read(tmp_path).tails, recovery.last_session(tmp_path))


def test_a_file_without_a_newline_is_all_tail(tmp_path: Path) -> None:
    """A crash within the first line leaves a tail that begins at byte 0."""
    path = tmp_path / "0001-0001.jsonl"
    path.write_bytes(b'{"crc":"x')

    assert [recovery.TornTail(path, 0, 9)] == recovery.read(tmp_path).tails


def test_a_damaged_line_is_skipped(tmp_path: Path) -> None:
    """A line whose bytes were changed is skipped; the others count."""
    session(tmp_path, 1, [[1, 2], [3, 4], [5, 6]])
    path = tmp_path / "0001-0001.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"id":3', b'"id":4'))

    assert [(1, 2), (5, 6)] == list(recovery.read(tmp_path).held)


def test_lines_after_damage_are_doubted(tmp_path: Path) -> None:
    """In the file where the last session broke off, all from the first damaged line on is a torn tail, if doubted."""
    session(tmp_path, 1, [[1, 2]], ended=False)
    session(tmp_path, 2, [[3, 4], [5, 6], [7, 8]], ended=False)
    for name, hidden in (("0001-0001.jsonl", b'"id":1'), ("0002-0001.jsonl", b'"id":5')):
        damaged = tmp_path / name
        damaged.write_bytes(damaged.read_bytes().replace(hidden, bytes(6)))
    path = tmp_path / "0002-0001.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    doubted, whole = recovery.read(tmp_path), recovery.read(tmp_path, doubt=False)

    assert ([(3, 4)], True) == (list(doubted.held), doubted.is_doubted)
    assert [recovery.TornTail(path, len(lines[0] + lines[1]), len(lines[2] + lines[3]))] == doubted.tails
    assert ([(3, 4), (7, 8)], [], False) == (list(whole.held), whole.tails, whole.is_doubted)


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    """Files with other names do not belong to the client's log."""
    session(tmp_path, 1, [[1, 2]])
    (tmp_path / "notes.jsonl").write_text("mine\n")
    (tmp_path / "0009-0001.jsonl.bak").write_text("old\n")

    assert ([(1, 2)], 1) == (list(recovery.read(tmp_path).held), recovery.last_session(tmp_path))


def test_files_are_synced_when_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The files are synced before their blocks are receipted; a disk that refuses the sync raises the error."""
    session(tmp_path, 1, [[1, 2]])

    def refuse(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("os.fsync", refuse)
    with pytest.raises(OSError, match="Input/output"):
        recovery.read(tmp_path)


@pytest.mark.parametrize("kind", ["pipe", "link", "folder", "dangling", "loop", "unnamed"])
def test_other_than_regular_files_are_skipped(tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture) -> None:
    """A pipe, a link or a folder with a log's name neither blocks nor hides other files; it is logged once."""
    session(tmp_path, 1, [[1, 2]])
    before = os.listdir(tmp_path)
    path = tmp_path / "0009-0001.jsonl"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "unnamed":
        path = tmp_path / os.fsdecode(b"\xff.jsonl")
        path.write_text("junk\n")
    else:
        path.symlink_to({"link": tmp_path / before[0], "dangling": tmp_path / "x", "loop": path}[kind])
    for _ in range(3):
        assert [(1, 2)] == list(recovery.read(tmp_path).held)
        assert [] == recovery.torn_tails(tmp_path) == recovery.read(tmp_path).tails
    taken = [name for name in os.listdir(tmp_path) if name not in before]
    file, number = recovery.claim(tmp_path)
    file.close()

    assert {(1, 1)} == set(recovery.read(tmp_path).sizes) - {(number, 1)}
    assert (2 if kind == "unnamed" else 10) == number
    assert ([] if kind == "unnamed" else ["file skipped"]) == caplog.messages
    assert taken == [path.name]


def test_a_huge_file_is_read_in_bounded_memory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Lines before 3 GB of zeros count; the zeros are neither held in memory nor cut off."""
    session(tmp_path, 1, [[1, 2]])
    session(tmp_path, 2, [[3, 4]], ended=False)
    giant = tmp_path / "0002-0001.jsonl"
    os.truncate(giant, 3 * 2**30)
    tracemalloc.start()
    try:
        found, tails = recovery.read(tmp_path), recovery.torn_tails(tmp_path)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert ([(1, 4)], [], []) == (list(found.held), found.tails, tails)
    assert recovery.sizes(tmp_path) == found.sizes
    assert peak < 3 * blocklog.MAX_LINE
    assert ["file is too large for a log, its end is skipped"] == caplog.messages


def test_a_long_tail_is_found_from_its_end(tmp_path: Path) -> None:
    """A torn tail longer than several chunks is found after the last newline."""
    path = tmp_path / "0001-0001.jsonl"
    path.write_bytes(b"one\n" + b"x" * 700_000)

    assert [recovery.TornTail(path, 4, 700_000)] == recovery.torn_tails(tmp_path)
    assert [recovery.TornTail(path, 4, 700_000)] == recovery.read(tmp_path, doubt=False).tails


def test_a_tail_that_may_not_be_cut_is_left(tmp_path: Path) -> None:
    """A tail whose file was replaced by a link is left; the other is cut off and returned."""
    for name in ("0001-0001.jsonl", "0002-0001.jsonl"):
        (tmp_path / name).write_bytes(b"torn")
    first, second = recovery.torn_tails(tmp_path)
    first.path.unlink()
    first.path.symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_bytes(b"kept")

    assert [blocklog.Torn("0002-0001.jsonl", 4)] == recovery.cut_all([first, second])
    assert (b"kept", b"") == ((tmp_path / "elsewhere").read_bytes(), second.path.read_bytes())


def test_numbers_without_room_are_ignored(tmp_path: Path) -> None:
    """A file with a number too high for later sessions is ignored, and does not count as the last session."""
    session(tmp_path, 1, [[1, 2]])
    for number in (recovery._MAX_CLAIMED + 1, 10**30):
        (tmp_path / f"{number}-0001.jsonl").write_text("junk\n")

    assert 1 == recovery.last_session(tmp_path)
