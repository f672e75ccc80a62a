"""Tests of durable files: claimed, appended to, cut back, replaced."""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Barrier

import pytest

from services.runtime import durable_file as files
from services.runtime.durable_file import LineFile, make_folder, probe, replace
from services.runtime.errors import UnwritableFolder

FullDisk = Callable[[int], AbstractContextManager[None]]
Privileges = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def file(tmp_path: Path) -> Iterator[LineFile]:
    """Return a new file, closed in the end."""
    made = LineFile(tmp_path / "0001-0001.jsonl")
    yield made
    made.close()


def refuse(number: int) -> Callable[..., None]:
    """Return a system call that fails with this error."""

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_claims_its_name(file: LineFile) -> None:
    """A name is claimed by one process: who comes second is told so and changes nothing."""
    file.append(b"mine\n")
    with pytest.raises(FileExistsError):
        LineFile(file.path)

    assert file.path.read_bytes() == b"mine\n"


def test_writes_again_in_place(file: LineFile) -> None:
    """What is written again stands where it stood, and the next line comes after the last one."""
    for line in (b"one\n", b"two\n", b"three\n"):
        file.append(line)
    file.write_again(b"two\n", 4)
    file.append(b"four\n")

    assert file.path.read_bytes() == b"one\ntwo\nthree\nfour\n"
    assert file.size == 19


def test_claims_no_link(tmp_path: Path) -> None:
    """A link that lies where the file should be is not followed, even when it leads nowhere yet."""
    trap = tmp_path / "0001-0001.jsonl"
    trap.symlink_to(tmp_path / "elsewhere")

    with pytest.raises(FileExistsError):
        LineFile(trap)
    assert not (tmp_path / "elsewhere").exists()


def test_name_is_forced_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new file's name is synced, so that it survives a power cut."""
    synced: list[Path] = []
    monkeypatch.setattr(files, "sync_folder", synced.append)
    LineFile(tmp_path / "new").close()

    assert [tmp_path] == synced


def test_group_may_write(tmp_path: Path) -> None:
    """A file is open to its group, in which the host's user is, as far as the mask allows."""
    mask = os.umask(0o002)
    try:
        LineFile(tmp_path / "new").close()
    finally:
        os.umask(mask)
    expected = 0o664

    assert expected == stat.S_IMODE((tmp_path / "new").stat().st_mode)


def test_appends(file: LineFile) -> None:
    """Lines stand in the file in the order in which they were appended, and its size is known."""
    file.append(b"one\n")
    file.append(b"two\n")
    file.sync()

    assert file.path.read_bytes() == b"one\ntwo\n"
    assert len(b"one\ntwo\n") == file.size


