"""Fixtures of all fault tests: the seed, the tally, and the command that repeats a failed test."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Generator, Iterator

import pytest

from chaos.tally import Tally
from tests.integration.conftest import engine, folder

__all__ = ["engine", "folder", "seed", "tally"]

SEED = 20261122
_REPORT = pytest.StashKey[pytest.TestReport]()


@pytest.fixture
def seed() -> int:
    """Return the seed of all randomness in a test: ``FAULT_SEED``, or a constant."""
    return int(os.environ.get("FAULT_SEED", SEED))


@pytest.fixture
def tally(request: pytest.FixtureRequest, seed: int) -> Iterator[Tally]:
    """Collect the faults and findings of this test; ``make faults`` adds them to its table."""
    sentence = (getattr(request.node.function, "__doc__", "") or request.node.name).strip().splitlines()[0]
    result, started = Tally(sentence), time.monotonic()
    yield result
    report = request.node.stash.get(_REPORT, None)
    if report is not None and report.skipped:
        # This machine lacks something, and nothing was tried.
        return
    passed = report is not None and report.passed
    result.write(request.node.nodeid, seed, passed=passed, seconds=time.monotonic() - started)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Keep a test's report for its tally; attach to a failed test its seed and the command that repeats it."""
    report = yield
    if report.when == "call" or report.skipped:
        item.stash[_REPORT] = report
    if report.failed:
        number = getattr(item, "funcargs", {}).get("seed", SEED)
        image = f"PYTHON_IMAGE={os.environ['PYTHON_IMAGE']} " if "PYTHON_IMAGE" in os.environ else ""
        command = f"{image}FAULT_SEED={number} CI=true {sys.executable} -m pytest '{item.nodeid}' -q"
        report.sections.append((f"seed {number}: repeat it with", command))
    return report
