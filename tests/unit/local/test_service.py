"""Tests of services/local/service.py, with a module of the standard library as the service."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from services.local.service import SupervisedService


@pytest.fixture
def made(tmp_path: Path) -> Callable[[str], tuple[SupervisedService, list[str]]]:
    """Return a function that makes a service of a program's text, with the list of its lines."""

    def make(program: str) -> tuple[SupervisedService, list[str]]:
        (tmp_path / "program.py").write_text(program)
        shown: list[str] = []
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        return SupervisedService("service", "program", environment, print, shown.append), shown

    return make


Make = Callable[[str], tuple[SupervisedService, list[str]]]


async def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition is true."""
    async with asyncio.timeout(15):
        while not condition():  # noqa: ASYNC110 -- the condition sets no event
            await asyncio.sleep(0.01)


async def test_a_process_that_exits_is_restarted(made: Make) -> None:
    """A process that exits is restarted until it is stopped, and is sent the earlier lines again."""
    service, shown = made(
        "import os\nfd = int(os.environ['STREAMGAUGE_LIFELINE'])\nprint('read', os.read(fd, 100), flush=True)\n"
    )
    service.send_line("one")
    running = asyncio.create_task(service.run())
    await until(lambda: shown.count("read b'one\\n'") >= 2)
    await service.stop()
    await running

    assert "exited with code 0; restarting" in shown


async def test_bad_configuration_is_not_restarted(made: Make) -> None:
    """A process that exits with 104 is not restarted."""
    service, shown = made("import sys\nprint('error: RATE')\nsys.exit(104)\n")

    assert 104 == await service.run()
    assert ["error: RATE"] == shown


async def test_a_process_that_does_not_stop_is_killed(made: Make) -> None:
    """A process that ignores SIGTERM is killed after the timeout."""
    service, shown = made(
        "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('up', flush=True)\ntime.sleep(60)\n"
    )
    running = asyncio.create_task(service.run())
    await until(lambda: shown == ["up"])
    await service.stop(0.2)

    assert -9 == await running


async def test_a_stop_during_the_start_is_not_missed(made: Make) -> None:
    """A service that is stopped while its process is being started ends."""
    service, _ = made("import time\ntime.sleep(60)\n")
    running = asyncio.create_task(service.run())
    await asyncio.sleep(0)
    await service.stop()
    async with asyncio.timeout(15):
        assert -15 == await running
