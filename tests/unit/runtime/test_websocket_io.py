"""Tests of the shared read buffer, of arrival times, and of the private attributes of ``websockets`` that are used."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import reduce
from importlib.metadata import version
from typing import NamedTuple

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve

from services.runtime import websocket_io
from services.runtime.clock import Clock
from services.runtime.websocket_io import INTERNALS, ArrivalTimes, Internal, SharedReads

TEXT, BINARY, CONTINUED, CLOSE, PING = 1, 2, 0, 8, 9
MEGABYTE = bytes(range(256)) * 4096
"""More than one read returns."""


class Frame(NamedTuple):
    """A frame as the WebSocket library parses it."""

    opcode: int
    fin: bool = True


class FakeClock(Clock):
    """A clock that shows the time that the test has set."""

    now = 0

    def now_ns(self) -> int:
        """Return the time that the test has set."""
        return self.now


@pytest.fixture
def clock() -> FakeClock:
    """Return a clock at 0."""
    return FakeClock()


def receive(times: ArrivalTimes, clock: FakeClock, at: int, *frames: Frame) -> None:
    """Simulate a read at a time that completes these frames."""
    clock.now = at
    times.bytes_received()
    for frame in frames:
        times.frame_received(frame)


def test_a_message_has_the_time_of_its_arrival(clock: FakeClock) -> None:
    """A message keeps the time at which its bytes arrived, however long it waits in the library's queue."""
    times = ArrivalTimes(clock)
    receive(times, clock, 10, Frame(TEXT))
    clock.now = 1_000
    expected = 10

    assert expected == times.pop_ns()


def test_a_message_waits_until_its_time_is_popped(clock: FakeClock) -> None:
    """A message counts as waiting from its arrival until its time is popped."""
    times = ArrivalTimes(clock)
    before = times.is_message_waiting
    receive(times, clock, 10, Frame(TEXT))
    after_arrival = times.is_message_waiting
    times.pop_ns()

    assert [False, True, False] == [before, after_arrival, times.is_message_waiting]


def test_times_are_popped_in_order(clock: FakeClock) -> None:
    """Messages of one read share its time; a message of a later read has the later time."""
    times = ArrivalTimes(clock)
    receive(times, clock, 10, Frame(TEXT), Frame(TEXT))
    receive(times, clock, 20, Frame(TEXT))

    assert [times.pop_ns() for _ in range(3)] == [10, 10, 20]


def test_a_fragmented_message_has_the_time_of_its_last_bytes(clock: FakeClock) -> None:
    """A message in several frames has the time of the read that completed it."""
    times = ArrivalTimes(clock)
    receive(times, clock, 10, Frame(TEXT, fin=False))
    receive(times, clock, 20, Frame(CONTINUED, fin=False))
    receive(times, clock, 30, Frame(CONTINUED))
    receive(times, clock, 40, Frame(TEXT))

    assert [times.pop_ns() for _ in range(2)] == [30, 40]


def test_control_frames_are_no_messages(clock: FakeClock) -> None:
    """A ping between two messages, or within one, queues no time."""
    times = ArrivalTimes(clock)
    receive(times, clock, 10, Frame(PING), Frame(TEXT))
    receive(times, clock, 15, Frame(CLOSE), Frame(BINARY))
    receive(times, clock, 20, Frame(TEXT, fin=False), Frame(PING))
    receive(times, clock, 30, Frame(CONTINUED))

    assert [times.pop_ns() for _ in range(3)] == [10, 15, 30]


def test_without_a_queued_time_it_is_now(clock: FakeClock) -> None:
    """A message for which no time was queued gets the current time."""
    clock.now = 50
    expected = 50

    assert expected == ArrivalTimes(clock).pop_ns()


