"""What the fault tests need: an engine, a folder, a seed; and how to repeat what failed."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator

import pytest

from tests.integration.conftest import engine, folder

__all__ = ["engine", "folder", "seed"]


@pytest.fixture
def seed() -> int:
    """The seed of everything that is random in a test: ``FAULT_SEED``."""
    return int(os.environ.get("FAULT_SEED", "1"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach the seed of a test that failed, and the one command that repeats it."""
    report = yield
    if report.failed:
        number = getattr(item, "funcargs", {}).get("seed", 1)
        image = f"PYTHON_IMAGE={os.environ['PYTHON_IMAGE']} " if "PYTHON_IMAGE" in os.environ else ""
        command = f"{image}FAULT_SEED={number} CI=true {sys.executable} -m pytest '{item.nodeid}' -q"
        report.sections.append((f"seed {number}: repeat it with", command))
    return report
