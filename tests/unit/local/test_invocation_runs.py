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
def test_what_is_no_event_is_passed_over(text: str) -> None:
    """The server's process may print anything."""
    assert ("", None) == event_of(text)


@pytest.mark.parametrize("run", [None, 7, "", "../x", f"{FIRST}/.."])
def test_only_the_name_of_a_run_is_taken(run: object) -> None:
    """What names no run leads to no folder."""
    assert ("run opened", None) == event_of(line("run opened", run))


async def test_the_server_says_which_runs_it_plays() -> None:
    """Opened or continued, each is known once and in its order; other events name runs too."""
    noted: list[str] = []
    runs = InvocationRuns(noted.append)
    waiting = asyncio.create_task(runs.nth(1))
    for said in (
        line("run ended", "20200101T000000Z"),
        line("run opened"),
        line("run continued"),
        line("pace", "20200101T000000Z"),
        line("run opened", SECOND),
    ):
        runs.read(said)

    assert (FIRST, SECOND) == (await runs.nth(0), await waiting)
    assert [FIRST, SECOND] == noted


async def test_the_server_says_when_it_listens() -> None:
    """Its own word counts, since another server may answer at its port."""
    runs = InvocationRuns(lambda _: None)
    runs.read(line("run opened"))
    assert not runs.listening.is_set()
    runs.read(line("listening"))
    assert runs.listening.is_set()


async def test_the_run_of_an_external_feed_is_found_when_it_is_opened(tmp_path: Path) -> None:
    """The clients write the invocation into its note; until then there is none."""
    runs, name = InvocationRuns(lambda _: None), invocation.draw(1_795_332_600_000_000)
    looking = asyncio.create_task(runs.look(tmp_path, name))
    await asyncio.sleep(0)
    (tmp_path / SECOND).mkdir()
    (tmp_path / SECOND / invocation.NOTE).write_text(json.dumps({"invocation": name}))
    async with asyncio.timeout(10):
        await looking

    assert SECOND == await runs.nth(0)
