"""Tests of services/collector/publish/terminal/printer.py."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.collector.publish.terminal.printer import OwnRunsPrinter, TerminalPrinter, printer_of_invocation
from services.collector.verdict.snapshot import snapshot
from services.runtime.parent_pipe import ParentPipe
from tests.builders.runs import RUN, fold, good_run
from tests.poll import poll_until

OVER = snapshot(fold(good_run()), final=True)


@pytest.fixture
def parent() -> Iterator[tuple[ParentPipe, int]]:
    """Return the pipe from a parent, and the descriptor that the parent writes to."""
    read, write = os.pipe()
    yield ParentPipe(read, lambda: None), write
    os.close(write)


def make_printer(printed: list[str]) -> TerminalPrinter:
    """Return a printer whose texts are kept."""
    return TerminalPrinter(Path("/volumes"), printed.append)


def test_only_runs_that_the_parent_names_are_printed(parent: tuple[ParentPipe, int]) -> None:
    """Neither progress nor the verdict of another run is printed beside the verdict that decides the exit code."""
    printed: list[str] = []
    own = printer_of_invocation(make_printer(printed), parent[0])
    os.write(parent[1], b"20200101T000000Z\n")
    own.print_progress(OVER, 1.0, 1.0)
    own.print_summary(OVER)
    own.close()

    assert not printed


def test_a_summary_waits_until_the_parent_names_its_run(parent: tuple[ParentPipe, int]) -> None:
    """The summary of a run that closes before its name arrives is printed when it arrives, once."""
    printed: list[str] = []
    own = OwnRunsPrinter(make_printer(printed), parent[0])
    own.print_summary(OVER)
    os.write(parent[1], f"{RUN}\n".encode())
    poll_until(lambda: printed, "the summary is printed", 10, 0.01)
    own.print_progress(OVER, 1.0, 1.0)

    assert printed[0].startswith("\n  PASS   ")
    assert 2 == len(printed)


def test_without_a_parent_every_run_is_printed() -> None:
    """Without a parent's pipe, as in a container, the printer is used unchanged."""
    plain = make_printer([])

    assert plain is printer_of_invocation(plain, None)
