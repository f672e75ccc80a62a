"""Tests of services/local/stdout_writer.py."""

from __future__ import annotations

import os
import pty
import threading

import pytest

from services.local import stdout_writer
from services.local.stdout_writer import StdoutWriter
from tests.poll import poll_until


@pytest.fixture(autouse=True)
def _frequent_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Notice within 10 ms that the reader is gone."""
    monkeypatch.setattr(stdout_writer, "CHECK_SECONDS", 0.01)


@pytest.fixture
def lost() -> threading.Event:
    """Return an event that is set when the reader is gone."""
    return threading.Event()


def test_lines_are_written_in_their_order(lost: threading.Event) -> None:
    """All text is written in order, in the encoding of the output."""
    read, write = os.pipe()
    out = StdoutWriter(write, "latin-1", lost.set)
    out.write_line("a · b")
    out.write("c → ")
    out.write_line("d")
    poll_until(lambda: out.is_done, "all is written", 10, 0.01)

    assert b"a \xb7 b\nc ? d\n" == os.read(read, 1000)
    assert not lost.is_set()
    os.close(read)
    assert lost.wait(10)
    os.close(write)


def test_lines_are_dropped_for_a_slow_reader(lost: threading.Event) -> None:
    """The oldest lines are dropped if the buffer is full, and their number is written."""
    read, write = os.pipe()
    out = StdoutWriter(write, "utf-8", lost.set, max_bytes=1000)
    for number in range(10_000):
        out.write_line(f"line {number:>5} {'x' * 40}")
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


def test_a_closed_pipe_is_detected_without_writing(lost: threading.Event) -> None:
    """A closed pipe is detected while nothing is written, and later lines are discarded."""
    read, write = os.pipe()
    out = StdoutWriter(write, "utf-8", lost.set)
    os.close(read)

    assert lost.wait(10)
    out.write_line("discarded")
    assert out.is_done
    os.close(write)


def test_a_closed_terminal_is_detected(lost: threading.Event) -> None:
    """A write to a closed terminal counts as the end of the reader."""
    keyboard, side = pty.openpty()
    out = StdoutWriter(side, "utf-8", lost.set)
    os.close(keyboard)
    out.write_line("discarded")

    assert lost.wait(10)
    os.close(side)


def test_a_non_blocking_pipe_loses_nothing(lost: threading.Event) -> None:
    """A pipe that another process has made non-blocking receives all text."""
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
