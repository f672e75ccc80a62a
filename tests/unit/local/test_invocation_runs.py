"""Tests of services/local/invocation_runs.py."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from services.local.invocation_runs import InvocationRuns, event_of
from services.runtime import invocation

FIRST, SECOND = "20261122T073000Z", "20261122T073000Z-2"


def line(event: object, run: object = FIRST) -> str:
    """Return a line of the server's log."""
    return json.dumps({"level": "INFO", "event": event, "service": "server", "run": run})


@pytest.mark.parametrize("text", ["", "plain", "{", "[]", "[" * 100_000, '{"event": 7}', "null"])
def test_a_line_without_an_event_is_ignored(text: str) -> None:
    """A line of the server's output that is not a log event is ignored."""
    assert ("", None) == event_of(text)


@pytest.mark.parametrize("run", [None, 7, "", "../x", f"{FIRST}/.."])
def test_an_invalid_run_name_is_ignored(run: object) -> None:
    """A run name that is not of the right form is ignored, so it cannot lead to another folder."""
    assert ("run opened", None) == event_of(line("run opened", run))


async def test_runs_are_read_from_the_servers_log() -> None:
    """A run is added once when it is opened or continued; other events that name a run add none."""
    added: list[str] = []
    runs = InvocationRuns(added.append)
    waiting = asyncio.create_task(runs.nth(1))
    for text in (
        line("run ended", "20200101T000000Z"),
        line("run opened"),
        line("run continued"),
        line("pace", "20200101T000000Z"),
        line("run opened", SECOND),
    ):
        runs.add_log_line(text)

    assert (FIRST, SECOND) == (await runs.nth(0), await waiting)
    assert [FIRST, SECOND] == added


async def test_listening_is_read_from_the_servers_log() -> None:
    """Only the server's own event sets listening, since another server might answer at its port."""
    runs = InvocationRuns(lambda _: None)
    runs.add_log_line(line("run opened"))
    assert not runs.listening.is_set()
    runs.add_log_line(line("listening"))
    assert runs.listening.is_set()


async def test_all_of_several_servers_have_to_listen() -> None:
    """With several servers clients start once each of them listens."""
    runs = InvocationRuns(lambda _: None, servers=2)
    runs.add_log_line(line("listening"))
    assert not runs.listening.is_set()
    runs.add_log_line(line("listening"))
    assert runs.listening.is_set()


async def test_the_run_of_an_external_feed_is_found_when_it_is_opened(tmp_path: Path) -> None:
    """The run is found once the clients have written the invocation into its feed.json."""
    runs, name = InvocationRuns(lambda _: None), invocation.draw(1_795_332_600_000_000)
    search = asyncio.create_task(runs.find_external_run(tmp_path, name))
    await asyncio.sleep(0)
    (tmp_path / SECOND).mkdir()
    (tmp_path / SECOND / invocation.NOTE).write_text(json.dumps({"invocation": name}))
    async with asyncio.timeout(10):
        await search

    assert SECOND == await runs.nth(0)
