"""Tests of services/collector/scan.py."""

import errno
import os
from io import FileIO
from pathlib import Path

import pytest

from services.collector import file_lines, scan
from services.collector.scan import FileRewritten, RunFiles, find_runs, newest_run
from services.contract.scalars import run_order
from tests.builders.runs import RUN, good_run, write


def put(volumes: Path, path: str, data: bytes) -> Path:
    """Write a file below the volumes folder."""
    file = volumes / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(data)
    return file


def texts(files: RunFiles) -> list[tuple[str, bytes]]:
    """Return the lines of one iteration."""
    return [(source.path, line) for source, lines in files.batches() for line in lines]


def test_runs_of_both_sides_are_found_oldest_first(tmp_path: Path) -> None:
    """Runs are those of ledger/ and logs/, -10 sorted after -2; other folders are none."""
    for name in (
        "ledger/20260101T000000Z-10", "logs/20260101T000000Z-2/client-1", "ledger/20260101T000000Z", "logs/lost+found/1"
    ):  # fmt: skip
        (tmp_path / name).mkdir(parents=True)

    assert ["20260101T000000Z", "20260101T000000Z-2", "20260101T000000Z-10"] == find_runs(tmp_path)
    assert ("20260101T000000Z", 2) == run_order("20260101T000000Z-2")


def test_a_folder_without_logs_is_no_run(tmp_path: Path) -> None:
    """A run that clients of an external feed have opened is not found before it has a log."""
    opened = tmp_path / "logs" / "20260101T000000Z"
    opened.mkdir(parents=True)
    (opened / "feed.json").touch()
    assert [] == find_runs(tmp_path)
    (opened / "client-1").mkdir()

    assert ["20260101T000000Z"] == find_runs(tmp_path)


def test_no_folders_are_no_runs(tmp_path: Path) -> None:
    """A volumes folder without anything in it has no runs."""
    assert [] == find_runs(tmp_path)


def test_the_ledger_is_read_before_the_logs(tmp_path: Path) -> None:
    """An iteration yields the ledger's lines first."""
    put(tmp_path, f"logs/{RUN}/a/0001-0001.jsonl", b"log\n")
    put(tmp_path, f"ledger/{RUN}/x.jsonl", b"ledger\n")

    assert [
        (f"ledger/{RUN}/x.jsonl", b"ledger\n"),
        (f"logs/{RUN}/a/0001-0001.jsonl", b"log\n"),
    ] == texts(RunFiles(tmp_path, RUN))


def test_each_line_is_handed_out_once(tmp_path: Path) -> None:
    """A later poll yields only the added lines."""
    file = put(tmp_path, f"logs/{RUN}/a/f.jsonl", b"one\n")
    files = RunFiles(tmp_path, RUN)

    assert [b"one\n"] == [line for _, line in texts(files)]
    assert [] == texts(files)

    with file.open("ab") as appending:
        appending.write(b"two\nthree\n")

    assert [b"two\n", b"three\n"] == [line for _, line in texts(files)]


def test_an_incomplete_line_is_left_for_the_next_round(tmp_path: Path) -> None:
    """A tail without a newline is not yielded until it is complete."""
    file = put(tmp_path, f"logs/{RUN}/a/f.jsonl", b"one\ntw")
    files = RunFiles(tmp_path, RUN)

    assert [b"one\n"] == [line for _, line in texts(files)]
    assert [2] == [tail.size for tail in files.tails()]

    file.write_bytes(b"one\ntwo\n")

    assert [b"two\n"] == [line for _, line in texts(files)]
    assert [] == list(files.tails())


def test_a_torn_tail_that_is_cut_changes_nothing(tmp_path: Path) -> None:
    """The next session may truncate an unfinished line that was not yielded."""
    file = put(tmp_path, f"logs/{RUN}/a/f.jsonl", b"one\ntw")
    files = RunFiles(tmp_path, RUN)
    texts(files)
    os.truncate(file, 4)

    assert [] == texts(files)
    assert [] == list(files.tails())


@pytest.mark.parametrize("loss", ["shrink", "vanish"])
def test_lost_lines_are_noticed(tmp_path: Path, loss: str) -> None:
    """A file that lost bytes that were read, or is gone, raises FileRewritten."""
    file = put(tmp_path, f"logs/{RUN}/a/f.jsonl", b"one\ntwo\n")
    files = RunFiles(tmp_path, RUN)
    texts(files)
    if loss == "shrink":
        os.truncate(file, 4)
    else:
        file.unlink()

    with pytest.raises(FileRewritten):
        texts(files)


