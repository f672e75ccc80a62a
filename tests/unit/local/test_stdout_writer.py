"""Tests of services/local/stdout_writer.py."""

from __future__ import annotations

import os
import pty
import threading

import pytest

from services.local import stdout_writer
from services.local.stdout_writer import StdoutWriter
from tests.poll import poll_until


@pytest.fixture
def lost() -> threading.Event:
    """Return what is set when the reader is gone."""
    return threading.Event()


def test_lines_are_written_in_their_order(lost: threading.Event) -> None:
    """Everything arrives, in the encoding of the output, and a text without a newline as it stands."""
    read, write = os.pipe()
    out = StdoutWriter(write, "latin-1", lost.set)
    out.say("a · b")
    out.write("c → ")
    out.say("d")
    poll_until(lambda: out.is_done, "all is written", 10, 0.01)

    assert b"a \xb7 b\nc ? d\n" == os.read(read, 1000)
    assert not lost.is_set()
    os.close(read)
    assert lost.wait(10)
    os.close(write)


def test_a_reader_that_does_not_read_holds_nothing_up(monkeypatch: pytest.MonkeyPatch, lost: threading.Event) -> None:
    """What does not fit is dropped, the oldest first, and it is said how much."""
    monkeypatch.setattr(stdout_writer, "MOST_BYTES", 1000)
    read, write = os.pipe()
    out = StdoutWriter(write, "utf-8", lost.set)
    for number in range(10_000):
        out.say(f"line {number:>5} {'x' * 40}")
    assert not out.is_done
    found = b""
    while b" 9999 " not in found:
        found += os.read(read, 64 * 1024)
    lines = found.decode().splitlines()
    dropped = [int(line.split()[0][1:].replace(",", "")) for line in lines if line.startswith("(")]

    assert 10_000 == len(lines) - len(dropped) + sum(dropped)
    assert dropped
    os.close(read)
    assert lost.wait(10)
    os.close(write)


def test_a_reader_that_goes_is_missed_though_nothing_is_written(lost: threading.Event) -> None:
    """A closed pipe is seen at once, and nothing that is said later waits for ever."""
    read, write = os.pipe()
    out = StdoutWriter(write, "utf-8", lost.set)
    os.close(read)

    assert lost.wait(10)
    out.say("nobody reads this")
    assert out.is_done
    os.close(write)


def test_a_terminal_that_is_gone_is_missed(lost: threading.Event) -> None:
    """A terminal that was closed refuses what is written, which is no fault of the program."""
    keyboard, side = pty.openpty()
    out = StdoutWriter(side, "utf-8", lost.set)
    os.close(keyboard)
    out.say("nobody sees this")

    assert lost.wait(10)
    os.close(side)


def test_a_pipe_that_does_not_block_is_waited_for(lost: threading.Event) -> None:
    """Another process may have made it so; nothing is lost by it."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    out = StdoutWriter(write, "utf-8", lost.set)
    out.write("x" * 1_000_000)
    found = 0
    while found < 1_000_000:
        found += len(os.read(read, 64 * 1024))
    poll_until(lambda: out.is_done, "all is written", 10, 0.01)

    os.close(read)
    assert lost.wait(10)
    os.close(write)
