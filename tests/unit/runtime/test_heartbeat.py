"""Tests of the heartbeat file that the containers' probe reads."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from services.runtime import heartbeat


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of a heartbeat file that an image names."""
    named = tmp_path / "heartbeat"
    monkeypatch.setenv("HEARTBEAT", str(named))
    return named


def probe() -> int:
    """Run the containers' probe as the image's HEALTHCHECK does; return its exit code."""
    command = [sys.executable, "-S", "-m", "services.runtime.heartbeat"]
    ended = subprocess.run(command, capture_output=True, timeout=60, check=False)

    assert not ended.stdout + ended.stderr
    return ended.returncode


async def test_beats_every_second(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is touched at once, and every second while the loop runs."""
    ages: list[float | None] = []

    async def pass_time(seconds: float) -> None:
        ages.append(heartbeat.age_seconds())
        os.utime(path, (0, 0))
        if len(ages) == 3 or seconds != 1:
            raise asyncio.CancelledError

    monkeypatch.setattr(asyncio, "sleep", pass_time)
    with pytest.raises(asyncio.CancelledError):
        await heartbeat.beat()

    assert len(ages) == 3
    assert all(age is not None and age < heartbeat.MAX_AGE_SECONDS for age in ages)


async def test_beats_only_while_alive(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service does not touch the file while ``alive`` returns False, and does again afterwards."""
    states = iter([True, False, True])
    beats: list[bool] = []

    async def pass_time(_: float) -> None:
        beats.append(heartbeat.age_seconds() is not None)
        if beats[-1]:
            os.unlink(path)
        if len(beats) == 3:
            raise asyncio.CancelledError

    monkeypatch.setattr(asyncio, "sleep", pass_time)
    with pytest.raises(asyncio.CancelledError):
        await heartbeat.beat(alive=lambda: next(states))

    assert beats == [True, False, True]


async def test_outside_containers_nothing_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process without HEARTBEAT touches no file and has no age."""
    monkeypatch.delenv("HEARTBEAT", raising=False)
    await heartbeat.beat()

    assert heartbeat.path_from_environment() is None
    assert heartbeat.age_seconds() is None


async def test_needs_no_folder(tmp_path: Path) -> None:
    """A service whose heartbeat cannot be written continues without one."""
    nowhere = tmp_path / "nowhere" / "heartbeat"
    await heartbeat.beat(nowhere)

    assert heartbeat.age_seconds(nowhere) is None


async def test_a_process_that_is_out_of_files_beats_again_later(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A temporary error does not end the heartbeat."""
    touch, refused = Path.touch, [errno.EMFILE, errno.ENFILE]

    def scarce(self: Path) -> None:
        if refused:
            raise OSError(refused.pop(), "too many open files")
        touch(self)

    slept = asyncio.sleep
    monkeypatch.setattr(asyncio, "sleep", lambda _: slept(0))
    monkeypatch.setattr(Path, "touch", scarce)
    beating = asyncio.create_task(heartbeat.beat(path))
    for _ in range(10):
        await slept(0)
    beating.cancel()

    assert not refused
    assert heartbeat.age_seconds(path) is not None


def test_age_counts_from_the_last_beat(path: Path) -> None:
    """The age of the file is the time since it was touched."""
    path.touch()
    now = time.time()
    os.utime(path, (now - 100, now - 100))
    age = heartbeat.age_seconds()

    assert age is not None
    assert 100 <= age < 200


def test_probe_has_no_side_effect(path: Path) -> None:
    """A probe changes nothing, and a second one has the same result."""
    path.write_text("as it was")
    before = (path.stat().st_mtime_ns, path.stat().st_ctime_ns, path.read_text())
    codes = [probe() for _ in range(3)]

    assert codes == [0, 0, 0]
    assert before == (path.stat().st_mtime_ns, path.stat().st_ctime_ns, path.read_text())


def test_probe_fails_when_stale(path: Path) -> None:
    """The probe fails for a file that is too old."""
    path.touch()
    stale = time.time() - heartbeat.MAX_AGE_SECONDS - 1
    os.utime(path, (stale, stale))

    assert probe() == 1


def test_probe_fails_without_a_beat(path: Path) -> None:
    """The probe fails without a file."""
    assert not path.exists()
    assert probe() == 1


def test_probe_needs_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """The probe fails without HEARTBEAT."""
    monkeypatch.delenv("HEARTBEAT", raising=False)

    assert probe() == 1
