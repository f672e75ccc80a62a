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
from websockets.exceptions import ConnectionClosed, ConnectionClosedOK, InvalidStatus
from websockets.protocol import State

from services.contract import bounds, wire
from services.runtime.clock import Clock
from services.server.connections.connection import QUIET_SECONDS, WRITE_LIMIT, FeedConnection, connection_class
from services.server.connections.refusals import RefusalCounter
from tests.poll import poll_until

FRAME = wire.Idle(next=1, now_us=2)
PING = b"\x89\xfd\0\0\0\0" + b"p" * 125
"""As a client sends it, with a mask that changes nothing."""
OPENING = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@asynccontextmanager
async def pair(
    process_clock: Clock, refusals: RefusalCounter | None = None
) -> AsyncIterator[tuple[FeedConnection, ClientConnection]]:
    """Connect a client, which reads only when a test calls it, to a server's connection."""
    connected: asyncio.Future[FeedConnection] = asyncio.get_running_loop().create_future()

    async def hold(connection: ServerConnection) -> None:
        assert isinstance(connection, FeedConnection)
        connected.set_result(connection)
        await connection.wait_closed()

    async with serve(
        *(hold, "127.0.0.1", 0),
        create_connection=connection_class(process_clock, refusals),
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


async def test_frames_are_sent_without_waiting() -> None:
    """A frame arrives as a text message, and sending it does not wait."""
    async with pair(Clock()) as (server, client):
        server.send_frame(FRAME)

        assert wire.encode(FRAME).decode() == await client.recv()


@pytest.mark.parametrize("length", [0, 1, 125, 126, 127, 65_535, 65_536, wire.MAX_FRAME])
async def test_frames_of_every_length_arrive(length: int) -> None:
    """A frame sent in pieces arrives as one text message of any length, between messages that the library sends."""
    text = "x" * length
    async with asyncio.timeout(20), pair(Clock()) as (server, client):
        server.send_pieces(text[:7].encode(), text[7:].encode())
        await server.send("and its own")

        assert [text, "and its own"] == [await client.recv(), await client.recv()]


@pytest.mark.parametrize("greets", [True, False])
async def test_the_acceptance_goes_out_with_the_greeting(greets: bool) -> None:
    """The acceptance of a WebSocket arrives in one piece with a greeting of the same turn, and without one at once."""
    frame = wire.encode(FRAME)
    expected = bytes((0x81, len(frame))) + frame if greets else b""

    async def greet(connection: ServerConnection) -> None:
        assert isinstance(connection, FeedConnection)
        if greets:
            connection.send_frame(FRAME)
        await connection.wait_closed()

    async with (
        asyncio.timeout(20),
        serve(greet, "127.0.0.1", 0, create_connection=connection_class(Clock()), compression=None) as server,
    ):
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(OPENING)
        answer = await reader.read(65_536)
        writer.transport.abort()

    assert (b"HTTP/1.1 101 Switching Protocols", expected) == (answer[:32], answer.partition(b"\r\n\r\n")[2])


async def test_the_close_frame_comes_before_the_end_of_the_stream() -> None:
    """A peer that closes gets the answer and then the end of the stream, also after a frame that came just before."""
    async with asyncio.timeout(20), pair(Clock()) as (server, client):
        server.send_frame(FRAME)
        await client.close(1000, "enough")

        assert [wire.encode(FRAME).decode()] == [message async for message in client]
        assert (1000, "enough") == (client.close_code, client.close_reason)


async def test_nothing_is_sent_after_a_close() -> None:
    """A frame for a connection that is closing is dropped."""
    async with asyncio.timeout(20), pair(Clock()) as (server, client):
        await server.close()
        server.send_frame(FRAME)
        with pytest.raises(ConnectionClosedOK):
            await client.recv()


async def test_frames_for_a_disconnected_peer_are_dropped(caplog: pytest.LogCaptureFixture) -> None:
    """Frames are dropped, and nothing is logged, between the loss of a peer and its detection."""
    async with pair(Clock()) as (server, _):
        server.transport.get_extra_info("socket").shutdown(socket.SHUT_WR)
        for _ in range(20):
            server.send_frame(FRAME)

        assert server.transport.is_closing()
        assert State.OPEN is server.state
        assert [] == caplog.messages


async def test_messages_have_their_arrival_time() -> None:
    """The arrival time of a message is when its bytes were read, before it is delivered."""
    clock = Clock()
    async with pair(clock) as (server, client):
        before_ns = clock.now_ns()
        await client.send("one")
        await client.send("two")
        assert ["one", "two"] == [await server.recv(), await server.recv()]
        after_ns = clock.now_ns()
        stamps = [server.arrival_times.pop_ns(), server.arrival_times.pop_ns()]

    assert [before_ns, *stamps, after_ns] == sorted([before_ns, *stamps, after_ns])


async def test_texts_are_taken_in_their_order() -> None:
    """A text is offered to `take_at_once` unless an earlier one waits in the queue; it has no arrival time then."""
    offered: list[bytes] = []

    def take(text: bytes) -> bool:
        offered.append(text)
        return text.startswith(b"taken")

    async with asyncio.timeout(20), pair(Clock()) as (server, client):
        server.take_at_once = take
        for text in ("taken 1", "queued 2", "taken 3", b"binary 4"):
            await client.send(text)
        # Its pong shows that the server has parsed everything before.
        await (await client.ping())
        received = []
        for _ in range(3):
            received.append(await server.recv())
            server.arrival_times.pop_ns()

        assert ["queued 2", "taken 3", b"binary 4"] == received
        assert [b"taken 1", b"queued 2"] == offered[:2]
        assert not server.arrival_times.is_message_waiting


async def test_a_peer_that_does_not_read_is_blocked() -> None:
    """A peer that does not read becomes blocked, and `on_unblocked` is called once it reads again."""
    async with asyncio.timeout(20), pair(Clock()) as (server, client):
        unblocked = asyncio.Event()
        server.on_unblocked = unblocked.set
        while not server.is_blocked:
            server.send_pieces(b"x" * 200_000)
            await asyncio.sleep(0)
        assert server.buffered > WRITE_LIMIT[0]
        while not unblocked.is_set():
            await client.recv()

        assert server.buffered <= WRITE_LIMIT[1]


async def test_a_partly_written_frame_arrives_whole() -> None:
    """A frame that the socket accepts only in part, in any of its pieces, arrives unchanged."""
    async with asyncio.timeout(20), pair(Clock()) as (server, client):
        sent: list[str] = []
        while not server.is_blocked:
            letter = chr(ord("a") + len(sent) % 26)
            sent.append(letter * 70_001 + letter.upper() * 50_003)
            server.send_pieces(sent[-1][:70_001].encode(), sent[-1][70_001:].encode())

        assert sent == [await client.recv() for _ in sent]


async def test_unread_bytes_are_bounded() -> None:
    """A peer that reads nothing is cut off before it fills the server's memory."""
    async with asyncio.timeout(20), pair(Clock()) as (server, _):
        while not server.transport.is_closing():
            server.send_pieces(b"x" * 200_000)
            await asyncio.sleep(0)
        with contextlib.suppress(ConnectionClosed):
            await server.recv()

    assert server.buffered <= 4 * 1024 * 1024


async def test_a_close_takes_bounded_time() -> None:
    """Closing cuts off a peer that does not read instead of waiting for it."""
    async with asyncio.timeout(20), pair(Clock()) as (server, _):
        while not server.is_blocked:
            server.send_pieces(b"x" * 200_000)
            await asyncio.sleep(0)
        await server.close_within(wire.CLOSE_DRAINING, "draining")

        assert server.transport.is_closing()


async def test_a_close_has_its_code() -> None:
    """A peer that reads receives the close code."""
    async with asyncio.timeout(20), pair(Clock()) as (server, client):
        ending = asyncio.create_task(server.close_within(wire.CLOSE_SUPERSEDED, "superseded"))
        with contextlib.suppress(ConnectionClosed):
            await client.recv()
        await ending

        assert wire.CLOSE_SUPERSEDED == client.close_code


async def test_a_quiet_peer_is_sent_a_ping() -> None:
    """A peer that has sent nothing for long is sent a ping, and its pong counts as received."""
    async with asyncio.timeout(20), pair(Clock()) as (server, _):
        before, server.last_received = server.last_received, server.last_received - 1.5 * QUIET_SECONDS
        server.keep_alive(before)
        while server.last_received < before:  # noqa: ASYNC110 - set as bytes come, waited for once
            await asyncio.sleep(0.01)

        assert State.OPEN is server.state


async def test_a_peer_that_does_not_answer_is_cut_off() -> None:
    """A peer that is quiet for twice the time is cut off; one that was quiet for the time alone is not."""
    async with asyncio.timeout(20), pair(Clock()) as (server, _):
        server.keep_alive(server.last_received + QUIET_SECONDS)
        assert not server.transport.is_closing()
        server.keep_alive(server.last_received + 2 * QUIET_SECONDS + 1)

        assert server.transport.is_closing()


async def test_a_blocked_peer_is_sent_no_ping() -> None:
    """A blocked peer, which could not read a ping yet, is neither sent one nor cut off for being quiet."""
    async with asyncio.timeout(20), pair(Clock()) as (server, _):
        while not server.is_blocked:
            server.send_pieces(b"x" * 200_000)
            await asyncio.sleep(0)
        waiting = server.buffered
        for quiet in (1.5, 3):
            server.keep_alive(server.last_received + quiet * QUIET_SECONDS)

        assert (waiting, False) == (server.buffered, server.transport.is_closing())


async def test_the_handshake_is_released() -> None:
    """After the handshake no part of the request is kept: whether the peer may control was decided by then."""
    async with pair(Clock()) as (server, _):
        assert server.request is not None
        server.request.headers["Authorization"] = "Bearer one"
        server.request.headers["Authorization"] = "Bearer two"
        assert ["Bearer one", "Bearer two"] == list(server.authorization_values())
        server.forget_handshake()

        assert [] == list(server.request.headers.raw_items())
        assert ("", None, []) == (server.request.path, server.response, list(server.authorization_values()))


@pytest.mark.parametrize("cut", [True, False], ids=["cut", "closed"])
async def test_a_lost_connection_is_freed_at_once(cut: bool) -> None:
    """No part of a lost connection waits for the garbage collector, however the connection ended."""
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
                create_connection=connection_class(Clock()),
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


@pytest.mark.parametrize(
    "request_text",
    [
        pytest.param(b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", id="long line"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: " + b"x" * 9000 + b"\r\n\r\n", id="long header"),
        pytest.param(b"GET / HTTP/1.1\r\n" + b"Host: x\r\n" * 200 + b"\r\n", id="many headers"),
        pytest.param(b"not HTTP\r\n\r\n", id="not HTTP"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", id="no upgrade"),
        pytest.param(OPENING.replace(b"Version: 13", b"Version: 12"), id="version"),
        pytest.param(OPENING.replace(b"dGhl", b"    "), id="key"),
        pytest.param(OPENING[:40], id="unfinished"),
    ],
)
async def test_a_refused_request_is_freed_at_once(request_text: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """No part of a connection whose opening request is refused waits for the garbage collector."""
    ends: list[weakref.ref[object]] = []

    begin = FeedConnection.connection_made

    def note(connection: FeedConnection, transport: asyncio.BaseTransport) -> None:
        ends.extend((weakref.ref(connection), weakref.ref(connection.protocol)))
        begin(connection, transport)

    monkeypatch.setattr(FeedConnection, "connection_made", note)

    async def hold(_: ServerConnection) -> None:
        raise AssertionError("the request is refused")

    gc.disable()
    try:
        async with (
            asyncio.timeout(20),
            serve(
                *(hold, "127.0.0.1", 0),
                create_connection=connection_class(Clock()),
                select_subprotocol=lambda *_: None,
            ) as server,
        ):
            reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
            writer.write(request_text)
            writer.write_eof()
            await reader.read()
            writer.close()
            await asyncio.to_thread(
                poll_until, lambda: [end() for end in ends] == [None, None], "nothing is left of it", 5, 0.01
            )
    finally:
        gc.enable()


class DeafPeer:
    """A peer on a plain socket that reads nothing, and the server's end of its connection."""

    def __init__(self, server: FeedConnection, peer: socket.socket) -> None:
        self.server, self._peer = server, peer

    async def send(self, data: bytes) -> None:
        """Send bytes until they are sent or the server has cut the peer off."""
        with contextlib.suppress(OSError):
            await asyncio.get_running_loop().sock_sendall(self._peer, data)

    def hang_up(self) -> None:
        """Close the connection."""
        self._peer.close()


@asynccontextmanager
async def deaf_peer(connections: type[FeedConnection]) -> AsyncIterator[DeafPeer]:
    """Connect a peer that reads no byte, not even of the handshake."""
    connected: asyncio.Future[FeedConnection] = asyncio.get_running_loop().create_future()

    async def hold(connection: ServerConnection) -> None:
        assert isinstance(connection, FeedConnection)
        connected.set_result(connection)
        await connection.wait_closed()

    async with serve(
        *(hold, "127.0.0.1", 0),
        create_connection=connections,
        compression=None,
        write_limit=WRITE_LIMIT,
        ping_interval=None,
        close_timeout=0.2,
    ) as server:
        with socket.socket() as peer:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            peer.connect(server.sockets[0].getsockname())
            peer.setblocking(False)
            peer.send(OPENING)
            yield DeafPeer(await connected, peer)


async def test_pongs_for_a_peer_that_does_not_read_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pongs that wait for a peer that does not read are bounded, however many pings it sends."""
    refusals = RefusalCounter()
    made = connection_class(Clock(), refusals, patience_seconds=60)
    monkeypatch.setattr(made, "accept_message", lambda _: True)
    async with asyncio.timeout(20), deaf_peer(made) as peer:
        most = 0
        while not peer.server.transport.is_closing():
            most = max(most, peer.server.buffered)
            await peer.send(PING * 1000)

    assert 0 < most < 2.2 * 2**20
    assert 1 == refusals.counts["stalled"]


async def test_a_flood_of_pings_is_cut() -> None:
    """A peer that sends more control frames than any client needs is cut off; one that sends a few is not."""
    refusals = RefusalCounter()
    async with asyncio.timeout(20), pair(Clock(), refusals) as (server, client):
        server.engage()
        pongs = [await client.ping() for _ in range(100)]
        await pongs[-1]
        assert State.OPEN is server.state
        with contextlib.suppress(ConnectionClosed):
            for _ in range(1000):
                await client.ping()
        await server.wait_closed()

    assert 1 == refusals.counts["too_many"]


async def test_a_new_peer_is_cut_sooner() -> None:
    """Before its subscription a peer may send a fraction of the control frames at once."""
    refusals = RefusalCounter()
    async with asyncio.timeout(20), pair(Clock(), refusals) as (server, client):
        with contextlib.suppress(ConnectionClosed):
            for _ in range(2 * bounds.FIRST_MESSAGES.value):
                await client.ping()
        await server.wait_closed()

    assert 1 == refusals.counts["too_many"]


async def test_a_peer_that_breaks_the_protocol_is_counted() -> None:
    """A refusal by the library is counted, and an ordinary close is not."""
    refusals = RefusalCounter()
    async with asyncio.timeout(20), pair(Clock(), refusals) as (server, client):
        client.transport.write(b"\x83\x80\0\0\0\0")
        await server.wait_closed()
    async with pair(Clock(), refusals) as (server, client):
        await client.close()
        await server.wait_closed()

    assert 1 == refusals.counts["protocol"]


async def test_a_peer_that_sends_on_after_a_close_is_cut() -> None:
    """A peer that sends without end instead of confirming a close is cut off before the time for the close is over."""
    refusals = RefusalCounter()
    async with asyncio.timeout(20), deaf_peer(connection_class(Clock(), refusals)) as peer:
        closing = asyncio.create_task(peer.server.close_within(4400, "over", seconds=60))
        while not peer.server.transport.is_closing():
            await peer.send(b"\x81\xfe\xff\xff\0\0\0\0" + bytes(0xFFFF))
        await closing

    assert 1 == refusals.counts["too_many"]


async def test_a_hang_up_shows_while_nothing_is_read() -> None:
    """A peer that has closed is known to have hung up although unread bytes of it wait."""
    async with asyncio.timeout(20), deaf_peer(connection_class(Clock())) as peer:
        peer.server.pause_reading()
        await peer.send(PING * 3)
        assert not peer.server.has_hung_up
        peer.hang_up()
        poll_until(lambda: peer.server.has_hung_up, "the hang-up shows", 10, 0.01)


@pytest.mark.parametrize("subscribed", [False, True])
async def test_a_blocked_peer_without_subscription_is_cut(*, subscribed: bool) -> None:
    """A peer that stays blocked is cut off unless it has a subscription, which the stream watches."""
    refusals = RefusalCounter()
    async with asyncio.timeout(20), deaf_peer(connection_class(Clock(), refusals, patience_seconds=0.1)) as peer:
        if subscribed:
            peer.server.on_unblocked = lambda: None
        while not peer.server.is_blocked:
            peer.server.send_pieces(b"x" * 50_000)
        await asyncio.sleep(0.35)

        assert subscribed is not peer.server.transport.is_closing()
        assert (0 if subscribed else 1) == refusals.counts["stalled"]


async def test_connections_are_limited() -> None:
    """A connection beyond the limit is answered 503 and closed; once another one ends, the next is accepted."""
    refusals = RefusalCounter()
    made = connection_class(Clock(), refusals, maximum=lambda: 2)
    held: list[ServerConnection] = []

    async def hold(connection: ServerConnection) -> None:
        held.append(connection)
        await connection.wait_closed()

    async with asyncio.timeout(20), serve(hold, "127.0.0.1", 0, create_connection=made, ping_interval=None) as server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        first, _ = await connect(url, proxy=None), await connect(url, proxy=None)
        for _ in range(5):
            with pytest.raises(InvalidStatus, match="503"):
                await connect(url, proxy=None)
        await first.close()
        await held[0].wait_closed()
        await asyncio.sleep(0)
        await connect(url, proxy=None)

    assert (5, 0) == (refusals.counts["full"], made.gate.in_use)


async def test_pongs_are_written_together() -> None:
    """The pongs for many pings are sent by one write in order, and a close follows them."""
    async with asyncio.timeout(20), pair(Clock()) as (server, client):
        server.engage()
        waiting = [await client.ping(bytes([number])) for number in range(50)]
        await asyncio.gather(*waiting)
        await server.close(4400, "over")
        await client.wait_closed()

        assert 4400 == client.close_code
