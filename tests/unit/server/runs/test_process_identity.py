"""Tests of detecting whether the process that wrote a ledger has ended."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.server.runs.process_identity import ProcessIdentity, is_gone, own, parse, start_ticks
from tests.poll import poll_until

CONTAINER = "0123456789ab"


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process of this machine that runs until it is killed."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        yield child
        child.kill()


def identity_of(child: subprocess.Popen[bytes]) -> ProcessIdentity:
    """Return the identity of a child process."""
    me, start = own(), start_ticks(child.pid)
    assert me is not None
    assert start is not None
    return me._replace(pid=child.pid, start=start)


def test_an_identity_survives_its_text() -> None:
    """The identity of this process equals the one parsed from its text."""
    me = own()

    assert me is not None
    assert me == parse(str(me))
    assert os.getpid() == me.pid


@pytest.mark.parametrize("text", [None, "", "one", "boot host ns 1 2 3", "boot host ns x 5", "boot host ns -1 5"])
def test_an_unknown_text_proves_nothing(text: str | None) -> None:
    """A missing identity, or one in another format, does not prove that a process has ended."""
    me = own()

    assert parse(text) is None
    assert not is_gone(parse(text), me)
    assert not is_gone(me, None)


def test_a_running_process_is_not_gone(sleeper: subprocess.Popen[bytes]) -> None:
    """Neither this process nor another running one counts as ended."""
    me = own()

    assert not is_gone(me, me)
    assert not is_gone(identity_of(sleeper), me)


def test_a_killed_process_is_gone(sleeper: subprocess.Popen[bytes]) -> None:
    """A killed process has ended, whether or not its parent has waited for it."""
    writer, me = identity_of(sleeper), own()
    sleeper.kill()
    poll_until(lambda: is_gone(writer, me), "the killed process is gone", 10, 0.01)
    assert sleeper.returncode is None
    sleeper.wait()

    assert is_gone(writer, me)


def test_a_stopped_process_is_not_gone(sleeper: subprocess.Popen[bytes]) -> None:
    """A process stopped by a signal has not ended."""
    writer, me = identity_of(sleeper), own()
    sleeper.send_signal(19)
    stat = Path(f"/proc/{sleeper.pid}/stat")
    poll_until(lambda: ") T " in stat.read_text(), "the process is stopped", 10, 0.01)

    assert not is_gone(writer, me)


def test_a_reused_pid_is_gone() -> None:
    """A process has ended if its pid now belongs to a process with another start time."""
    me = own()
    assert me is not None

    assert is_gone(me._replace(start="1"), me)


def test_a_restarted_container_has_no_former_processes() -> None:
    """Another pid namespace in the same container proves a restart; on another kind of host it proves nothing."""
    me = own()
    assert me is not None
    inside = me._replace(host=CONTAINER)

    assert is_gone(inside._replace(namespace="1"), inside)
    assert not is_gone(me._replace(namespace="1"), me)
    assert not is_gone(inside, inside._replace(host="ba9876543210"))
    assert not is_gone(inside._replace(boot="another"), inside)


def test_a_hidden_process_is_not_gone(
    sleeper: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A process that /proc hides has not ended if signal 0 shows that its pid exists."""
    writer, me = identity_of(sleeper), own()

    def refuse(_pid: int, number: int) -> None:
        assert number == 0
        raise PermissionError

    monkeypatch.setattr(os, "kill", refuse)

    assert not is_gone(writer, me, tmp_path)


def test_without_proc_there_is_no_identity(tmp_path: Path) -> None:
    """A process has no identity on a system without /proc."""
    assert own(tmp_path) is None


def test_a_process_name_with_brackets(tmp_path: Path) -> None:
    """The start time is found behind a process name with spaces and brackets."""
    (tmp_path / "7").mkdir()
    (tmp_path / "7/stat").write_text(f"7 (a) S (b 1) R {' '.join(str(number) for number in range(4, 30))}")

    assert "22" == start_ticks(7, tmp_path)
