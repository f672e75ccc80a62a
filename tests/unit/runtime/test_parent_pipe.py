"""Tests of services/runtime/parent_pipe.py."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from services.runtime import parent_pipe
from services.runtime.parent_pipe import VARIABLE, ParentPipe
from tests.poll import poll_until

CHILD = """
import asyncio, os, sys
from services.runtime import lifecycle, parent_pipe

async def service(settings, stop):
    assert parent_pipe.VARIABLE not in os.environ
    print("started", flush=True)
    if "stuck" in sys.argv:
        import time
        time.sleep(60)
    await stop.wait()
    open(sys.argv[1], "w").close()
    return 7

if "stuck" in sys.argv:
    parent_pipe.END_SECONDS = 0.5
sys.exit(lifecycle.run(lambda: None, service))
"""


@pytest.fixture
def pipe() -> Iterator[tuple[int, list[int]]]:
    """Return the read end of a pipe, and its write end in a list."""
    read, write = os.pipe()
    writes = [write]
    yield read, writes
    for descriptor in writes:
        os.close(descriptor)


def test_it_ends_when_the_last_write_end_is_closed(pipe: tuple[int, list[int]]) -> None:
    """The end of the parent is detected even while the process is busy."""
    ended = threading.Event()
    ParentPipe(pipe[0], ended.set)

    assert not ended.is_set()
    os.close(pipe[1].pop())
    assert ended.wait(10)


def test_every_line_is_passed_on_once(pipe: tuple[int, list[int]]) -> None:
    """Lines that arrived before `listen` are passed on too, and a line may arrive in parts."""
    heard: list[str] = []
    line = ParentPipe(pipe[0], lambda: None)
    os.write(pipe[1][0], b"first\nsec")
    poll_until(lambda: line._lines == ["first"], "the first line has come", 10, 0.01)
    line.listen(heard.append)
    os.write(pipe[1][0], b"ond\nthird\n")

    poll_until(lambda: heard == ["first", "second", "third"], "all lines are heard", 10, 0.01)


def test_no_process_that_is_started_inherits_it(pipe: tuple[int, list[int]]) -> None:
    """A child of this process inherits neither end."""
    os.set_inheritable(pipe[0], True)
    ParentPipe(pipe[0], lambda: None)

    assert not os.get_inheritable(pipe[0])


@pytest.mark.parametrize("text", ["", "x", "-1", "99999", "99999999999999999999", "0.5"])
def test_only_a_pipe_is_taken(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    """A variable that does not name a pipe is ignored."""
    monkeypatch.setenv(VARIABLE, text)

    assert parent_pipe.attached.__wrapped__() is None
    assert VARIABLE not in os.environ


@pytest.mark.parametrize(("how", "code"), [("", 7), ("stuck", 105)])
def test_a_service_ends_with_its_parent(tmp_path: object, pipe: tuple[int, list[int]], how: str, code: int) -> None:
    """A service gets SIGTERM when the pipe ends, and is killed if it still runs later."""
    mark = f"{tmp_path}/stopped"
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, mark, how],
        env={**os.environ, VARIABLE: str(pipe[0])},
        stdout=subprocess.PIPE,
        pass_fds=(pipe[0],),
    ) as child:
        assert child.stdout is not None
        assert b"started\n" == child.stdout.readline()
        os.close(pipe[1].pop())
        ended = child.wait(20)
    os.close(pipe[0])

    assert code == ended
    assert (how == "") == os.path.exists(mark)


def test_a_service_that_waits_for_its_operator_ends_too(pipe: tuple[int, list[int]]) -> None:
    """A service that waits HOLD_SECONDS ends with its parent."""
    program = """
from services.runtime import lifecycle
from services.runtime.errors import BadSettings

def refuse():
    raise BadSettings(["one line"])

lifecycle.run(refuse, None)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, VARIABLE: str(pipe[0]), "HOLD_SECONDS": "60"},
        stderr=subprocess.PIPE,
        pass_fds=(pipe[0],),
    ) as child:
        assert child.stderr is not None
        assert b"error: one line\n" == child.stderr.readline()
        os.close(pipe[1].pop())
        assert -signal.SIGTERM == child.wait(20)
    os.close(pipe[0])
