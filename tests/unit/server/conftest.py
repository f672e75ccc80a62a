"""The clock of these tests, and the ledgers that they leave open."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.runtime.durable_file import LineFile
from tests.unit.server.fakes import StoppedClock


@pytest.fixture
def clock() -> StoppedClock:
    """Return a clock at the start."""
    return StoppedClock()


@pytest.fixture(autouse=True)
def _close_ledgers() -> Iterator[None]:
    """Close the ledgers that a test leaves open: a worker runs hundreds of tests, and its descriptors are limited."""
    opened: list[LineFile] = []

    def open_and_keep(path: Path) -> LineFile:
        opened.append(file := LineFile(path))
        return file

    # Not the fixture `monkeypatch`: it would be set up before those of the test, and so be undone after them.
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("services.server.runs.ledger_writer.LineFile", open_and_keep)
        yield
    for file in opened:
        if file.is_open:
            file.close()
