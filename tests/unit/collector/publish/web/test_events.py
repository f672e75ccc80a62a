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
from services.collector.publish.web.self_metrics import CollectorEffort, SelfMeter
from services.collector.verdict.snapshot import Snapshot
from tests.builders.snapshots import example

MADE = example()
EFFORT = CollectorEffort(1, 2, 0.0)


@pytest.fixture
def board() -> SnapshotBoard:
    """Return a board that shows a run."""
    made = SnapshotBoard()
    made.show(MADE, "files: here")
    made.set_effort(EFFORT, SelfMeter().tiles(EFFORT, 0, 1, 1.0))
    return made


async def next_event(events: AsyncIterator[bytes]) -> dict[str, Any]:
    """Return the data of the next unnamed event."""
    while not (event := await anext(events)).startswith(b"data: "):
        pass
    decoded: dict[str, Any] = json.loads(event[len(b"data: ") :])
    return decoded


async def test_the_first_event_has_everything(board: SnapshotBoard) -> None:
    """The first event of a listener has the view, the chart data and the collector's tiles."""
    event = await next_event(board.events())

    assert msgspec.to_builtins(view(MADE, "files: here")) == event["view"]
    assert MADE.timeline.run == event["charts"]["run"]
    assert ["cpu", "memory", "behind", "lines", "errors"] == [tile["key"] for tile in event["tool"]]


async def test_events_follow_the_board(board: SnapshotBoard) -> None:
    """Each new snapshot is an event; closing the board ends the stream."""
    events = board.events()
    await next_event(events)
    later = asyncio.ensure_future(next_event(events))
    await asyncio.sleep(0)
    board.show(example(2), "")

    assert 2 == len((await later)["view"]["clients"]["rows"])

    board.close()

    assert [] == [event async for event in events]


async def test_chart_data_is_sent_once_a_second(board: SnapshotBoard) -> None:
    """A new snapshot is sent at once, and its chart data when a second has passed since the last."""
    now = 100.0
    events = board.events(lambda: now)
    await next_event(events)
    board.show(example(2), "")

    assert {"tool", "view"} == (await next_event(events)).keys()

    now += module.CHARTS_SECONDS
    event = await next_event(events)

    assert {"tool", "charts"} == event.keys()
    assert 2 == len(event["charts"]["lanes"])


async def test_pings_are_sent_while_nothing_changes() -> None:
    """While nothing changes, a listener gets the collector's tiles regularly."""
    board = SnapshotBoard(ping_seconds=0.01)
    board.show(MADE)
    board.set_effort(EFFORT, SelfMeter().tiles(EFFORT, 0, 1, 1.0))
    events = board.events()
    await next_event(events)

    assert (await anext(events)).startswith(b"event: tool\ndata: [{")


async def test_before_the_first_run_there_are_only_pings() -> None:
    """A page that is opened before the first run gets pings."""
    events = SnapshotBoard(ping_seconds=0.01).events()

    assert (await anext(events)).startswith(b"retry: ")
    assert [b"event: tool\ndata: []\n\n"] * 2 == [await anext(events), await anext(events)]


async def test_listeners_share_one_encoding(monkeypatch: pytest.MonkeyPatch, board: SnapshotBoard) -> None:
    """A view is encoded once for all listeners."""
    made: list[Snapshot] = []

    def counted(snapshot: Snapshot, places: str) -> View:
        made.append(snapshot)
        return view(snapshot, places)

    monkeypatch.setattr(module, "view", counted)
    for _ in range(3):
        await next_event(board.events())

    assert 1 == len(made)


async def test_the_same_snapshot_is_no_change(board: SnapshotBoard) -> None:
    """Showing the current snapshot again does not wake the listeners."""
    version = board.version
    board.show(MADE, "")
    board.show(None)

    assert version == board.version


async def test_events_of_200_clients_stay_small() -> None:
    """The view of 200 clients, sent up to five times a second, takes less than 400 kB."""
    board = SnapshotBoard()
    board.show(example(200), "")
    event = await next_event(board.events())

    assert 400_000 > len(json.dumps(event["view"], separators=(",", ":")))
