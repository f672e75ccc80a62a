"""Tests of the volumes' folders: whether they can be written to, how runs are named and claimed, which are removed."""

from __future__ import annotations

import asyncio
import errno
import os
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from itertools import islice
from pathlib import Path
from threading import Barrier

import pytest

from services.runtime import volumes
from services.runtime.errors import UnwritableFolder
from services.runtime.volumes import check_writable

FullDisk = Callable[[int], AbstractContextManager[None]]
Privileges = Callable[[], AbstractContextManager[None]]

OPENED_US = 1_795_332_600_000_000
"""2026-11-22T07:30:00Z."""


def refuse(number: int) -> Callable[..., None]:
    """Return a system call that fails with this error."""

    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def test_the_check_leaves_nothing(tmp_path: Path) -> None:
    """The check creates a missing folder and leaves no file in it."""
    check_writable(tmp_path / "volumes" / "logs")

    assert not list((tmp_path / "volumes" / "logs").iterdir())


def test_checks_do_not_collide(tmp_path: Path) -> None:
    """Many processes with the same process number can check one folder at the same time."""
    together = Barrier(8)

    def repeatedly(_: int) -> None:
        together.wait()
        for _ in range(10):
            check_writable(tmp_path)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(repeatedly, range(8)))

    assert not list(tmp_path.iterdir())


def test_the_error_explains_a_closed_folder(open_folder: Path, without_privileges: Privileges) -> None:
    """The error about a folder without write permission has uid, owner, mode and the command that repairs it."""
    logs = open_folder / "logs"
    logs.mkdir()
    logs.chmod(0o555)
    with without_privileges(), pytest.raises(UnwritableFolder) as caught:
        check_writable(logs)
    uid = 65534 if os.geteuid() == 0 else os.geteuid()

    expected = (
        f"cannot write to {logs}: permission denied as uid {uid} "
        f"({logs} is owned by uid {os.geteuid()}, mode 555); "
        f"fix: sudo chown -R {uid} {logs} && sudo chmod u+rwx {logs}"
    )
    assert expected == str(caught.value)


@pytest.mark.parametrize("mode", [0o000, 0o555])
def test_the_error_explains_a_closed_parent(open_folder: Path, without_privileges: Privileges, mode: int) -> None:
    """The error about a folder that cannot be created describes the nearest parent that exists."""
    closed = open_folder / "closed"
    closed.mkdir()
    closed.chmod(mode)
    with without_privileges(), pytest.raises(UnwritableFolder) as caught:
        check_writable(closed / "volumes" / "logs")
    closed.chmod(0o755)

    assert f"({closed} is owned by uid {os.geteuid()}, mode {mode:03o})" in str(caught.value)


def test_the_advice_never_changes_the_owner_of_a_parent(open_folder: Path, without_privileges: Privileges) -> None:
    """The command for a missing folder creates it and changes its parents only so far that this user may enter."""
    closed = open_folder / "closed"
    closed.mkdir()
    closed.chmod(0o000)
    with without_privileges(), pytest.raises(UnwritableFolder) as caught:
        check_writable(closed / "logs")
    closed.chmod(0o755)
    uid = 65534 if os.geteuid() == 0 else os.geteuid()

    assert str(caught.value).endswith(f"; fix: sudo chmod a+x {closed} && sudo install -d -o {uid} {closed / 'logs'}")


