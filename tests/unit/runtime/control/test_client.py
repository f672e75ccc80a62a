"""Tests of the client of the control channel, against a server over real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve

from services.contract import wire
from services.runtime.control.client import ControlClient
from services.runtime.control.commands import ControlRefused, ServerUnreachable

STATUS = wire.Control(do="status")
STATE = wire.Controlled(run="20261122T073000Z", state="running", rate=200, head=7, clients=["client-1"])
WELCOME = wire.Welcome(
    run="20261122T073000Z", feed="f", state="running", total=100, rate=200, start_us=None, boot="b", now_us=1
)
NEXT = wire.Welcome(
    run="20261122T073500Z", feed="f", state="waiting", total=100, rate=200, start_us=None, boot="b", now_us=1
)

Replies = Callable[[wire.FromClient], list[wire.Frame]]


class Server:
    """A server that replies as the test sets, and records the requests."""

    def __init__(self, replies: Replies) -> None:
        self.replies = replies
        self.requests: list[wire.FromClient] = []
        self.tokens: list[str | None] = []
        self.url, self.max_requests = "", 100
        self.closed = asyncio.Event()

    async def handle(self, connection: ServerConnection) -> None:
        """Send a welcome, then reply to the requests; close instead of sending an empty reply."""
        assert connection.request is not None
        self.tokens.append(connection.request.headers.get("Authorization"))
        await connection.send(wire.encode(WELCOME), text=True)
        for _ in range(self.max_requests):
            frame = wire.decode_from_client(await connection.recv(decode=False))
            self.requests.append(frame)
            frames = self.replies(frame)
            for item in frames:
                await connection.send(wire.encode(item), text=True)
            if not frames:
                break
        await connection.close()
        self.closed.set()


@asynccontextmanager
async def server(replies: Replies = lambda _: [STATE]) -> AsyncIterator[Server]:
    """Start a server."""
    running = Server(replies)
    async with serve(running.handle, "127.0.0.1", 0, compression=None) as listening:
        running.url = f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        yield running


@pytest.mark.parametrize(("token", "shown"), [("sesame", "Bearer sesame"), ("", None)])
async def test_a_request_gets_a_reply(token: str, shown: str | None) -> None:
    """The token is sent with the handshake, the request unchanged, and the reply of the server is returned."""
    async with server() as there, ControlClient(there.url, token, 5) as client:
        reply = await client.request(STATUS)

    assert (STATE, [STATUS], [shown]) == (reply, there.requests, there.tokens)
    assert WELCOME == client.welcome


async def test_requests_share_a_connection(recorded: list[wire.FromServer]) -> None:
    """Further requests use the same connection; frames that are no replies are events, except the first welcome."""

    def replies(_: wire.FromClient) -> list[wire.Frame]:
        return [wire.Idle(next=1, now_us=1), NEXT, STATE]

    async with server(replies) as there, ControlClient(there.url, "", 5) as client:
        client.on_event = recorded.append
        for _ in range(2):
            await client.request(STATUS)

    assert 1 == len(there.tokens)
    assert [wire.Idle, wire.Welcome, wire.Idle] == [type(frame) for frame in recorded]
    assert NEXT == client.welcome


@pytest.fixture
def recorded() -> list[wire.FromServer]:
    """Return an empty list to which frames are appended."""
    return []


async def test_a_refusal_is_raised() -> None:
    """An error frame is raised with its code and its sentence, and the connection stays open."""
    refusal = wire.Error(code="no_client", detail="no client is named client-9")

    def replies(frame: wire.FromClient) -> list[wire.Frame]:
        return [STATE if frame == STATUS else refusal]

    async with server(replies) as there, ControlClient(there.url, "", 5) as client:
        with pytest.raises(ControlRefused, match="no client is named client-9") as raised:
            await client.request(wire.Control(do="drop", client="client-9"))
        assert STATE == await client.request(STATUS)
    assert "no_client" == raised.value.code
    assert 1 == len(there.tokens)


async def test_a_lost_connection_is_replaced() -> None:
    """A request fails if the server closes the connection; the next request opens a new one."""
    frames: list[list[wire.Frame]] = [[STATE], [], [STATE]]
    async with server(lambda _: frames.pop(0)) as there, ControlClient(there.url, "", 5) as client:
        await client.request(STATUS)
        with pytest.raises(ServerUnreachable, match="the server closed the connection"):
            await client.request(STATUS)
        assert STATE == await client.request(STATUS)

    assert 2 == len(there.tokens)


async def test_a_bye_is_an_event(recorded: list[wire.FromServer]) -> None:
    """A bye that arrived before the connection closed is reported with the next request."""
    bye = wire.Bye(reason="draining", retry_ms=500)
    frames: list[list[wire.Frame]] = [[STATE, bye], [STATE]]
    async with server() as there, ControlClient(there.url, "", 5) as client:
        there.replies, there.max_requests = lambda _: frames.pop(0), 1
        client.on_event = recorded.append
        await client.request(STATUS)
        async with asyncio.timeout(5):
            await there.closed.wait()
        await client.request(STATUS)

    assert [bye] == recorded


async def test_a_missing_reply_is_an_error() -> None:
    """A request to a server that does not reply fails after the timeout."""
    async with asyncio.timeout(5), server(lambda _: [wire.Idle(next=1, now_us=1)]) as there:
        client = ControlClient(there.url, "", 0.1)
        with pytest.raises(ServerUnreachable, match=r"no reply within 0\.1 s"):
            await client.request(STATUS)


async def test_a_closed_port_is_an_error() -> None:
    """The error about a closed port has the address."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(ServerUnreachable) as raised:
            await ControlClient(url, "", 5).request(STATUS)

    assert f"{url}: nothing listens there" == str(raised.value)


async def test_another_protocol_is_an_error() -> None:
    """A server of another protocol is reported as such."""

    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail ready\r\n")
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as other:
        port = other.sockets[0].getsockname()[1]
        with pytest.raises(ServerUnreachable, match=r"does not support streamgauge\.v1"):
            await ControlClient(f"ws://127.0.0.1:{port}", "", 5).request(STATUS)