@pytest.mark.parametrize("piece", [3, 256 * 1024])
def test_changed_bytes_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    """A flipped bit in the yielded bytes is detected, added bytes are ignored."""
    monkeypatch.setattr(scan, "PIECE", piece)
    file = put(tmp_path, f"logs/{RUN}/a/f.jsonl", b"one\ntwo\nthr")
    files = RunFiles(tmp_path, RUN)
    texts(files)
    file.write_bytes(b"one\ntwo\nthree\nfour\n")
    begun = files.recheck()
    steps = [next(begun)]
    texts(files)
    steps += begun
    assert len(steps) == -(-8 // piece)
    steps += files.recheck()
    file.write_bytes(b"one\ntwo\nthree\nfouR\n")

    with pytest.raises(FileRewritten):
        list(files.recheck())
    file.unlink()
    with pytest.raises(FileRewritten):
        list(files.recheck())


def test_reading_may_be_broken_off_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that were not yielded come with the next poll."""
    monkeypatch.setattr(file_lines, "BATCH", 1)
    put(tmp_path, f"logs/{RUN}/a/f.jsonl", b"one\ntwo\nthree\n")
    files = RunFiles(tmp_path, RUN)

    assert [b"one\n"] == next(files.batches())[1]
    assert [b"two\n", b"three\n"] == [line for _, line in texts(files)]


def test_who_is_always_behind_reads_every_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An iteration begins with the ledger, then with the client after the one at which the last iteration stopped."""
    monkeypatch.setattr(file_lines, "BATCH", 1)
    for name in ("a", "b", "c"):
        put(tmp_path, f"logs/{RUN}/{name}/f.jsonl", b"%b1\n%b2\n" % (name.encode(), name.encode()))
    files = RunFiles(tmp_path, RUN)
    rounds = [line for _ in range(4) for line in next(files.batches())[1]]
    put(tmp_path, f"ledger/{RUN}/x.jsonl", b"ledger\n")

    assert [b"a1\n", b"b1\n", b"c1\n", b"a2\n"] == rounds
    assert [b"ledger\n", b"b2\n", b"c2\n"] == [line for _, line in texts(files)]


@pytest.mark.parametrize("piece", [1, 2, 3, 7])
def test_lines_are_cut_from_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    """The lines and the rest of a file do not depend on where its pieces end."""
    monkeypatch.setattr(file_lines, "PIECE", piece)
    put(tmp_path, f"logs/{RUN}/a/f.jsonl", b"one\n\nthree\nfo")
    files = RunFiles(tmp_path, RUN)

    assert [b"one\n", b"\n", b"three\n"] == [line for _, line in texts(files)]
    assert [2] == [tail.size for tail in files.tails()]


def test_who_reads_once_keeps_no_digest(tmp_path: Path) -> None:
    """Without rechecks the lines are the same."""
    put(tmp_path, f"logs/{RUN}/a/f.jsonl", b"one\ntwo\n")

    assert [b"one\n", b"two\n"] == [line for _, line in texts(RunFiles(tmp_path, RUN, rechecked=False))]


def test_links_pipes_and_other_files_are_passed_over(tmp_path: Path) -> None:
    """Only regular files named *.jsonl count, and reading never blocks."""
    real = put(tmp_path, f"logs/{RUN}/a/f.txt", b"one\n")
    put(tmp_path, f"logs/{RUN}/a/.hidden.jsonl", b"one\n")
    (real.parent / "link.jsonl").symlink_to(real)
    os.mkfifo(real.parent / "pipe.jsonl")
    (real.parent.parent / "b").symlink_to(real.parent)

    assert [] == texts(RunFiles(tmp_path, RUN))


def test_a_file_that_cannot_be_read_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A refused file is among the tails, with the reason."""
    put(tmp_path, f"logs/{RUN}/a/f.jsonl", b"one\n")

    def refuse(path: Path, _: int) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr("services.collector.scan.os.open", refuse)
    files = RunFiles(tmp_path, RUN)

    assert [] == texts(files)
    assert ["Permission denied"] == [tail.refused for tail in files.tails()]


@pytest.mark.parametrize("piece", [3, 4, 256])
def test_a_line_without_end_cannot_exhaust_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int
) -> None:
    """A line longer than allowed is yielded in pieces, which no decoder accepts."""
    monkeypatch.setattr(file_lines, "PIECE", piece)
    for module in (scan, file_lines):
        monkeypatch.setattr(module, "MAX_LINE", 4)
    put(tmp_path, f"logs/{RUN}/a/f.jsonl", b"123456789\nok\n")

    assert [b"1234", b"5678", b"9\n", b"ok\n"] == [line for _, line in texts(RunFiles(tmp_path, RUN))]


def test_nothing_is_written(tmp_path: Path) -> None:
    """Reading works in folders that cannot be written to, and leaves them as they were."""
    file = put(tmp_path, f"logs/{RUN}/a/f.jsonl", b"one\n")
    before = (file.stat().st_mtime_ns, sorted(tmp_path.rglob("*")))
    texts(RunFiles(tmp_path, RUN))

    assert before == (file.stat().st_mtime_ns, sorted(tmp_path.rglob("*")))


def test_one_file_is_read_by_itself(tmp_path: Path) -> None:
    """`read_file` yields the lines of one file unchanged, the torn one last, and opens no other file."""
    put(tmp_path, f"logs/{RUN}/b/2.jsonl", b"one\ntw")
    put(tmp_path, f"logs/{RUN}/b/1.jsonl", b"")
    put(tmp_path, f"logs/{RUN}/a/1.jsonl", b"")
    put(tmp_path, f"ledger/{RUN}/i.jsonl", b"")
    first, second = scan.log_sources(tmp_path, RUN, "b")

    assert ["a", "b"] == scan.log_clients(tmp_path, RUN)
    assert ["i.jsonl"] == [source.name for source in scan.ledger_sources(tmp_path, RUN)]
    assert ["1.jsonl", "2.jsonl"] == [first.name, second.name]
    assert [b"one\n", b"tw"] == list(scan.read_file(tmp_path, second))


def test_a_name_of_any_bytes_is_read_and_shown(tmp_path: Path) -> None:
    """The file is opened by its own name; its path, as it is shown, is plain text."""
    put(tmp_path, f"logs/{RUN}/a/f.jsonl", b"one\n")
    name = os.fsdecode(b"\xff\x1b.jsonl")
    (tmp_path / "logs" / RUN / "a" / name).write_bytes(b"odd\n")

    found = dict(texts(RunFiles(tmp_path, RUN)))

    assert {f"logs/{RUN}/a/f.jsonl": b"one\n", rf"logs/{RUN}/a/\xff\x1b.jsonl": b"odd\n"} == found


class Counted:
    """Counts the bytes that are read of a volumes folder's files."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.bytes = 0
        counted = self

        class Counting(FileIO):
            def read(self, size: int | None = -1, /) -> bytes:
                piece = super().read(size)
                counted.bytes += len(piece)
                return piece

        monkeypatch.setattr(scan, "open", lambda file, *_, **__: Counting(file), raising=False)

    def taken(self) -> int:
        """Return how many since the last time."""
        taken, self.bytes = self.bytes, 0
        return taken


def test_of_a_sparse_file_nothing_behind_the_hole_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of gigabytes that takes no disk is damage at once, costs nothing to read, and hides no other file."""
    counted = Counted(monkeypatch)
    sparse = put(tmp_path, f"logs/{RUN}/a/f.jsonl", b"one\ntwo")
    os.truncate(sparse, 2**40)
    put(tmp_path, f"logs/{RUN}/b/f.jsonl", b"other\n")
    files = RunFiles(tmp_path, RUN)
    lines = [line for _, line in texts(files)]

    assert [b"one\n", b"other\n"] == [line for line in lines if line.endswith(b"\n")]
    (damaged,) = [line for line in lines if not line.endswith(b"\n")]
    assert b"two" == damaged.rstrip(b"\0")
    assert 100_000 > counted.taken()
    assert [] == list(files.tails())

    os.truncate(sparse, 2**41)

    assert [] == texts(files)
    assert 0 == counted.taken()

    os.truncate(sparse, 4)
    with pytest.raises(FileRewritten):
        texts(files)


def test_a_short_hole_is_read_as_zeros(tmp_path: Path) -> None:
    """A power cut may leave zeros at the end of a file; what follows them counts."""
    file = put(tmp_path, f"logs/{RUN}/a/f.jsonl", b"one\n")
    os.truncate(file, 1024 * 1024)
    with file.open("ab") as appending:
        appending.write(b"\ntwo\n")

    assert [b"one\n", bytes(1024 * 1024 - 4) + b"\n", b"two\n"] == [line for _, line in texts(RunFiles(tmp_path, RUN))]


def test_a_long_tail_that_grows_is_not_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each poll reads only the added bytes; the line is complete when its newline arrives."""
    counted, size = Counted(monkeypatch), 4 * scan.LONG_TAIL
    file = put(tmp_path, f"logs/{RUN}/a/f.jsonl", b"one\n" + b"x" * size)
    files = RunFiles(tmp_path, RUN)
    texts(files)
    counted.taken()
    with file.open("ab", buffering=0) as appending:
        for _ in range(10):
            appending.write(b"y")
            assert [] == texts(files)
        assert 10 * (scan.SAMPLE + 1) >= counted.taken()
        assert [size + 10] == [tail.size for tail in files.tails()]
        appending.write(b"\ntwo\n")

    assert [b"x" * size + b"y" * 10 + b"\n", b"two\n"] == [line for _, line in texts(files)]


def test_a_long_tail_that_was_replaced_is_read_again(tmp_path: Path) -> None:
    """A line that was cut off and replaced by longer ones is detected, and all new lines are yielded."""
    file = put(tmp_path, f"logs/{RUN}/a/f.jsonl", b"one\n" + b"x" * 2 * scan.LONG_TAIL)
    files = RunFiles(tmp_path, RUN)
    texts(files)
    second = b"y" * scan.LONG_TAIL + b"\n"
    file.write_bytes(b"one\n" + second + b"z" * 2 * scan.LONG_TAIL)

    assert [second] == [line for _, line in texts(files)]


@pytest.mark.parametrize("linked", [f"logs/{RUN}", f"logs/{RUN}/a", f"ledger/{RUN}"])
def test_a_folder_that_is_a_link_is_not_followed(tmp_path: Path, linked: str) -> None:
    """Files in other folders are not part of the run, even if links lead there."""
    put(tmp_path, "elsewhere/a/f.jsonl", b"one\n")
    put(tmp_path, "elsewhere/f.jsonl", b"one\n")
    for side in ("logs", "ledger"):
        (tmp_path / side).mkdir()
    (tmp_path / linked).parent.mkdir(exist_ok=True)
    (tmp_path / linked).symlink_to(tmp_path / "elsewhere")

    assert [] == texts(RunFiles(tmp_path, RUN))
    assert [] == scan.ledger_sources(tmp_path, RUN) + scan.log_sources(tmp_path, RUN, "a") or "logs" in linked


def test_a_clients_folder_that_is_closed_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that cannot be listed is among the tails, with the reason; the other clients are read."""
    put(tmp_path, f"logs/{RUN}/a/f.jsonl", b"one\n")
    put(tmp_path, f"logs/{RUN}/b/f.jsonl", b"two\n")
    listed = scan._regular

    def refuse(folder: Path) -> list[tuple[str, int]]:
        if folder.name == "a":
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        return listed(folder)

    monkeypatch.setattr(scan, "_regular", refuse)
    files = RunFiles(tmp_path, RUN)

    assert [b"two\n"] == [line for _, line in texts(files)]
    assert [(f"logs/{RUN}/a/", "Permission denied")] == [(tail.source.path, tail.refused) for tail in files.tails()]


def test_a_run_that_cannot_be_listed_hides_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder among the logs that cannot be read is no run."""
    put(tmp_path, f"logs/{RUN}/a/f.jsonl", b"one\n")
    (tmp_path / "logs" / "99991231T235959Z").mkdir()
    listed = scan._folders

    def refuse(folder: Path) -> list[str]:
        if folder.name.startswith("9999"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(folder))
        return listed(folder)

    monkeypatch.setattr(scan, "_folders", refuse)

    assert [RUN] == find_runs(tmp_path)


def test_a_run_that_no_ledger_knows_is_not_the_newest(tmp_path: Path) -> None:
    """A folder of logs with the name of a later run does not take the place of a run with a ledger."""
    write(good_run(), tmp_path)
    later = "99991231T235959Z"
    (tmp_path / "logs" / later / "client-1").mkdir(parents=True)
    (tmp_path / "ledger" / "99991231T235958Z").mkdir()
    runs = find_runs(tmp_path)

    assert later == runs[-1]
    assert RUN == newest_run(tmp_path, runs, has_server=True)
    assert later == newest_run(tmp_path, runs, has_server=False)
    assert newest_run(tmp_path, [later], has_server=True) is None
