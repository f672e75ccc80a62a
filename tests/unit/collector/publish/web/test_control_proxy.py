"""Tests of services/collector/publish/web/control_proxy.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve

from services.collector.publish.web.control_proxy import ControlProxy
from services.collector.settings import CollectorSettings
from services.contract import wire
from services.runtime.control import token
from services.runtime.control.commands import ServerUnreachable

STATUS = wire.Control(do="status")
STANDING = wire.Controlled(run="20261122T073000Z", state="running", rate=200, head=7, clients=["client-1"])


def settings(folder: Path, url: str, **changed: str) -> CollectorSettings:
    """Return the settings of a collector of a server."""
    return CollectorSettings.read({"VOLUMES": str(folder), "SERVER_URL": url, **changed})


async def test_the_current_token_of_the_server_is_sent(tmp_path: Path) -> None:
    """The token is read for each request, so a restarted server accepts it; without a token none is sent."""
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


def test_the_configured_token_takes_precedence(tmp_path: Path) -> None:
    """A token from the settings is sent even if a server has written another one."""
    (tmp_path / "ledger").mkdir()
    token.draw(tmp_path / "ledger")

    assert "sesame" == ControlProxy(settings(tmp_path, "ws://x", CONTROL_TOKEN="sesame"))._current_token()


async def test_an_external_feed_gets_no_request(tmp_path: Path) -> None:
    """No request and no token is sent to an external feed, and the error says why."""
    connected: list[ServerConnection] = []

    async def count(connection: ServerConnection) -> None:
        connected.append(connection)

    async with serve(count, "127.0.0.1", 0) as listening:
        url = f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        control = ControlProxy(settings(tmp_path, url, CONTROL_TOKEN="sesame", FEED="foreign"))
        with pytest.raises(ServerUnreachable, match="not available: the feed is an external one"):
            await control.ask(STATUS)

    assert [] == connected


async def test_an_unreachable_server_is_an_error(tmp_path: Path) -> None:
    """Without a server the request raises ServerUnreachable."""
    with pytest.raises(ServerUnreachable, match="nothing listens there"):
        await ControlProxy(settings(tmp_path, "ws://127.0.0.1:1")).ask(STATUS)
