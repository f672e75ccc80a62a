"""Tests of servers that stop, alone, beside others, and together with others."""

from __future__ import annotations

import asyncio
from pathlib import Path

from services.contract import ledger
from services.runtime.clock import Clock
from services.server.runs.run import Run
from services.server.runs.stopping import leave_together
from tests.unit.server.fakes import lines_of, runs


def servers(folder: Path, count: int) -> list[Run]:
    """Return a running run as several servers play it."""
    stores = [runs(folder, Clock(), name, rate=100) for name in "abc"[:count]]
    for store in stores:
        store._process = None
    joined = [store.open_or_continue() for store in stores]
    joined[0].set_rate(100)
    for run in joined:
        run.follow()
    return joined


def rates(run: Run) -> list[tuple[int, float | None]]:
    """Return the due times and rates in the ledger of a server."""
    return [(entry.due_us, entry.rate) for entry in lines_of(run) if isinstance(entry, ledger.PaceEntry)]


async def test_a_lone_server_pauses_at_once(tmp_path: Path) -> None:
    """The stop of the only server takes no time and pauses the run."""
    (only,) = servers(tmp_path, 1)
    async with asyncio.timeout(5):
        await leave_together(only, 60)

    assert [100, None] == [rate for _, rate in rates(only)]
    assert 0 == only.seconds_until_pause()


async def test_a_server_beside_others_leaves_the_run_alone(tmp_path: Path) -> None:
    """A server that stops while another one goes on does not pause the run."""
    first, second = servers(tmp_path, 2)
    await leave_together(first, 0.05)
    second.follow()

    assert ["running", "running"] == [first.recorded.state, second.recorded.state]


async def test_servers_that_stop_together_pause_once(tmp_path: Path) -> None:
    """Servers that stop at the same time have one pause, and serve on until it has begun."""
    joined = servers(tmp_path, 3)

    async def play(run: Run) -> None:
        # As the send loop does, also while the server stops.
        while True:
            run.advance()
            await asyncio.sleep(0.001)

    playing = [asyncio.create_task(play(run)) for run in joined]
    async with asyncio.timeout(30):
        await asyncio.gather(*(leave_together(run, 10) for run in joined))
    heads = {run.advance() for run in joined}
    for task in playing:
        task.cancel()

    assert [[100, None]] * 3 == [[rate for _, rate in rates(run)] for run in joined]
    assert 1 == len({tuple(rates(run)) for run in joined}) == len(heads)
    assert [0, 0, 0] == [run.seconds_until_pause() for run in joined]
