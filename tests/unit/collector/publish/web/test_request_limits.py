"""Tests of services/collector/publish/web/request_limits.py."""

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.collector.publish.web import request_limits
from services.collector.publish.web.events import SnapshotBoard
from services.collector.publish.web.server import PageServer
from tests.builders.snapshots import example

ASK = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Return the port of a page with a run on it."""
    board = SnapshotBoard()
    board.show(example())
    page = PageServer("127.0.0.1", 0, board, Path("nowhere"))
    serving = asyncio.create_task(page.serve())
    yield int(page.address.rsplit(":", 1)[1].rstrip("/"))
    await page.stop()
    await asyncio.wait_for(serving, 3)


async def is_cut(reader: asyncio.StreamReader) -> bool:
    """Wait until the page has cut a connection, for 2 s at most."""
    try:
        async with asyncio.timeout(2):
            while await reader.read(65536):
                pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHost: loc", ASK + b"GET / HT"])
async def test_a_request_has_a_deadline(port: int, monkeypatch: pytest.MonkeyPatch, said: bytes) -> None:
    """A connection on which no whole request comes is cut, after an answered one too; a byte now and then is none."""
    monkeypatch.setattr(request_limits, "HEAD_SECONDS", 0.3)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(said)

    async def drip() -> None:
        while True:
            writer.write(b"x" if said else b"")
            await asyncio.sleep(0.05)

    dripping = asyncio.create_task(drip())

    assert await is_cut(reader)
    dripping.cancel()
    writer.close()


async def test_a_peer_that_does_not_read_is_cut(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that is not taken is dropped after a while; one that listens to events stays as long as it reads."""
    monkeypatch.setattr(request_limits, "SEND_SECONDS", 0.3)
    monkeypatch.setattr(request_limits, "HEAD_SECONDS", 0.3)
    listening, listener = await asyncio.open_connection("127.0.0.1", port)
    listener.write(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    with socket.socket() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(deaf, ("127.0.0.1", port))
        await loop.sock_sendall(deaf, b"GET /report.html HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await asyncio.sleep(1.0)
        got = bytearray()
        while piece := await asyncio.wait_for(loop.sock_recv(deaf, 65536), 2):
            got += piece
    await listening.readuntil(b"data: ")

    assert got.startswith(b"HTTP/1.1 200")
    assert b"</html>" not in got
    listener.close()


async def test_idle_connections_make_room(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many connections idle, one more request is answered; the longest idle are cut for it."""
    monkeypatch.setattr(request_limits, "MOST_CONNECTIONS", 3)
    idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(10)]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(ASK)

    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    assert await is_cut(idle[0][0])
    for _, one in [*idle, (reader, writer)]:
        one.close()


async def test_where_all_are_answered_the_newest_is_cut(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection that listens is not cut for another one."""
    monkeypatch.setattr(request_limits, "MOST_CONNECTIONS", 2)
    listening = [await asyncio.open_connection("127.0.0.1", port) for _ in range(2)]
    for reader, writer in listening:
        writer.write(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await reader.readuntil(b"data: ")
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    assert await is_cut(reader)
    for _, one in [*listening, (reader, writer)]:
        one.close()


def test_a_process_with_few_files_takes_fewer_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Connections take a quarter of the files that a process may have open."""
    for files, most in ((64, 16), (1_000_000, request_limits.MOST_CONNECTIONS), (-1, request_limits.MOST_CONNECTIONS)):
        monkeypatch.setattr("resource.getrlimit", lambda _, files=files: (files, files))

        assert most == request_limits.most_connections()