def test_the_error_explains_a_tmpfs(
    open_folder: Path, without_privileges: Privileges, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The advice for a tmpfs is a mount option, because a change of owner is lost with the next mount."""
    monkeypatch.setattr(volumes, "_file_system", lambda _: "tmpfs")
    open_folder.chmod(0o555)
    with without_privileges(), pytest.raises(UnwritableFolder, match=r"tmpfs with uid=[0-9]+,mode=755$"):
        check_writable(open_folder)
    open_folder.chmod(0o755)


def test_the_error_explains_a_read_only_mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The advice for a read-only mount is to mount it for writing, not to make space."""
    monkeypatch.setattr(os, "fsync", refuse(errno.EROFS))
    with pytest.raises(UnwritableFolder, match="fix: mount the folder for writing: without ro"):
        check_writable(tmp_path)


def test_file_system_of_a_mount_point() -> None:
    """The type of a file system is known at its mount point only."""
    assert "proc" == volumes._file_system(Path("/proc"))
    assert "" == volumes._file_system(Path("/proc/self"))


@pytest.mark.parametrize("below", ["", "logs"])
def test_the_error_explains_a_file_in_the_way(tmp_path: Path, below: str) -> None:
    """A file in the place of the folder or of a parent is reported as such."""
    (tmp_path / "volumes").touch()

    with pytest.raises(UnwritableFolder, match="a file is in the place of the folder; move it away"):
        check_writable(tmp_path / "volumes" / below)


def test_the_error_explains_a_full_disk(tmp_path: Path, full_disk: FullDisk) -> None:
    """A full disk is reported, and the check leaves no file behind."""
    with full_disk(0), pytest.raises(UnwritableFolder, match="fix: make space, or mount the folder for writing"):
        check_writable(tmp_path)

    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [errno.EROFS, errno.ENOSPC, errno.EACCES, errno.EIO, errno.EDQUOT])
def test_every_error_is_one_line_with_advice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Every error of the file system becomes one line that includes advice."""
    monkeypatch.setattr(os, "fsync", refuse(number))
    with pytest.raises(UnwritableFolder) as caught:
        check_writable(tmp_path)

    assert re.fullmatch(
        r"cannot write to .+: .+ as uid \d+ \(.+ is owned by uid \d+, mode \d+\); fix: .+", str(caught.value)
    )
    assert os.strerror(number).lower() in str(caught.value)


async def until(condition: Callable[[], bool]) -> None:
    """Run other tasks until a condition holds, for at most ten seconds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - the condition has no event of its own
            await asyncio.sleep(0.01)


def set_age(run: Path, seconds: float) -> None:
    """Make all folders of a run as old as this."""
    for folder in (run, *run.rglob("*")):
        os.utime(folder, (time.time() - seconds,) * 2)


def test_old_runs_are_removed(tmp_path: Path) -> None:
    """Runs older than the newest ones are removed, except one written to seconds ago; 0 keeps all."""
    names = ["20261122T073000Z", "20261122T073000Z-2", "20261122T073000Z-10", "20261122T073200Z"]
    for name in names:
        (tmp_path / name / "client-1").mkdir(parents=True)
    set_age(tmp_path / names[1], 60)
    for name in names[2:]:
        (tmp_path / name / "client-1" / "0001-0001.jsonl").touch()
    written = tmp_path / names[0] / "client-1" / "0001-0001.jsonl"
    written.touch()
    now_s = written.stat().st_mtime
    volumes.remove_old_runs(tmp_path, 0, now_s)

    assert set(names) == {path.name for path in tmp_path.iterdir()}

    volumes.remove_old_runs(tmp_path, 2, now_s + 1)

    assert {names[0], *names[2:]} == {path.name for path in tmp_path.iterdir()}

    volumes.remove_old_runs(tmp_path, 2, now_s + volumes.SETTLED_SECONDS + 1)

    assert set(names[2:]) == {path.name for path in tmp_path.iterdir()}


def test_a_fresh_folder_without_a_log_is_kept(tmp_path: Path) -> None:
    """A client that starts late in an old run, and has made its folder but not its log, does not lose the folder."""
    late, newer = "20261122T073000Z", "20261122T073200Z"
    (tmp_path / newer / "client-1").mkdir(parents=True)
    (tmp_path / newer / "client-1" / "0001-0001.jsonl").touch()
    (tmp_path / late).mkdir()
    set_age(tmp_path / late, 60)
    (tmp_path / late / "client-2").mkdir()
    now_s = (tmp_path / late / "client-2").stat().st_mtime
    volumes.remove_old_runs(tmp_path, 1, now_s + volumes.SETTLED_SECONDS)

    assert (tmp_path / late / "client-2").is_dir()

    volumes.remove_old_runs(tmp_path, 1, now_s + volumes.SETTLED_SECONDS + 1)

    assert [newer] == [path.name for path in tmp_path.iterdir()]


