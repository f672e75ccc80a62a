"""Tests of services/collector/publish/terminal/printer.py."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.collector.publish.terminal.printer import OwnRunsPrinter, TerminalPrinter, of_invocation
from services.collector.verdict.snapshot import snapshot
from services.runtime.parent_pipe import ParentPipe
from tests.builders.runs import RUN, fold, good_run
from tests.poll import poll_until

OVER = snapshot(fold(good_run()), final=True)


@pytest.fixture
def parent() -> Iterator[tuple[ParentPipe, int]]:
    """Return the pipe from a parent, and the end that the parent writes to."""
    read, write = os.pipe()
    yield ParentPipe(read, lambda: None), write
    os.close(write)


def speaker(said: list[str]) -> TerminalPrinter:
    """Return a speaker whose texts are kept."""
    return TerminalPrinter(Path("/volumes"), said.append)


def test_only_the_runs_that_the_parent_names_are_told(parent: tuple[ParentPipe, int]) -> None:
    """Neither progress nor the verdict of another run stands beside the verdict that the exit code is of."""
    said: list[str] = []
    own = of_invocation(speaker(said), parent[0])
    os.write(parent[1], b"20200101T000000Z\n")
    own.progress(OVER, 1.0, 1.0)
    own.final(OVER)
    own.end()

    assert not said


def test_a_summary_waits_for_the_parents_word(parent: tuple[ParentPipe, int]) -> None:
    """A run that is closed before its name has come is told of when it comes, once."""
    said: list[str] = []
    own = OwnRunsPrinter(speaker(said), parent[0])
    own.final(OVER)
    os.write(parent[1], f"{RUN}\n".encode())
    poll_until(lambda: said, "the summary is told", 10, 0.01)
    own.progress(OVER, 1.0, 1.0)

    assert said[0].startswith("\n  PASS   ")
    assert 2 == len(said)


def test_without_a_parent_every_run_is_told() -> None:
    """In a container nothing is held back."""
    plain = speaker([])

    assert plain is of_invocation(plain, None)
