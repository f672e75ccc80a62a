"""Tests of services/collector/publish/web/control.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve

from services.collector.publish.web.control import ControlProxy
from services.collector.settings import CollectorSettings
from services.contract import wire
from services.runtime.control import token
from services.runtime.control.commands import ServerUnreachable

STATUS = wire.Control(do="status")
STANDING = wire.Controlled(run="20261122T073000Z", state="running", rate=200, head=7, clients=["client-1"])


def settings(folder: Path, url: str, **changed: str) -> CollectorSettings:
    """Return the settings of a collector of a server."""
    return CollectorSettings.read({"VOLUMES": str(folder), "SERVER_URL": url, **changed})


async def test_the_token_of_the_server_that_is_on_is_shown(tmp_path: Path) -> None:
    """The token is read for each wish, so that a server's restart changes nothing; without one none is shown."""
    shown: list[str | None] = []
    (tmp_path / "ledger").mkdir()

    async def answer(connection: ServerConnection) -> None:
        assert connection.request is not None
        shown.append(connection.request.headers.get("Authorization"))
        async for _ in connection:
            await connection.send(wire.encode(STANDING), text=True)

    async with serve(answer, "127.0.0.1", 0) as listening:
        control = ControlProxy(settings(tmp_path, f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}"))
        assert STANDING == await control.ask(STATUS)
        drawn = [token.draw(tmp_path / "ledger")]
        assert STANDING == await control.ask(STATUS)
        drawn.append(token.draw(tmp_path / "ledger"))
        assert STANDING == await control.ask(STATUS)

    assert [None, f"Bearer {drawn[0]}", f"Bearer {drawn[1]}"] == shown


def test_the_operators_own_token_comes_first(tmp_path: Path) -> None:
    """A token that was set is shown whatever stands in the file of a server before."""
    (tmp_path / "ledger").mkdir()
    token.draw(tmp_path / "ledger")

    assert "sesame" == ControlProxy(settings(tmp_path, "ws://x", CONTROL_TOKEN="sesame"))._token_now()


async def test_a_feed_that_is_not_ours_hears_nothing(tmp_path: Path) -> None:
    """To somebody else's server no wish is said and no token shown; what is said is why."""
    connected: list[ServerConnection] = []

    async def note(connection: ServerConnection) -> None:
        connected.append(connection)

    async with serve(note, "127.0.0.1", 0) as listening:
        url = f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        control = ControlProxy(settings(tmp_path, url, CONTROL_TOKEN="sesame", FEED="foreign"))
        with pytest.raises(ServerUnreachable, match="not available: the feed is an external one"):
            await control.ask(STATUS)

    assert [] == connected


async def test_a_server_that_is_not_there_is_said(tmp_path: Path) -> None:
    """Without a server the wish is not granted, and the collector goes on."""
    with pytest.raises(ServerUnreachable, match="nothing listens there"):
        await ControlProxy(settings(tmp_path, "ws://127.0.0.1:1")).ask(STATUS)
