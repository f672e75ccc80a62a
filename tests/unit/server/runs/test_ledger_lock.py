"""Tests of the lock by which a server shows that it lives."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.contract import ledger
from services.runtime.durable_file import LineFile
from services.server.runs import ledger_lock
from tests.poll import poll_until
from tests.unit.server.fakes import StoppedClock, new_run

BOOT = "86ddd851-2ecc-4b7b-92a9-f3459d7e596f"


@dataclass
class Locked:
    """A ledger of a run, and its first line."""

    file: LineFile
    opening: ledger.OpenEntry

    def is_released(self, path: Path | None = None, boot: str = BOOT) -> bool:
        """Return what a server that starts finds."""
        return ledger_lock.is_released(path or self.file.path, self.opening, boot)


def opening_with(tmp_path: Path, clock: StoppedClock, lock: str | None) -> ledger.OpenEntry:
    """Return the first line of a ledger whose writer has a lock."""
    _, entry = ledger.codec.decode(new_run(tmp_path / "runs", clock).ledger.path.read_bytes().splitlines(True)[0])
    assert isinstance(entry, ledger.OpenEntry)
    fields = {name: getattr(entry, name) for name in entry.__struct_fields__}
    return ledger.OpenEntry(**{**fields, "lock": lock, "boot": BOOT})


@pytest.fixture
def locked(tmp_path: Path, clock: StoppedClock) -> Locked:
    """Return a ledger that is locked by this process."""
    file = LineFile(tmp_path / "a.jsonl")
    return Locked(file, opening_with(tmp_path, clock, ledger_lock.hold(file.fileno())))


def test_a_held_lock_is_not_released(locked: Locked) -> None:
    """The ledger of a server that lives is not released, also after another server has looked."""
    assert [False, False] == [locked.is_released(), locked.is_released()]


def test_a_closed_ledger_is_released(locked: Locked) -> None:
    """A ledger is released as soon as it is closed, for every server that looks."""
    locked.file.close()

    with locked.file.path.open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_SH)
        assert locked.is_released()


def test_another_descriptor_does_not_release(locked: Locked) -> None:
    """The lock outlives another descriptor of the file that the writer opens and closes."""
    locked.file.append(b"line\n")
    locked.file.write_again(b"line\n", 0)

    assert not locked.is_released()


def test_a_free_lock_elsewhere_proves_nothing(locked: Locked) -> None:
    """Under another kernel, of a copied file, or without a lock by the first line, a free lock is no proof."""
    locked.file.close()
    copied = locked.file.path.with_name("b.jsonl")
    copied.write_bytes(locked.file.path.read_bytes())

    assert [False, False, False] == [
        locked.is_released(boot="another"),
        locked.is_released(copied),
        locked.is_released(locked.file.path.with_name("none.jsonl")),
    ]
    locked.opening = ledger.OpenEntry(
        **{name: getattr(locked.opening, name) for name in locked.opening.__struct_fields__ if name != "lock"}
    )
    assert not locked.is_released()


def test_a_killed_process_releases(tmp_path: Path, clock: StoppedClock) -> None:
    """The lock of a process lasts until it is killed."""
    path = tmp_path / "a.jsonl"
    program = (
        "import sys; from pathlib import Path; from services.runtime.durable_file import LineFile;"
        "from services.server.runs import ledger_lock; file = LineFile(Path(sys.argv[1]));"
        "file.append((ledger_lock.hold(file.fileno()) + '\\n').encode()); input()"
    )
    command = [sys.executable, "-c", program, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as child:
        poll_until(lambda: path.exists() and path.read_text().endswith("\n"), "the child has its lock", 30, 0.01)
        opening = opening_with(tmp_path, clock, path.read_text().strip())
        assert not ledger_lock.is_released(path, opening, BOOT)
        child.kill()
        child.wait()

    assert ledger_lock.is_released(path, opening, BOOT)


def test_a_refused_lock_is_not_named(tmp_path: Path) -> None:
    """A writer whose file system refuses the lock, or that finds it taken, names none."""
    path = tmp_path / "a.jsonl"
    file = LineFile(path)
    other = os.open(path, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_SH)

    assert ledger_lock.hold(file.fileno()) is None

    os.close(other)

    assert ledger_lock.hold(file.fileno()) is not None
