"""Tests of services/local/child_process.py."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.local import child_process
from services.runtime.parent_pipe import VARIABLE

ENVIRONMENT = dict(os.environ)


def open_files() -> int:
    """Return how many files this process has open, where the system tells."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


async def output_of(program: str, max_line_bytes: int = child_process.MAX_LINE_BYTES) -> tuple[int, list[str]]:
    """Run a program as a child; return its exit code and its lines."""
    started = await child_process.start(("-c", program), ENVIRONMENT)
    lines = [line async for line in started.lines(max_line_bytes)]
    return await started.wait(), lines


async def test_lines_and_exit_code_are_returned() -> None:
    """The lines include standard error, are decoded as UTF-8 in every locale, and the last may lack a newline."""
    program = "import sys; print('a · b', flush=True); sys.stderr.write('c'); sys.exit(7)".replace("·", "\\u00b7")

    assert (7, ["a · b", "c"]) == await output_of(program)


async def test_a_long_line_is_returned_in_parts() -> None:
    """A line beyond the limit is returned in parts, and reading continues."""
    code, lines = await output_of("print('x' * 1_000_000); print('y')", max_line_bytes=100_000)

    assert 0 == code
    assert 1_000_000 == len("".join(lines[:-1]))
    assert "y" == lines[-1]


async def test_only_the_child_has_the_pipe() -> None:
    """A child reads the lines that are sent to it, and holds no write end of any pipe."""
    program = f"""
import os
fd = int(os.environ["{VARIABLE}"])
data = b""
while piece := os.read(fd, 100):
    data += piece
    if data.endswith(b"end\\n"):
        break
print(data.decode().split())
"""
    others = await child_process.start(("-c", "input()"), ENVIRONMENT)
    started = await child_process.start(("-c", program), ENVIRONMENT)
    started.send_line("first")
    started.send_line("end")

    assert ["['first', 'end']"] == [line async for line in started.lines()]
    assert 0 == await started.wait()
    started.send_line("after the end")
    assert 1 == await others.wait()


async def test_a_failed_start_leaves_no_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """A failed start raises the error and closes both ends of the pipe."""
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    before = open_files()
    with pytest.raises(OSError, match="/nowhere/python"):
        await child_process.start(("-c", ""), ENVIRONMENT)

    assert before == open_files()
