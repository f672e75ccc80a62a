"""Tests of append-only files, of atomic replacement, and of folders that survive a power cut."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from services.runtime import durable_file
from services.runtime.durable_file import LineFile, make_folder, replace

FullDisk = Callable[[int], AbstractContextManager[None]]


@pytest.fixture
def file(tmp_path: Path) -> Iterator[LineFile]:
    """Return a new file that is closed after the test."""
    made = LineFile(tmp_path / "0001-0001.jsonl")
    yield made
    made.close()


def refuse(number: int) -> Callable[..., None]:
    """Return a system call that fails with this error."""

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_a_file_is_created_once(file: LineFile) -> None:
    """A second process that creates the same file gets an error and changes nothing."""
    file.append(b"mine\n")
    with pytest.raises(FileExistsError):
        LineFile(file.path)

    assert file.path.read_bytes() == b"mine\n"


def test_data_is_written_again_in_place(file: LineFile) -> None:
    """Data that is written again keeps its offset, and the next line is appended at the end."""
    for line in (b"one\n", b"two\n", b"three\n"):
        file.append(line)
    file.write_again(b"two\n", 4)
    file.append(b"four\n")

    assert file.path.read_bytes() == b"one\ntwo\nthree\nfour\n"
    assert file.size == 19


def test_a_short_repeated_write_is_completed(file: LineFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short write at an offset is continued until the whole line is written again."""
    file.append(b"one\na line longer than that\n")
    pwrite = os.pwrite
    monkeypatch.setattr(os, "pwrite", lambda fd, data, at: pwrite(fd, bytes(data)[:3], at))
    file.write_again(b"A LINE LONGER THAN THAT\n", 4)

    assert file.path.read_bytes() == b"one\nA LINE LONGER THAN THAT\n"


def test_a_cut_is_synced(file: LineFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """The removed bytes of a cut do not come back after a power cut: the shorter length is synced."""
    file.append(b"good\nbad\n")
    sizes: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda fd: sizes.append(os.fstat(fd).st_size))
    file.cut_back(5)

    assert [5] == sizes


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """A link in the place of the file is not followed, even if its target does not exist."""
    trap = tmp_path / "0001-0001.jsonl"
    trap.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(FileExistsError):
        LineFile(trap)
    assert not (tmp_path / "elsewhere").exists()


def test_the_name_is_forced_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Creating a file syncs its folder, so that the name survives a power cut."""
    synced: list[Path] = []
    monkeypatch.setattr(durable_file, "sync_folder", synced.append)
    LineFile(tmp_path / "new").close()

    assert [tmp_path] == synced


def test_group_may_write(tmp_path: Path) -> None:
    """A file is writable for its group, to which the host's user belongs, as far as the mask allows."""
    mask = os.umask(0o002)
    try:
        LineFile(tmp_path / "new").close()
    finally:
        os.umask(mask)
    expected = 0o664

    assert expected == stat.S_IMODE((tmp_path / "new").stat().st_mode)


def test_lines_are_appended(file: LineFile) -> None:
    """Lines are in the file in the order of their appends, and the size counts them."""
    file.append(b"one\n")
    file.append(b"two\n")
    file.sync()

    assert file.path.read_bytes() == b"one\ntwo\n"
    assert len(b"one\ntwo\n") == file.size


