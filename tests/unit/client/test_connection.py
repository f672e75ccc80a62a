"""Tests of the client's end of a connection, over real sockets on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed, ConnectionClosedError
from websockets.http11 import Response

from services.client.connection import StampedConnection, connect_to
from services.client.dial import AddressLookup
from services.contract import wire
from services.runtime.clock import Clock


@asynccontextmanager
async def pair(process_clock: Clock) -> AsyncIterator[tuple[StampedConnection, ServerConnection]]:
    """Connect to a server that waits."""
    connected: asyncio.Future[ServerConnection] = asyncio.get_running_loop().create_future()

    async def hold(connection: ServerConnection) -> None:
        connected.set_result(connection)
        await connection.wait_closed()

    async with serve(hold, "127.0.0.1", 0, compression=None, close_timeout=0.2) as server:
        port = server.sockets[0].getsockname()[1]
        client = await connect_to(f"ws://127.0.0.1:{port}", process_clock, 3.0, AddressLookup())
        try:
            async with asyncio.timeout(20):
                yield client, await connected
        finally:
            client.transport.abort()


async def test_offers_the_subprotocol() -> None:
    """The client names its subprotocol, and uses neither compression nor a proxy."""
    async with pair(Clock()) as (_, server):
        assert server.request is not None
        headers = server.request.headers

        assert wire.SUBPROTOCOL == headers["Sec-WebSocket-Protocol"]
        assert "Sec-WebSocket-Extensions" not in headers


async def test_a_handshake_is_not_waited_for_without_end() -> None:
    """A server that accepts the connection and never answers the handshake causes a timeout."""
    taken: list[asyncio.StreamWriter] = []
    async with await asyncio.start_server(lambda _, writer: taken.append(writer), "127.0.0.1", 0) as deaf:
        port = deaf.sockets[0].getsockname()[1]
        with pytest.raises(TimeoutError):
            await connect_to(f"ws://127.0.0.1:{port}", Clock(), 0.2, AddressLookup())
        for writer in taken:
            writer.close()


@pytest.mark.parametrize("location", ["ws://127.0.0.1:1/", "/elsewhere", "http://["])
async def test_a_redirect_is_a_failed_attempt(location: str) -> None:
    """A server that redirects, even to a malformed address, cannot be reached now; it is no error of the client."""
    async with serve(
        lambda connection: connection.wait_closed(),
        "127.0.0.1",
        0,
        process_request=lambda _, __: Response(301, "Moved Permanently", Headers(Location=location)),
    ) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(ConnectionError, match="the server redirects"):
            await connect_to(f"ws://127.0.0.1:{port}", Clock(), 3.0, AddressLookup())


async def test_frames_are_sent_without_waiting() -> None:
    """A frame arrives as a text message; on a closed connection it is dropped."""
    async with pair(Clock()) as (client, server):
        client.send_nowait(wire.Ping(t1_us=1))
        assert wire.encode(wire.Ping(t1_us=1)).decode() == await server.recv()
        await client.close()
        client.send_nowait(wire.Ping(t1_us=2))
        with pytest.raises(ConnectionClosed):
            await server.recv()


async def test_messages_are_stamped_before_they_are_taken() -> None:
    """A message has the time of its arrival, even if it is processed much later."""
    clock = Clock()
    async with pair(clock) as (client, server):
        await server.send("one")
        await server.send("two")
        await (await server.ping())
        read_ns = clock.now_ns()
        await client.recv()
        await client.recv()

        assert client.stamps.pop_ns() <= client.stamps.pop_ns() <= read_ns


async def test_a_message_in_pieces_has_the_stamp_of_the_last() -> None:
    """A message in fragments has the arrival time of its last bytes."""
    clock = Clock()
    async with pair(clock) as (client, server):

        async def pieces() -> AsyncIterator[str]:
            yield "one "
            await (await server.ping())
            yield "two"

        before_ns = clock.now_ns()
        await server.send(pieces())
        assert "one two" == await client.recv()
        first, after_ns = client.stamps.pop_ns(), clock.now_ns()

        assert before_ns <= first <= after_ns
        assert not client.stamps._waiting


async def test_a_message_is_taken_at_once() -> None:
    """A message that is handled at once is not queued; a message that is not handled keeps its arrival time."""
    clock, taken = Clock(), []

    def odd_ones(data: bytes, received_ns: int) -> bool:
        taken.append((data, received_ns))
        return len(data) % 2 == 1

    async with pair(clock) as (client, server):
        before_ns = clock.now_ns()
        client.handle_at_once = odd_ones
        await server.send("one")
        await server.send("four")
        assert "four" == await client.recv()
        after_ns = clock.now_ns()

        assert [b"one", b"four"] == [data for data, _ in taken]
        assert before_ns <= taken[0][1] <= taken[1][1] == client.stamps.pop_ns() <= after_ns


async def test_no_message_overtakes_another() -> None:
    """While a message waits in the queue, all later ones are queued too, even if they arrive in the same read."""
    taken: list[bytes] = []

    def all_but_the_first(data: bytes, _: int) -> bool:
        taken.append(data)
        return len(taken) > 1

    async with pair(Clock()) as (client, server):
        client.handle_at_once = all_but_the_first
        for text in ("waits", "behind it"):
            await server.send(text)
        await (await server.ping())
        assert [b"waits"] == taken
        for expected in ("waits", "behind it"):
            assert expected == await client.recv()
            client.stamps.pop_ns()
        await server.send("is free")
        await (await server.ping())

        assert [b"waits", b"is free"] == taken


async def test_a_message_in_pieces_is_not_taken_at_once() -> None:
    """A message in fragments is joined before it is handled."""
    async with pair(Clock()) as (client, server):

        async def pieces() -> AsyncIterator[str]:
            yield "one "
            yield "two"

        client.handle_at_once = lambda *_: True
        await server.send(pieces())

        assert "one two" == await client.recv()


async def test_frames_beyond_the_limit_are_refused() -> None:
    """A frame larger than the protocol allows ends the connection instead of filling the memory."""
    async with pair(Clock()) as (client, server):
        await server.send("x" * (wire.MAX_FRAME + 1))

        with pytest.raises(ConnectionClosedError, match="1009"):
            await client.recv()
