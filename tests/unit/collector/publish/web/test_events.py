"""Tests of services/collector/publish/web/events.py."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from services.collector.publish.view_model import View, view
from services.collector.publish.web import events as module
from services.collector.publish.web.events import SnapshotBoard
from services.collector.publish.web.prometheus import CollectorEffort
from services.collector.publish.web.self_metrics import SelfMeter
from services.collector.verdict.snapshot import Snapshot
from tests.builders.snapshots import example

MADE = example()
EFFORT = CollectorEffort(1, 2, 0.0)


@pytest.fixture
def board() -> SnapshotBoard:
    """Return a board with a run on it."""
    made = SnapshotBoard()
    made.show(MADE, "files: here")
    made.tell(EFFORT, SelfMeter().tiles(EFFORT, 0, 1, 1.0))
    return made


async def heard(events: AsyncIterator[bytes]) -> dict[str, Any]:
    """Return the next event without a name."""
    while not (event := await anext(events)).startswith(b"data: "):
        pass
    decoded: dict[str, Any] = json.loads(event[len(b"data: ") :])
    return decoded


async def test_a_listener_gets_all_at_once(board: SnapshotBoard) -> None:
    """The first event holds the view, the drawing and what the collector costs."""
    event = await heard(board.events())

    assert msgspec.to_builtins(view(MADE, "files: here")) == event["view"]
    assert MADE.timeline.run == event["drawing"]["run"]
    assert ["cpu", "memory", "behind", "lines", "complaints"] == [tile["key"] for tile in event["tool"]]


async def test_events_follow_the_board(board: SnapshotBoard) -> None:
    """Each later snapshot is an event; when the board is closed the listener is sent away."""
    events = board.events()
    await heard(events)
    later = asyncio.ensure_future(heard(events))
    await asyncio.sleep(0)
    board.show(example(2), "")

    assert 2 == len((await later)["view"]["clients"]["rows"])

    board.close()

    assert [] == [event async for event in events]


async def test_a_drawing_comes_once_a_second(board: SnapshotBoard) -> None:
    """News come at once, their charts when a second has passed; what was missed is not forgotten."""
    now = 100.0
    events = board.events(lambda: now)
    await heard(events)
    board.show(example(2), "")

    assert {"tool", "view"} == (await heard(events)).keys()

    now += module.DRAWING_SECONDS
    event = await heard(events)

    assert {"tool", "drawing"} == event.keys()
    assert 2 == len(event["drawing"]["lanes"])


async def test_silence_is_broken(monkeypatch: pytest.MonkeyPatch, board: SnapshotBoard) -> None:
    """A listener hears that the page lives, and what it costs, even when nothing changes."""
    monkeypatch.setattr(module, "PING_SECONDS", 0.01)
    events = board.events()
    await heard(events)

    assert (await anext(events)).startswith(b"event: tool\ndata: [{")


async def test_before_the_first_run_there_is_only_the_cost(monkeypatch: pytest.MonkeyPatch) -> None:
    """A page that was opened early is told that it is connected, and told again."""
    monkeypatch.setattr(module, "PING_SECONDS", 0.01)
    events = SnapshotBoard().events()

    assert (await anext(events)).startswith(b"retry: ")
    assert [b"event: tool\ndata: []\n\n"] * 2 == [await anext(events), await anext(events)]


async def test_listeners_share_the_bytes(monkeypatch: pytest.MonkeyPatch, board: SnapshotBoard) -> None:
    """However many look at the page, a view is made once."""
    made: list[Snapshot] = []

    def counted(snapshot: Snapshot, places: str) -> View:
        made.append(snapshot)
        return view(snapshot, places)

    monkeypatch.setattr(module, "view", counted)
    for _ in range(3):
        await heard(board.events())

    assert 1 == len(made)


async def test_the_same_snapshot_is_no_news(board: SnapshotBoard) -> None:
    """Showing what is shown already wakes nobody."""
    version = board.version
    board.show(MADE, "")
    board.show(None)

    assert version == board.version


async def test_events_of_200_clients_stay_small() -> None:
    """A view of 200 clients takes less than 400 kB, which a browser on this machine gets five times a second."""
    board = SnapshotBoard()
    board.show(example(200), "")
    event = await heard(board.events())

    assert 400_000 > len(json.dumps(event["view"], separators=(",", ":")))
