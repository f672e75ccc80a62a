"""Tests of the answers to opening requests, over real sockets on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import InvalidStatus
from websockets.protocol import State
from websockets.typing import Origin

from services.runtime.access.access_control import AccessControl
from services.runtime.access.listen_rules import ListenRules
from services.runtime.clock import Clock
from services.server.connections.connection import FeedConnection, connection_class
from services.server.connections.gatekeeper import Gatekeeper
from services.server.metrics import ServerMetrics
from services.server.opening_requests import OpeningRequests
from services.server.streaming.stream import Stream
from tests.unit.server.fakes import StoppedClock, new_run

TOKEN = "the-control-token"


class Feed:
    """A server that engages a peer with its first message, and has two places for each address before that."""

    def __init__(self, stream: Stream, port: int) -> None:
        self.stream, self.url, self.port = stream, f"ws://127.0.0.1:{port}", port

    async def status(self, request: str) -> tuple[str, str]:
        """Return the status line and the rest of the response to a plain request."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request.replace("\n", "\r\n").encode() + b"\r\n\r\n")
        head, _, rest = (await reader.read(100_000)).decode().partition("\r\n")
        writer.close()
        return head.removeprefix("HTTP/1.1 "), rest


@pytest.fixture
async def feed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Feed]:
    """A server whose requests are answered."""
    stream = Stream(new_run(tmp_path, StoppedClock()), StoppedClock())
    keeper = Gatekeeper(AccessControl(ListenRules()), stream.refusals, lambda _authorization, is_trusted: is_trusted)
    requests = OpeningRequests(stream, ServerMetrics(stream), keeper, lambda: TOKEN)
    made = connection_class(Clock(), stream.refusals)
    monkeypatch.setattr(made.gate, "_per_address", 2)

    async def hold(connection: ServerConnection) -> None:
        assert isinstance(connection, FeedConnection)
        async for _ in connection:
            connection.engage()

    async with serve(
        *(hold, "127.0.0.1", 0),
        create_connection=made,
        process_request=requests.answer,
        process_response=requests.count,
        origins=[None],
        close_timeout=0.2,
    ) as server:
        yield Feed(stream, server.sockets[0].getsockname()[1])


async def test_plain_requests_are_answered(feed: Feed) -> None:
    """The state and the metrics are plain text; other paths need an upgrade."""
    host = " HTTP/1.1\nHost: server:8765"

    assert "200 OK" == (await feed.status(f"GET /healthz{host}"))[0]
    assert "streamgauge_refusals_total" in (await feed.status(f"GET /metrics?x=1{host}"))[1]
    assert "426 Upgrade Required" == (await feed.status(f"GET http://[{host}"))[0]


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        ("GET /metrics HTTP/1.1\nHost: evil.example", "421 Misdirected Request"),
        ("GET /healthz HTTP/1.1", "400 Bad Request"),
        ("GET / HTTP/1.1\nHost: a\nHost: b", "400 Bad Request"),
    ],
)
async def test_a_wrong_host_is_refused(feed: Feed, request_text: str, status: str) -> None:
    """A request with a Host that a page can have, or without exactly one, is refused and counted."""
    assert status == (await feed.status(request_text))[0]
    assert 1 == feed.stream.refusals.counts["request"]


async def test_an_origin_is_refused(feed: Feed) -> None:
    """A page in a browser is refused and counted."""
    with pytest.raises(InvalidStatus, match="403"):
        await connect(feed.url, origin=Origin("http://localhost"), proxy=None)
    assert 1 == feed.stream.refusals.counts["request"]


async def test_an_address_without_subscriptions_is_limited(feed: Feed) -> None:
    """Beyond the limit of an address a peer is answered 503 with Retry-After; a holder of the token is not."""
    held = [await connect(feed.url, proxy=None) for _ in range(2)]
    with pytest.raises(InvalidStatus, match="503") as refused:
        await connect(feed.url, proxy=None)
    operator = await connect(feed.url, proxy=None, additional_headers={"Authorization": f"Bearer {TOKEN}"})
    assert "200 OK" == (await feed.status("GET /healthz HTTP/1.1\nHost: localhost"))[0]

    assert "1" == refused.value.response.headers["Retry-After"]
    assert 1 == feed.stream.refusals.counts["crowded"]
    await asyncio.gather(*(connection.close() for connection in (*held, operator)))
    await (await connect(feed.url, proxy=None)).close()


async def test_all_clients_of_one_address_get_in(feed: Feed) -> None:
    """Many more clients of one address than there are places for new peers get in, since each is new for a moment."""
    statuses = set[int]()

    async def join() -> ClientConnection:
        while True:
            try:
                client = await connect(feed.url, proxy=None)
                await client.send("subscribe")
            except InvalidStatus as refused:
                statuses.add(refused.response.status_code)
            else:
                return client

    async with asyncio.timeout(60):
        clients = await asyncio.gather(*(join() for _ in range(40)))

    assert ({503}, {State.OPEN}) == (statuses, {client.state for client in clients})
    assert feed.stream.refusals.counts["crowded"] > 0
    await asyncio.gather(*(client.close() for client in clients))


async def test_a_fault_is_no_secret(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unexpected exception is answered 500, counted and logged."""
    monkeypatch.setattr(ServerMetrics, "text", lambda _: 1 // 0)

    assert "500 Internal Server Error" == (await feed.status("GET /metrics HTTP/1.1\nHost: localhost"))[0]
    assert 1 == feed.stream.refusals.counts["fault"]
