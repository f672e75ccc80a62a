"""Tests of the server's end of a connection, over real sockets on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK
from websockets.protocol import State

from services.contract import wire
from services.runtime.clock import Clock
from services.server.connection import QUIET_SECONDS, WRITE_LIMIT, FeedConnection, connection_of

FRAME = wire.Idle(next=1, now_us=2)


@asynccontextmanager
async def pair(process_clock: Clock) -> AsyncIterator[tuple[FeedConnection, ClientConnection]]:
    """Connect a client, which does not read of itself, to a server's connection."""
    connected: asyncio.Future[FeedConnection] = asyncio.get_running_loop().create_future()

    async def hold(connection: ServerConnection) -> None:
        assert isinstance(connection, FeedConnection)
        connected.set_result(connection)
        await connection.wait_closed()

    async with serve(
        *(hold, "127.0.0.1", 0),
        create_connection=connection_of(process_clock),
        compression=None,
        write_limit=WRITE_LIMIT,
        close_timeout=0.2,
    ) as server:
        port = server.sockets[0].getsockname()[1]
        async with connect(
            f"ws://127.0.0.1:{port}", compression=None, proxy=None, max_size=None, max_queue=1, close_timeout=0.2
        ) as client:
            yield await connected, client
            client.transport.abort()


async def test_frames_are_handed_over() -> None:
    """A frame arrives as a text message, without the sender's waiting."""
    async with pair(Clock()) as (server, client):
        server.say(FRAME)

        assert wire.encode(FRAME).decode() == await client.recv()


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65_535, 65_536, wire.MAX_FRAME])
async def test_frames_of_every_length_arrive(length: int) -> None:
    """A frame in pieces arrives as one text message, whatever its length, and the library's own go on beside it."""
    text = "x" * length
    async with asyncio.timeout(20), pair(Clock()) as (server, client):
        server.hand_over(text[:7].encode(), text[7:].encode())
        await server.send("and its own")

        assert [text, "and its own"] == [await client.recv(), await client.recv()]


async def test_nothing_is_sent_behind_a_close() -> None:
    """A frame for a connection that is closing is dropped."""
    async with asyncio.timeout(20), pair(Clock()) as (server, client):
        await server.close()
        server.say(FRAME)
        with pytest.raises(ConnectionClosedOK):
            await client.recv()


async def test_a_peer_that_is_gone_is_sent_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """Between the end of a peer and its being noticed frames are dropped, without a word in the log."""
    async with pair(Clock()) as (server, _):
        server.transport.get_extra_info("socket").shutdown(socket.SHUT_WR)
        for _ in range(20):
            server.say(FRAME)

        assert server.transport.is_closing()
        assert State.OPEN is server.state
        assert [] == caplog.messages


async def test_messages_carry_their_arrival() -> None:
    """A message is stamped when its bytes come, by the process's clock, before it is taken."""
    clock = Clock()
    async with pair(clock) as (server, client):
        before_ns = clock.now_ns()
        await client.send("one")
        await client.send("two")
        assert ["one", "two"] == [await server.recv(), await server.recv()]
        after_ns = clock.now_ns()
        stamps = [server.stamps.take_ns(), server.stamps.take_ns()]

    assert [before_ns, *stamps, after_ns] == sorted([before_ns, *stamps, after_ns])


async def test_a_peer_that_does_not_read_blocks_itself() -> None:
    """Handing over never waits: the peer is seen as blocked, and unblocked is told when it reads again."""
    async with asyncio.timeout(20), pair(Clock()) as (server, client):
        unblocked = asyncio.Event()
        server.on_unblocked = unblocked.set
        while not server.blocked:
            server.hand_over(b"x" * 200_000)
            await asyncio.sleep(0)
        assert server.buffered > WRITE_LIMIT[0]
        while not unblocked.is_set():
            await client.recv()

        assert server.buffered <= WRITE_LIMIT[1]


async def test_what_goes_only_in_part_arrives_whole() -> None:
    """A frame of which the socket takes a part, in whichever piece it breaks off, arrives as it was handed over."""
    async with asyncio.timeout(20), pair(Clock()) as (server, client):
        sent: list[str] = []
        while not server.blocked:
            letter = chr(ord("a") + len(sent) % 26)
            sent.append(letter * 70_001 + letter.upper() * 50_003)
            server.hand_over(sent[-1][:70_001].encode(), sent[-1][70_001:].encode())

        assert sent == [await client.recv() for _ in sent]


