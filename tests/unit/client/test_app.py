"""Tests of the client as a whole, lightly: its subscribers, and its stop. The rest is for the integration tests."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from services.client import app
from services.client.external.subscriber import ExternalSubscriber
from services.client.settings import ClientSettings
from services.client.subscriber import Subscriber
from services.runtime.errors import UnwritableFolder
from services.runtime.saturation import SaturationMonitor


def settings(volumes: Path, **environment: str) -> ClientSettings:
    """Return settings of a client that reaches no server."""
    return ClientSettings.read({"VOLUMES": str(volumes), "SERVER_URL": "ws://127.0.0.1:1", **environment})


@pytest.mark.parametrize(("feed", "kind"), [("streamgauge", Subscriber), ("foreign", ExternalSubscriber)])
async def test_one_process_may_be_several_clients(
    tmp_path: Path, feed: str, kind: type[Subscriber | ExternalSubscriber]
) -> None:
    """Each connection is a client with a name and a block size of its own, of whichever feed; they are one instance."""
    (tmp_path / "logs").mkdir()
    given = settings(tmp_path, CONNECTIONS="3", FEED=feed)
    made = [
        it for it in await app.receivers(given, "app-client-2.app_wire", SaturationMonitor()) if isinstance(it, kind)
    ]

    assert [("client-2.1", 100), ("client-2.2", 250), ("client-2.3", 10)] == [
        (it.name, it._conditions.block_size) for it in made
    ]
    assert 1 == len({it._conditions.instance for it in made})
    assert 1 == len({it._conditions.strain for it in made})


async def test_runs_until_stopped(tmp_path: Path) -> None:
    """Without a server the client tries on, and stops when it is told to."""
    stop = asyncio.Event()
    task = asyncio.create_task(app.main(settings(tmp_path, CLIENT_ID="client-1"), stop))
    await asyncio.sleep(0)
    stop.set()
    async with asyncio.timeout(10):
        assert 0 == await task


async def test_a_folder_that_refuses_is_said(tmp_path: Path) -> None:
    """A folder that cannot be written to is the operator's to mend."""
    (tmp_path / "logs").write_text("a file")

    with pytest.raises(UnwritableFolder):
        await app.main(settings(tmp_path, CLIENT_ID="client-1"), asyncio.Event())


async def test_a_fault_ends_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that fails ends the process, which is restarted, rather than living on deaf."""

    async def fail(_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Subscriber, "run", fail)
    async with asyncio.timeout(10):
        with pytest.raises(ZeroDivisionError):
            await app.main(settings(tmp_path, CLIENT_ID="client-1"), asyncio.Event())