def test_a_short_write_is_completed(file: LineFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """A short write is continued until the whole line is written."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, bytes(data)[:3]))
    file.append(b"a line longer than that\n")

    assert file.path.read_bytes() == b"a line longer than that\n"


def test_a_failed_write_leaves_no_part(file: LineFile, full_disk: FullDisk) -> None:
    """If the disk fills up in the middle of a line, the file is truncated to the line before."""
    file.append(b"good\n")
    with full_disk(8), pytest.raises(OSError, match="too large"):
        file.append(b"this one does not fit\n")

    assert file.path.read_bytes() == b"good\n"
    assert len(b"good\n") == file.size


def test_appends_continue_when_space_returns(file: LineFile, full_disk: FullDisk) -> None:
    """After a failed write the next line directly follows the last complete one."""
    file.append(b"good\n")
    with full_disk(8), pytest.raises(OSError, match="too large"):
        file.append(b"this one does not fit\n")
    file.append(b"better\n")

    assert file.path.read_bytes() == b"good\nbetter\n"


def test_a_write_that_wrote_nothing_needs_no_truncation(
    file: LineFile, full_disk: FullDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write that fails at its first byte does not truncate the file."""
    file.append(b"good\n")
    monkeypatch.setattr(os, "ftruncate", refuse(errno.EIO))
    with full_disk(5), pytest.raises(OSError, match="too large"):
        file.append(b"refused\n")

    assert file.path.read_bytes() == b"good\n"


def test_a_failed_truncation_can_be_repeated(
    file: LineFile, full_disk: FullDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the truncation fails too, its error is raised and the valid size is kept for the next attempt."""
    file.append(b"good\n")
    with monkeypatch.context() as broken:
        broken.setattr(os, "ftruncate", refuse(errno.EIO))
        with full_disk(8), pytest.raises(OSError, match=os.strerror(errno.EIO)):
            file.append(b"this one does not fit\n")
    left = file.path.read_bytes()
    file.cut_back(file.size)

    assert left == b"good\nthi"
    assert file.path.read_bytes() == b"good\n"


def test_a_failed_sync_raises(file: LineFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed sync raises an error, since the caller has to write the data again."""
    monkeypatch.setattr(os, "fdatasync", refuse(errno.EIO))

    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        file.sync()


@pytest.mark.parametrize(
    ("full_sync", "error", "expected"),
    [
        (None, None, ["fsync"]),
        (51, None, ["full"]),
        (51, errno.ENOTSUP, ["full", "fsync"]),
        (51, errno.EIO, ["full", "raised"]),
    ],
    ids=["no full sync", "full sync", "a file system without it", "a disk error"],
)
def test_systems_without_fdatasync(
    file: LineFile, monkeypatch: pytest.MonkeyPatch, full_sync: int | None, error: int | None, expected: list[str]
) -> None:
    """Without fdatasync, as on macOS, the drive's cache is flushed, or the file is synced as well as it can be."""
    called: list[str] = []

    def flush(_descriptor: int, command: int) -> None:
        called.append("full" if command == full_sync else str(command))
        if error is not None:
            raise OSError(error, os.strerror(error))

    monkeypatch.delattr(os, "fdatasync")
    monkeypatch.setattr(os, "fsync", lambda _: called.append("fsync"))
    monkeypatch.setattr("services.runtime.durable_file.fcntl.fcntl", flush)
    if full_sync is not None:
        monkeypatch.setattr("services.runtime.durable_file.fcntl.F_FULLFSYNC", full_sync, raising=False)

    try:
        file.sync()
    except OSError:
        called.append("raised")

    assert expected == called


def test_touch_shows_life(file: LineFile) -> None:
    """Touching a file updates its modification time without writing to it."""
    os.utime(file.path, (1, 1))
    file.touch()

    assert file.path.stat().st_mtime > 1
    assert file.path.stat().st_size == 0


def test_closes_twice(file: LineFile) -> None:
    """Closing a file twice does not close another file that has got the same descriptor since."""
    file.close()
    other = os.open(os.devnull, os.O_RDONLY)
    file.close()

    assert not file.is_open
    os.close(other)


def test_replace_shows_old_or_new(tmp_path: Path) -> None:
    """A reader that has the old file open reads it to its end; a later reader gets the new file."""
    path = tmp_path / "summary.json"
    replace(path, b"the old summary\n")
    with path.open("rb") as old:
        replace(path, b"new\n")
        read = old.read()

    assert read == b"the old summary\n"
    assert path.read_bytes() == b"new\n"
    assert [path] == list(tmp_path.iterdir())


def test_a_failed_replace_keeps_the_old(tmp_path: Path, full_disk: FullDisk) -> None:
    """If the disk is full, the old file stays complete, and the next attempt succeeds."""
    path = tmp_path / "summary.json"
    replace(path, b"the old summary\n")
    with full_disk(4), pytest.raises(OSError, match="too large"):
        replace(path, b"the new summary\n")
    kept = path.read_bytes()
    replace(path, b"the new summary\n")

    assert kept == b"the old summary\n"
    assert path.read_bytes() == b"the new summary\n"


def test_replace_forces_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The content is synced before the rename and the folder after it."""
    seen: list[tuple[str, int]] = []
    path = tmp_path / "summary.json"
    fsync = os.fsync

    def watch(fd: int) -> None:
        found = os.fstat(fd)
        seen.append(("folder", len(os.listdir(fd))) if stat.S_ISDIR(found.st_mode) else ("file", found.st_size))
        assert path.exists() == stat.S_ISDIR(found.st_mode)
        fsync(fd)

    monkeypatch.setattr(os, "fsync", watch)
    replace(path, b"new\n")

    assert seen == [("file", len(b"new\n")), ("folder", 1)]


def test_nothing_stays_open(tmp_path: Path) -> None:
    """No operation leaves a descriptor open."""
    before = os.listdir("/proc/self/fd")
    make_folder(tmp_path / "a" / "b")
    replace(tmp_path / "a" / "file", b"")
    LineFile(tmp_path / "a" / "b" / "file").close()

    assert before == os.listdir("/proc/self/fd")


def test_make_folder_forces_every_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each created folder is synced into its parent, from the top down."""
    synced: list[Path] = []
    monkeypatch.setattr(durable_file, "sync_folder", synced.append)
    run = tmp_path / "20261122T073000Z"
    make_folder(run / "client-1")
    make_folder(run / "client-1")
    make_folder(run / "client-2")

    assert (run / "client-1").is_dir()
    assert [tmp_path, run, run] == synced


def test_make_folder_refuses_a_file(tmp_path: Path) -> None:
    """A file in the place of the folder is an error."""
    (tmp_path / "logs").touch()

    with pytest.raises(FileExistsError):
        make_folder(tmp_path / "logs")
