"""Tests of the deadlines of requests and responses, and of the bound on connections."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.collector.publish.web.events import SnapshotBoard
from services.collector.publish.web.peer_limits import LimitedProtocol, RequestLimits, max_connections
from services.collector.publish.web.server import PageServer
from tests.builders.snapshots import example

PATIENCE_SECONDS = 30
"""How long is waited for what has to happen; a busy machine may be slow."""
REQUEST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@asynccontextmanager
async def served(limits: RequestLimits) -> AsyncIterator[int]:
    """Serve a page that shows a run, with these limits; yield its port."""
    board = SnapshotBoard()
    board.show(example())
    page = PageServer("127.0.0.1", 0, board, Path("nowhere"), limits=limits)
    serving = asyncio.create_task(page.serve())
    try:
        yield int(page.address.rsplit(":", 1)[1].rstrip("/"))
    finally:
        # Also after a failure: an open socket would fail the test that is running when it is garbage-collected.
        await page.stop()
        await asyncio.wait_for(serving, PATIENCE_SECONDS)


async def is_cut(reader: asyncio.StreamReader) -> bool:
    """Return whether the page cuts a connection in time."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await reader.read(65536):
                pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


async def has_begun(peer: socket.socket) -> None:
    """Wait until a response has begun, without reading it; the test's own timeout ends a wait in vain."""
    while True:
        with contextlib.suppress(BlockingIOError):
            if peer.recv(1, socket.MSG_PEEK):
                return
        await asyncio.sleep(0.01)


async def test_a_long_head_is_refused_in_one_piece_too() -> None:
    """A head beyond the bound is refused, also when it arrives complete in one packet; a shorter one is answered."""
    async with served(RequestLimits()) as port:
        for size, expected in ((15_000, b"200"), (40_000, b"400")):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(REQUEST[:-2] + b"X: " + b"y" * size + b"\r\n\r\n")
            assert expected == (await reader.readline()).split(b" ")[1]
            writer.close()


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nHost: loc", REQUEST + b"GET / HT"])
async def test_a_request_has_a_deadline(sent: bytes) -> None:
    """A connection without a complete request is cut, also after an answered one and with bytes that trickle in."""
    async with served(RequestLimits(head_seconds=0.3)) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)

        async def drip() -> None:
            while True:
                writer.write(b"x" if sent else b"")
                await asyncio.sleep(0.05)

        dripping = asyncio.create_task(drip())

        assert await is_cut(reader)
        dripping.cancel()
        writer.close()


async def test_a_peer_that_does_not_read_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    """A peer that does not read its response is cut; a listener to events that reads stays connected."""
    was_cut, abort = asyncio.Event(), LimitedProtocol.abort

    def note(connection: LimitedProtocol) -> None:
        abort(connection)
        was_cut.set()

    monkeypatch.setattr(LimitedProtocol, "abort", note)
    # Requests have all the time that they need: on a busy machine one may take longer than this peer may pause.
    async with served(RequestLimits(send_seconds=0.3)) as port:
        events, listener = await asyncio.open_connection("127.0.0.1", port)
        listener.write(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with contextlib.closing(listener), socket.socket() as idle_peer:
            idle_peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            idle_peer.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_connect(idle_peer, ("127.0.0.1", port))
            await loop.sock_sendall(idle_peer, b"GET /report.html HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await has_begun(idle_peer)
            await asyncio.wait_for(was_cut.wait(), PATIENCE_SECONDS)
            received = bytearray()
            while piece := await asyncio.wait_for(loop.sock_recv(idle_peer, 65536), PATIENCE_SECONDS):
                received += piece
            await events.readuntil(b"data: ")

        assert received.startswith(b"HTTP/1.1 200")
        assert b"</html>" not in received


async def test_idle_connections_are_cut_for_new_ones() -> None:
    """A new request is answered although too many connections are idle: the longest idle ones are cut."""
    async with served(RequestLimits(connections=3)) as port:
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(10)]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(REQUEST)

        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        assert await is_cut(idle[0][0])
        for _, open_writer in [*idle, (reader, writer)]:
            open_writer.close()


async def test_of_connections_made_at_once_each_cuts_another() -> None:
    """Of ten connections that are made at the same time, as many stay as are allowed, and are answered."""
    async with served(RequestLimits(connections=3, head_seconds=2 * PATIENCE_SECONDS)) as port:
        opened = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", port) for _ in range(10)))
        watched = {asyncio.create_task(is_cut(reader)): (reader, writer) for reader, writer in opened}
        cut: set[asyncio.Task[bool]] = set()
        staying = set(watched)
        while len(cut) < 7:
            ended, staying = await asyncio.wait(staying, return_when=asyncio.FIRST_COMPLETED)
            cut |= ended

        assert all(task.result() for task in cut)
        for task in staying:
            task.cancel()
        await asyncio.gather(*staying, return_exceptions=True)
        for task in staying:
            reader, writer = watched[task]
            writer.write(REQUEST)
            assert b"HTTP/1.1 200 OK\r\n" == await asyncio.wait_for(reader.readline(), PATIENCE_SECONDS)
        for _, open_writer in opened:
            open_writer.close()


async def test_without_an_idle_connection_the_newest_is_cut() -> None:
    """A connection that listens to events is not cut for a new one."""
    async with served(RequestLimits(connections=2)) as port:
        listening = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
        for reader, writer in listening:
            writer.write(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await reader.readuntil(b"data: ")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)

        assert await is_cut(reader)
        for _, open_writer in [*listening, (reader, writer)]:
            open_writer.close()


def test_a_process_with_few_files_accepts_fewer_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections may use a quarter of the files that a process may have open."""
    for files, most in ((64, 16), (1_000_000, 128), (-1, 128)):
        monkeypatch.setattr("resource.getrlimit", lambda _, files=files: (files, files))

        assert most == max_connections(128)