class CopyingProtocol(SharedReads):
    """A protocol that copies the bytes that it receives."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.reads = 0
        self.lost = asyncio.get_running_loop().create_future()

    def data_received(self, data: memoryview) -> None:
        """Copy the bytes."""
        self.received += data
        self.reads += 1

    def connection_lost(self, exc: Exception | None) -> None:
        """Record the end of the connection."""
        self.lost.set_result(exc)


async def test_each_connection_gets_its_own_bytes() -> None:
    """Two connections that are read in turns each receive their own bytes, complete and in order."""
    loop, ends = asyncio.get_running_loop(), []
    for data in (MEGABYTE, MEGABYTE[::-1]):
        here, there = socket.socketpair()
        _, protocol = await loop.create_connection(CopyingProtocol, sock=here)
        there.setblocking(False)
        ends.append((loop.create_task(loop.sock_sendall(there, data)), there, protocol))
    async with asyncio.timeout(20):
        for sending, there, protocol in ends:
            await sending
            there.close()
            assert await protocol.lost is None

    assert [MEGABYTE, MEGABYTE[::-1]] == [bytes(protocol.received) for _, _, protocol in ends]
    assert all(protocol.reads > 1 for _, _, protocol in ends)


async def test_the_read_buffer_is_shared() -> None:
    """All connections read into the same memory."""
    one, other = CopyingProtocol(), CopyingProtocol()

    assert one.get_buffer(-1) is other.get_buffer(1)


@asynccontextmanager
async def connection_pair() -> AsyncIterator[tuple[ServerConnection, ClientConnection]]:
    """Connect a client and a server of the library itself, without any class of this project."""
    connected: asyncio.Future[ServerConnection] = asyncio.get_running_loop().create_future()

    async def handle(connection: ServerConnection) -> None:
        connected.set_result(connection)
        await connection.wait_closed()

    async with (
        asyncio.timeout(20),
        serve(handle, "127.0.0.1", 0, compression=None, select_subprotocol=lambda *_: None) as server,
    ):
        port = server.sockets[0].getsockname()[1]
        async with connect(f"ws://127.0.0.1:{port}", compression=None, proxy=None) as client:
            yield await connected, client


@pytest.mark.parametrize("internal", INTERNALS, ids=lambda internal: internal.path)
async def test_the_libraries_still_have_the_internals_in_use(internal: Internal) -> None:
    """Each private attribute in `INTERNALS` exists in the installed libraries."""
    *owners, name = internal.path.split(".")
    async with connection_pair() as (server, _):
        owner: object = reduce(getattr, owners, server)
        has_it = hasattr(owner, name)

    assert has_it, (
        f"{type(owner).__name__} has no {name!r} any more (websockets {version('websockets')}). It is used because:"
        f" {internal.reason}. Find the replacement, then adapt services/runtime/websocket_io.py."
    )


async def test_internals_can_be_replaced_on_a_live_connection() -> None:
    """A connection whose internals were replaced still sends, answers pings and closes."""
    async with connection_pair() as (server, client):
        websocket_io.shrink(server, logging.getLogger("websockets.server"))
        websocket_io.forget_handshake(server)
        await server.send("text")
        pong = await client.ping()
        websocket_io.resume_reading(server)
        await pong
        await client.close()
        await server.wait_closed()
        websocket_io.break_cycles(server)

        assert await client.recv() == "text"
        assert not hasattr(server, "request_rcvd")
        assert "select_subprotocol" not in vars(server.protocol)
        assert "_read_ready_cb" not in vars(server.transport)


async def test_pending_writes_are_joined() -> None:
    """Several pending writes become one; the empty element that ends the stream stays the last."""
    async with connection_pair() as (server, _):
        protocol = server.protocol
        for writes, expected in (
            ([], []),
            ([b"a"], [b"a"]),
            ([b"a", b"b"], [b"ab"]),
            ([b"a", b"b", b""], [b"ab", b""]),
        ):
            protocol.writes = list(writes)
            websocket_io.join_writes(server)
            assert expected == protocol.writes
        protocol.writes = []
