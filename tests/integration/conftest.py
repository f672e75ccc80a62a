"""Fixtures of several tests: one good run, locally and in containers; and the rule for machines without an engine."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.processes import LocalRun
from tests.integration.stack import Stack, engine_answers
from tests.readers import Volumes

CLIENTS = 5
RECORDS = 2000


@dataclass(frozen=True)
class GoodRun:
    """A run that passed: its folder, which tests must not change, its exit code and its output."""

    name: str
    volumes: Volumes
    code: int
    text: str


@pytest.fixture(scope="session")
def good_run(tmp_path_factory: pytest.TempPathFactory) -> GoodRun:
    """A local run of 5 clients and 2,000 records, from beginning to end."""
    folder = tmp_path_factory.mktemp("good")
    with LocalRun(folder, CLIENTS=CLIENTS, RECORDS=RECORDS, RATE=1000) as run:
        code = run.wait()
        return GoodRun(run.volumes.newest(), run.volumes, code, run.text)


@pytest.fixture(scope="session")
def engine() -> None:
    """A Docker engine: without one a test is skipped on a laptop, and fails in CI."""
    if engine_answers():
        return
    if os.environ.get("CI"):
        pytest.fail("CI has no Docker engine: .ci/engine makes one", pytrace=False)
    pytest.skip("no Docker engine answers")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder for one stack's volumes, as the repository's own is."""
    return _volumes(tmp_path)


def _volumes(parent: Path) -> Path:
    found = parent / "volumes"
    found.mkdir()
    return found


@pytest.fixture(scope="session")
def good_stack(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GoodStack]:
    """A stack of 5 clients whose run has passed and which is still up; tests read from it and change nothing."""
    folder = _volumes(tmp_path_factory.mktemp("stack"))
    with Stack(folder, RECORDS=RECORDS, RATE=400) as stack:
        stack.up(clients=CLIENTS)
        code, text = stack.wait()
        yield GoodStack(stack, stack.volumes.newest(), code, text)


@dataclass(frozen=True)
class GoodStack:
    """A stack whose run has ended: the run's name, the exit code of ``wait`` and its output."""

    stack: Stack
    run: str
    code: int
    text: str

    @property
    def volumes(self) -> Volumes:
        """Its volumes folder."""
        return self.stack.volumes


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Attach the logs of the shared stack's containers to a test that failed on it."""
    report = yield
    shared = getattr(item, "funcargs", {}).get("good_stack")
    if report.failed and shared is not None:
        report.sections.append(("the shared stack", shared.stack.report()))
    return report
