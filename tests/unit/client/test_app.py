"""Tests of the client process: its subscribers and its stop."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from services.client import app
from services.client.external.subscriber import ExternalSubscriber
from services.client.naming.container_name import FoundName
from services.client.settings import ClientSettings
from services.client.subscriber import Subscriber
from services.runtime.errors import UnwritableFolder
from services.runtime.saturation import SaturationMonitor


def settings(volumes: Path, **environment: str) -> ClientSettings:
    """Return settings of a client that reaches no server."""
    return ClientSettings.read({"VOLUMES": str(volumes), "SERVER_URL": "ws://127.0.0.1:1", **environment})


@pytest.mark.parametrize(("feed", "kind"), [("streamgauge", Subscriber), ("foreign", ExternalSubscriber)])
async def test_one_process_can_be_several_clients(
    tmp_path: Path, feed: str, kind: type[Subscriber | ExternalSubscriber]
) -> None:
    """With either feed each connection is a client with its own name and block size; all share one instance."""
    (tmp_path / "logs").mkdir()
    config = settings(tmp_path, CONNECTIONS="3", FEED=feed)
    clients = await app.subscribers(config, FoundName("client-2", "reverse DNS"), SaturationMonitor())
    made = [client for client in clients if isinstance(client, kind)]

    assert [("client-2.1", 100), ("client-2.2", 250), ("client-2.3", 10)] == [
        (it.name, it._config.block_size) for it in made
    ]
    assert 1 == len({it._config.instance for it in made})
    assert 1 == len({it._config.saturation for it in made})


async def test_runs_until_stopped(tmp_path: Path) -> None:
    """Without a server the client keeps trying, and stops when its event is set."""
    stop = asyncio.Event()
    task = asyncio.create_task(app.main(settings(tmp_path, CLIENT_ID="client-1"), stop))
    await asyncio.sleep(0)
    stop.set()
    async with asyncio.timeout(10):
        assert 0 == await task


async def test_an_unwritable_folder_is_reported(tmp_path: Path) -> None:
    """A folder that cannot be written to raises an operator's error."""
    (tmp_path / "logs").write_text("a file")

    with pytest.raises(UnwritableFolder):
        await app.main(settings(tmp_path, CLIENT_ID="client-1"), asyncio.Event())


async def test_a_fault_ends_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A client that fails ends the process, so that it is restarted."""

    async def fail(_: Any) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Subscriber, "run", fail)
    async with asyncio.timeout(10):
        with pytest.raises(ZeroDivisionError):
            await app.main(settings(tmp_path, CLIENT_ID="client-1"), asyncio.Event())
