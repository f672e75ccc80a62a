"""Tests of what is typed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.runtime.control.console import StdinLines


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Return the two ends of a pipe: where it is read, and where it is written."""
    ends = os.pipe()
    yield ends
    os.close(ends[0])


async def test_lines_come_as_they_are_typed(pipe: tuple[int, int]) -> None:
    """A line is there when it is complete, and not when the next one is; the last may lack its end."""
    typed = StdinLines(pipe[0])
    os.write(pipe[1], b" pause \nrate")
    assert "pause" == await typed.line(5)
    os.write(pipe[1], b" 500\n\nstatus")
    assert ["rate 500", ""] == [await typed.line(5) for _ in range(2)]
    os.close(pipe[1])

    assert ["status", None] == [await typed.line(5) for _ in range(2)]


async def test_one_does_not_wait_for_ever(pipe: tuple[int, int]) -> None:
    """While nothing is typed the caller may see to something else."""
    typed = StdinLines(pipe[0])
    with pytest.raises(TimeoutError):
        await typed.line(0.01)
    os.write(pipe[1], b"status\n")
    os.close(pipe[1])

    assert ["status", None] == [await typed.line(5) for _ in range(2)]


async def test_a_file_is_read_like_a_pipe(tmp_path: Path) -> None:
    """Lines may be in a file, and need not be text."""
    path = tmp_path / "wishes"
    path.write_bytes(b"pause\n\xff\n")
    with path.open("rb") as file:
        typed = StdinLines(file.fileno())

        assert ["pause", "�", None] == [await typed.line(5) for _ in range(3)]