async def test_old_runs_are_removed_regularly(tmp_path: Path) -> None:
    """A run that becomes old while a service runs is removed; without a limit nothing is done."""
    names = ["20261122T073000Z", "20261122T073200Z"]
    await volumes.remove_old_runs_regularly(tmp_path, 0, 0.01)
    removing = asyncio.create_task(volumes.remove_old_runs_regularly(tmp_path, 1, 0.01))
    for name in names:
        await asyncio.sleep(0.02)
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jsonl").touch()
        os.utime(tmp_path / name / "a.jsonl", (0, 0))
    await until(lambda: not (tmp_path / names[0]).exists())
    removing.cancel()

    assert (tmp_path / names[1]).exists()


async def test_a_failed_removal_is_logged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A folder that cannot be read is logged once, and is tried again."""
    attempts: list[object] = []

    def refuse_and_count(path: object) -> None:
        attempts.append(path)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "scandir", refuse_and_count)
    removing = asyncio.create_task(volumes.remove_old_runs_regularly(tmp_path, 1, 0.01))
    await until(lambda: len(attempts) >= 3)
    removing.cancel()

    assert ["old runs not removed"] == caplog.messages


@pytest.mark.parametrize(
    "name", ["my-backup", "notes", "20261122T073000Z-old", "20261122T073000Z-", "99991231T235959Z", b"\xff-run"]
)
def test_only_runs_are_removed(tmp_path: Path, name: str | bytes) -> None:
    """A folder that is not named like a run is neither counted nor removed, even if it contains logs."""
    run, odd = "20261122T073000Z", os.fsdecode(name)
    for folder in (run, odd):
        (tmp_path / folder / "client-1").mkdir(parents=True)
        (tmp_path / folder / "client-1" / "0001-0001.jsonl").touch()
    volumes.remove_old_runs(tmp_path, 1, time.time() + 100)

    assert {run, odd} == {path.name for path in tmp_path.iterdir()}


def test_an_empty_folder_does_not_count_as_a_run(tmp_path: Path) -> None:
    """A folder without a log is not counted, a link to a log does not change that, and no link is followed."""
    run, empty, linked = "20261122T073000Z", "20261122T073001Z", "20261122T073002Z"
    log = tmp_path / run / "client-1" / "0001-0001.jsonl"
    log.parent.mkdir(parents=True)
    log.touch()
    (tmp_path / empty).mkdir()
    (tmp_path / empty / "0001-0001.jsonl").symlink_to(log)
    (tmp_path / empty / "gone.jsonl").symlink_to(tmp_path / "nowhere")
    (tmp_path / linked).symlink_to(tmp_path / run)
    volumes.remove_old_runs(tmp_path, 1, time.time() + 100)

    assert log.exists()
    assert {run, empty, linked} == {path.name for path in tmp_path.iterdir()}
    assert {run, empty} == set(volumes.run_folders(tmp_path))
    assert [] == volumes.run_folders(tmp_path / "nowhere")


def test_runs_are_named_by_their_time() -> None:
    """The name of a run is the second in which it was opened; further runs of that second get a number."""
    name = volumes.run_name(OPENED_US + 999_999)

    assert name == "20261122T073000Z"
    assert ["20261122T073000Z", "20261122T073000Z-2", "20261122T073000Z-3"] == list(islice(volumes.run_names(name), 3))


def test_a_run_folder_is_claimed_once(tmp_path: Path) -> None:
    """Processes that open runs in the same second get different folders."""
    together = Barrier(8)

    def claim(_: int) -> str:
        together.wait()
        return volumes.claim_run(tmp_path, OPENED_US)

    with ThreadPoolExecutor(8) as threads:
        names = list(threads.map(claim, range(8)))

    assert set(islice(volumes.run_names("20261122T073000Z"), 8)) == set(names)
    assert set(names) == {path.name for path in tmp_path.iterdir()}


def test_a_run_cannot_be_claimed_without_its_root(tmp_path: Path) -> None:
    """An error other than a taken name is raised instead of being retried under the next name."""
    with pytest.raises(FileNotFoundError):
        volumes.claim_run(tmp_path / "missing", OPENED_US)
