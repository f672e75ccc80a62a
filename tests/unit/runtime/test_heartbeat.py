"""Tests of the sign of life that the containers' probe reads."""

from __future__ import annotations

import asyncio
import os
import runpy
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from services.runtime import heartbeat


def run_probe(monkeypatch: pytest.MonkeyPatch, beat: Path) -> int:
    """Run the containers' probe against a file of the test's own; return its exit code."""
    real = Path.stat

    def elsewhere(self: Path, **options: Any) -> os.stat_result:
        return real(beat if self == heartbeat.DEFAULT else self, **options)

    with monkeypatch.context() as patched, pytest.raises(SystemExit) as ended:
        patched.setattr(Path, "stat", elsewhere)
        patched.delitem(sys.modules, heartbeat.__name__)
        runpy.run_module(heartbeat.__name__, run_name="__main__")
    code = ended.value.code
    assert isinstance(code, int)
    return code


async def test_beats_every_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is touched, then touched again after a second, for as long as the loop turns."""
    ages: list[float | None] = []
    waits: list[float] = []
    path = tmp_path / "heartbeat"

    async def pass_time(seconds: float) -> None:
        waits.append(seconds)
        ages.append(heartbeat.age_seconds(path))
        os.utime(path, (0, 0))
        if len(waits) == 3:
            raise asyncio.CancelledError

    monkeypatch.setattr(asyncio, "sleep", pass_time)
    with pytest.raises(asyncio.CancelledError):
        await heartbeat.beat(path)

    assert [1.0, 1.0, 1.0] == waits
    assert all(age is not None and age < heartbeat.MAX_AGE_SECONDS for age in ages)


async def test_needs_no_folder(tmp_path: Path) -> None:
    """A service that cannot write its heartbeat goes on without one."""
    await heartbeat.beat(tmp_path / "nowhere" / "heartbeat")

    assert not list(tmp_path.iterdir())


def test_age_counts_from_the_last_beat(tmp_path: Path) -> None:
    """A heartbeat's age is the time since it was touched."""
    path = tmp_path / "heartbeat"
    path.touch()
    now = time.time()
    os.utime(path, (now - 100, now - 100))
    age = heartbeat.age_seconds(path)

    assert age is not None
    assert 100 <= age < 200


def test_no_beat_has_no_age(tmp_path: Path) -> None:
    """A service that never beat has no age, rather than a great one."""
    assert heartbeat.age_seconds(tmp_path / "heartbeat") is None


def test_looking_has_no_side_effect(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A probe run by hand changes nothing: the file keeps its time and its content, and the next one says the same."""
    path = tmp_path / "heartbeat"
    path.write_text("as it was")
    before = (path.stat().st_mtime_ns, path.stat().st_ctime_ns, path.read_text())
    codes = [run_probe(monkeypatch, path) for _ in range(3)]

    assert [0, 0, 0] == codes
    assert before == (path.stat().st_mtime_ns, path.stat().st_ctime_ns, path.read_text())


def test_probe_fails_when_stale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A heartbeat that is too old means that the service hangs."""
    path = tmp_path / "heartbeat"
    path.touch()
    stale = time.time() - heartbeat.MAX_AGE_SECONDS - 1
    os.utime(path, (stale, stale))
    expected = 1

    assert expected == run_probe(monkeypatch, path)


def test_probe_fails_without_a_beat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A service that never beat is not well."""
    expected = 1

    assert expected == run_probe(monkeypatch, tmp_path / "heartbeat")


def test_probe_needs_no_package() -> None:
    """The probe starts without site-packages, as the image's HEALTHCHECK starts it, and prints nothing."""
    command = [sys.executable, "-S", "-m", "services.runtime.heartbeat"]
    ended = subprocess.run(command, capture_output=True, timeout=60, check=False, env={"PYTHONPATH": os.getcwd()})

    assert ended.returncode in (0, 1)
    assert (b"", b"") == (ended.stdout, ended.stderr)