def test_a_short_write_is_completed(file: LineFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that takes only a part of a line is followed by the rest."""
    write = os.write
    monkeypatch.setattr(os, "write", lambda fd, data: write(fd, bytes(data)[:3]))
    file.append(b"a line longer than that\n")

    assert file.path.read_bytes() == b"a line longer than that\n"


def test_a_failed_write_leaves_no_part(file: LineFile, full_disk: FullDisk) -> None:
    """When the disk is full in the middle of a line, the file ends with the line before."""
    file.append(b"good\n")
    with full_disk(8), pytest.raises(OSError, match="too large"):
        file.append(b"this one does not fit\n")

    assert file.path.read_bytes() == b"good\n"
    assert len(b"good\n") == file.size


def test_goes_on_when_space_returns(file: LineFile, full_disk: FullDisk) -> None:
    """After a failed write the next line stands right after the last good one."""
    file.append(b"good\n")
    with full_disk(8), pytest.raises(OSError, match="too large"):
        file.append(b"this one does not fit\n")
    file.append(b"better\n")

    assert file.path.read_bytes() == b"good\nbetter\n"


def test_nothing_written_needs_no_cut(file: LineFile, full_disk: FullDisk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write that was refused from its first byte on leaves nothing to cut back."""
    file.append(b"good\n")
    monkeypatch.setattr(os, "ftruncate", refuse(errno.EIO))
    with full_disk(5), pytest.raises(OSError, match="too large"):
        file.append(b"refused\n")

    assert file.path.read_bytes() == b"good\n"


def test_a_failed_cut_is_told_and_can_be_repeated(
    file: LineFile, full_disk: FullDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When not even the cut succeeds the error says so, and the good size is kept for the next try."""
    file.append(b"good\n")
    with monkeypatch.context() as broken:
        broken.setattr(os, "ftruncate", refuse(errno.EIO))
        with full_disk(8), pytest.raises(OSError, match=os.strerror(errno.EIO)):
            file.append(b"this one does not fit\n")
    left = file.path.read_bytes()
    file.cut_back(file.size)

    assert left == b"good\nthi"
    assert file.path.read_bytes() == b"good\n"


def test_a_failed_sync_is_told(file: LineFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that does not confirm raises: whoever appended must write it again."""
    monkeypatch.setattr(os, "fdatasync", refuse(errno.EIO))

    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        file.sync()


def test_touch_shows_life(file: LineFile) -> None:
    """A touched file is as old as its last touch, though nothing was written to it."""
    os.utime(file.path, (1, 1))
    file.touch()

    assert file.path.stat().st_mtime > 1
    assert file.path.stat().st_size == 0


def test_closes_twice(file: LineFile) -> None:
    """Closing a closed file does nothing, least of all to whoever got its descriptor since."""
    file.close()
    other = os.open(os.devnull, os.O_RDONLY)
    file.close()

    assert not file.is_open
    os.close(other)


def test_replace_shows_old_or_new(tmp_path: Path) -> None:
    """Who has the old file open reads it to its end; who opens it afterwards reads the new one."""
    path = tmp_path / "summary.json"
    replace(path, b"the old summary\n")
    with path.open("rb") as old:
        replace(path, b"new\n")
        read = old.read()

    assert read == b"the old summary\n"
    assert path.read_bytes() == b"new\n"
    assert [path] == list(tmp_path.iterdir())


def test_a_failed_replace_keeps_the_old(tmp_path: Path, full_disk: FullDisk) -> None:
    """When the disk is full the old file stays, whole, and the next try succeeds."""
    path = tmp_path / "summary.json"
    replace(path, b"the old summary\n")
    with full_disk(4), pytest.raises(OSError, match="too large"):
        replace(path, b"the new summary\n")
    kept = path.read_bytes()
    replace(path, b"the new summary\n")

    assert kept == b"the old summary\n"
    assert path.read_bytes() == b"the new summary\n"


def test_replace_forces_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The content is on the disk before the name is given to it, and then the name."""
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
    """Whatever is done with files, no descriptor is left behind."""
    before = os.listdir("/proc/self/fd")
    make_folder(tmp_path / "a" / "b")
    probe(tmp_path / "a")
    replace(tmp_path / "a" / "file", b"")
    LineFile(tmp_path / "a" / "b" / "file").close()

    assert before == os.listdir("/proc/self/fd")


def test_make_folder_forces_every_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every folder that had to be made has its name forced to disk, from the top down."""
    synced: list[Path] = []
    monkeypatch.setattr(files, "sync_folder", synced.append)
    run = tmp_path / "20261122T073000Z"
    make_folder(run / "client-1")
    make_folder(run / "client-1")
    make_folder(run / "client-2")

    assert (run / "client-1").is_dir()
    assert [tmp_path, run, run] == synced


def test_make_folder_refuses_a_file(tmp_path: Path) -> None:
    """A file that stands where the folder should be is an error, not a folder."""
    (tmp_path / "logs").touch()

    with pytest.raises(FileExistsError):
        make_folder(tmp_path / "logs")


def test_probe_leaves_nothing(tmp_path: Path) -> None:
    """A folder that accepts is made if need be, and is as empty afterwards as before."""
    probe(tmp_path / "volumes" / "logs")

    assert not list((tmp_path / "volumes" / "logs").iterdir())


def test_probes_do_not_meet(tmp_path: Path) -> None:
    """Many containers, each with the same process number, probe one folder at one time."""
    together = Barrier(8)

    def repeatedly(_: int) -> None:
        together.wait()
        for _ in range(10):
            probe(tmp_path)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(repeatedly, range(8)))

    assert not list(tmp_path.iterdir())


def test_probe_explains_a_closed_folder(open_folder: Path, without_privileges: Privileges) -> None:
    """A folder that refuses is explained on one line: who asked, who owns it, its mode, and the cure."""
    logs = open_folder / "logs"
    logs.mkdir()
    logs.chmod(0o555)
    with without_privileges(), pytest.raises(UnwritableFolder) as caught:
        probe(logs)
    uid = 65534 if os.geteuid() == 0 else os.geteuid()

    expected = (
        f"cannot write to {logs}: permission denied as uid {uid} "
        f"({logs} is owned by uid {os.geteuid()}, mode 555); "
        f"fix: sudo chown -R {uid} {logs} && sudo chmod u+rwx {logs}"
    )
    assert expected == str(caught.value)


@pytest.mark.parametrize("mode", [0o000, 0o555])
def test_probe_explains_a_closed_parent(open_folder: Path, without_privileges: Privileges, mode: int) -> None:
    """A folder that cannot be made, or not even looked for, is explained by the nearest that can be seen."""
    closed = open_folder / "closed"
    closed.mkdir()
    closed.chmod(mode)
    with without_privileges(), pytest.raises(UnwritableFolder) as caught:
        probe(closed / "volumes" / "logs")
    closed.chmod(0o755)

    assert f"({closed} is owned by uid {os.geteuid()}, mode {mode:03o})" in str(caught.value)


def test_probe_never_hands_over_what_is_above(open_folder: Path, without_privileges: Privileges) -> None:
    """For a folder that is missing the cure makes that folder; it changes nothing of those above but a way in."""
    closed = open_folder / "closed"
    closed.mkdir()
    closed.chmod(0o000)
    with without_privileges(), pytest.raises(UnwritableFolder) as caught:
        probe(closed / "logs")
    closed.chmod(0o755)
    uid = 65534 if os.geteuid() == 0 else os.geteuid()

    assert str(caught.value).endswith(f"; fix: sudo chmod a+x {closed} && sudo install -d -o {uid} {closed / 'logs'}")


def test_probe_explains_a_tmpfs(
    open_folder: Path, without_privileges: Privileges, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tmpfs is not handed over by a command: it is mounted for its user."""
    monkeypatch.setattr(files, "_file_system", lambda _: "tmpfs")
    open_folder.chmod(0o555)
    with without_privileges(), pytest.raises(UnwritableFolder, match=r"tmpfs with uid=[0-9]+,mode=755$"):
        probe(open_folder)
    open_folder.chmod(0o755)


def test_probe_explains_a_read_only_mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mount that is read-only has one cure, and space is none."""
    monkeypatch.setattr(os, "fsync", refuse(errno.EROFS))
    with pytest.raises(UnwritableFolder, match="fix: mount the folder for writing: without ro"):
        probe(tmp_path)


def test_a_mount_tells_its_type() -> None:
    """The type of a file system is known at the very place where it is mounted, and only there."""
    assert "proc" == files._file_system(Path("/proc"))
    assert "" == files._file_system(Path("/proc/self"))


@pytest.mark.parametrize("below", ["", "logs"])
def test_probe_explains_a_file_in_the_way(tmp_path: Path, below: str) -> None:
    """A file that stands where the folder, or a folder above it, should be is named as that."""
    (tmp_path / "volumes").touch()

    with pytest.raises(UnwritableFolder, match="a file stands where the folder should be; move it away"):
        probe(tmp_path / "volumes" / below)


def test_probe_explains_a_full_disk(tmp_path: Path, full_disk: FullDisk) -> None:
    """A disk that is full is told by its own words, and nothing of the trial stays behind."""
    with full_disk(0), pytest.raises(UnwritableFolder, match="fix: make space, or mount the folder for writing"):
        probe(tmp_path)

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.EACCES, errno.EIO, errno.EDQUOT])
def test_probe_says_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Whatever the file system says, the operator reads one line with a cure in it."""
    monkeypatch.setattr(os, "fsync", refuse(number))
    with pytest.raises(UnwritableFolder) as caught:
        probe(tmp_path)

    assert re.fullmatch(
        r"cannot write to .+: .+ as uid \d+ \(.+ is owned by uid \d+, mode \d+\); fix: .+", str(caught.value)
    )
    assert os.strerror(number).lower() in str(caught.value)


def test_old_runs_are_forgotten(tmp_path: Path) -> None:
    """Runs beyond the newest ones go, but not one that was written to a moment ago; 0 keeps all."""
    names = ["20261122T073000Z", "20261122T073000Z-2", "20261122T073000Z-10", "20261122T073200Z"]
    for name in names:
        (tmp_path / name / "client-1").mkdir(parents=True)
    for name in names[2:]:
        (tmp_path / name / "client-1" / "0001-0001.jsonl").touch()
    written = tmp_path / names[0] / "client-1" / "0001-0001.jsonl"
    written.touch()
    now_s = written.stat().st_mtime
    files.forget_old_runs(tmp_path, 0, now_s)

    assert set(names) == {path.name for path in tmp_path.iterdir()}

    files.forget_old_runs(tmp_path, 2, now_s + 1)

    assert {names[0], *names[2:]} == {path.name for path in tmp_path.iterdir()}

    files.forget_old_runs(tmp_path, 2, now_s + files.SETTLED_SECONDS + 1)

    assert set(names[2:]) == {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize(
    "name", ["my-backup", "notes", "20261122T073000Z-old", "20261122T073000Z-", "99991231T235959Z", b"\xff-run"]
)
def test_only_runs_are_forgotten(tmp_path: Path, name: str | bytes) -> None:
    """A folder that is named as no run of ours neither takes a run's place nor is removed, whatever it holds."""
    run, odd = "20261122T073000Z", os.fsdecode(name)
    for folder in (run, odd):
        (tmp_path / folder / "client-1").mkdir(parents=True)
        (tmp_path / folder / "client-1" / "0001-0001.jsonl").touch()
    files.forget_old_runs(tmp_path, 1, time.time() + 100)

    assert {run, odd} == {path.name for path in tmp_path.iterdir()}


def test_an_empty_folder_takes_no_runs_place(tmp_path: Path) -> None:
    """A folder without a log counts for nothing, a link to a log does not make it count, and no link is followed."""
    run, empty, linked = "20261122T073000Z", "20261122T073001Z", "20261122T073002Z"
    log = tmp_path / run / "client-1" / "0001-0001.jsonl"
    log.parent.mkdir(parents=True)
    log.touch()
    (tmp_path / empty).mkdir()
    (tmp_path / empty / "0001-0001.jsonl").symlink_to(log)
    (tmp_path / empty / "gone.jsonl").symlink_to(tmp_path / "nowhere")
    (tmp_path / linked).symlink_to(tmp_path / run)
    files.forget_old_runs(tmp_path, 1, time.time() + 100)

    assert log.exists()
    assert {run, empty, linked} == {path.name for path in tmp_path.iterdir()}
    assert {run, empty} == set(files.run_folders(tmp_path))
    assert [] == files.run_folders(tmp_path / "nowhere")