async def test_what_piles_up_is_bounded() -> None:
    """Who takes nothing is cut off before it fills the server's memory."""
    async with asyncio.timeout(20), pair(Clock()) as (server, _):
        while not server.transport.is_closing():
            server.hand_over(b"x" * 200_000)
            await asyncio.sleep(0)
        with contextlib.suppress(ConnectionClosed):
            await server.recv()

    assert server.buffered <= 4 * 1024 * 1024


async def test_ends_in_bounded_time() -> None:
    """Closing a connection whose peer does not read cuts it off instead of waiting."""
    async with asyncio.timeout(20), pair(Clock()) as (server, _):
        while not server.blocked:
            server.hand_over(b"x" * 200_000)
            await asyncio.sleep(0)
        await server.end(wire.CLOSE_DRAINING, "draining")

        assert server.transport.is_closing()


async def test_a_close_has_its_code() -> None:
    """A peer that reads learns why it was closed."""
    async with asyncio.timeout(20), pair(Clock()) as (server, client):
        ending = asyncio.create_task(server.end(wire.CLOSE_SUPERSEDED, "superseded"))
        with contextlib.suppress(ConnectionClosed):
            await client.recv()
        await ending

        assert wire.CLOSE_SUPERSEDED == client.close_code


async def test_a_quiet_peer_is_asked() -> None:
    """A peer from which nothing has come for long is sent a ping; that it answers is heard."""
    async with asyncio.timeout(20), pair(Clock()) as (server, _):
        before, server.heard = server.heard, server.heard - 1.5 * QUIET_SECONDS
        server.keep_alive(before)
        while server.heard < before:  # noqa: ASYNC110 - set as bytes come, waited for once
            await asyncio.sleep(0.01)

        assert State.OPEN is server.state


async def test_a_peer_that_does_not_answer_is_cut_off() -> None:
    """A peer that has not answered for as long again is gone; one that was heard of lately is left alone."""
    async with asyncio.timeout(20), pair(Clock()) as (server, _):
        server.keep_alive(server.heard + QUIET_SECONDS)
        assert not server.transport.is_closing()
        server.keep_alive(server.heard + 2 * QUIET_SECONDS + 1)

        assert server.transport.is_closing()


async def test_a_blocked_peer_is_not_asked() -> None:
    """A peer that has much to read yet cannot have come to a question: it is neither asked nor cut off for that."""
    async with asyncio.timeout(20), pair(Clock()) as (server, _):
        while not server.blocked:
            server.hand_over(b"x" * 200_000)
            await asyncio.sleep(0)
        waiting = server.buffered
        for quiet in (1.5, 3):
            server.keep_alive(server.heard + quiet * QUIET_SECONDS)

        assert (waiting, False) == (server.buffered, server.transport.is_closing())


async def test_of_the_handshake_nothing_stays() -> None:
    """Once the handshake is over nothing of its request is kept: who may control the run is decided by then."""
    async with pair(Clock()) as (server, _):
        assert server.request is not None
        server.request.headers["Authorization"] = "Bearer one"
        server.request.headers["Authorization"] = "Bearer two"
        assert ["Bearer one", "Bearer two"] == list(server.authority())
        server.forget_handshake()

        assert [] == list(server.request.headers.raw_items())
        assert ("", None, []) == (server.request.path, server.response, list(server.authority()))


@pytest.mark.parametrize("cut", [True, False], ids=["cut", "closed"])
async def test_a_lost_connection_is_forgotten_at_once(cut: bool) -> None:
    """Nothing of a connection that is over waits for the garbage collector, however it ended."""
    ends: list[weakref.ref[object]] = []
    gone = asyncio.Event()

    async def hold(connection: ServerConnection) -> None:
        ends.extend((weakref.ref(connection), weakref.ref(connection.transport), weakref.ref(connection.protocol)))
        with contextlib.suppress(ConnectionClosed):
            await connection.recv()
        asyncio.get_running_loop().call_later(0.1, gone.set)

    gc.disable()
    try:
        async with (
            asyncio.timeout(20),
            serve(
                *(hold, "127.0.0.1", 0),
                create_connection=connection_of(Clock()),
                # As the server does: the library ties these to the connection.
                select_subprotocol=lambda *_: None,
                compression=None,
            ) as server,
        ):
            port = server.sockets[0].getsockname()[1]
            client = await connect(f"ws://127.0.0.1:{port}", compression=None, proxy=None)
            if cut:
                client.transport.abort()
            await client.close()
            await gone.wait()

            assert [None, None, None] == [end() for end in ends]
    finally:
        gc.enable()
