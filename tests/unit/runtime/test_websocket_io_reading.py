"""Tests of reads into shared memory, over real sockets on this machine."""

from __future__ import annotations

import asyncio
import socket

from services.runtime.websocket_io import SharedReads

LONG = bytes(range(256)) * 4096
"""A megabyte, more than one read takes."""


class Kept(SharedReads):
    """A protocol that keeps copies of what came."""

    def __init__(self) -> None:
        self.came = bytearray()
        self.reads = 0
        self.lost = asyncio.get_running_loop().create_future()

    def data_received(self, data: memoryview) -> None:
        """Take what came."""
        self.came += data
        self.reads += 1

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end."""
        self.lost.set_result(exc)


async def test_all_that_comes_is_handed_over() -> None:
    """Two connections that read by turns each get their own bytes, whole and in order."""
    loop, ends = asyncio.get_running_loop(), []
    for data in (LONG, LONG[::-1]):
        here, there = socket.socketpair()
        _, kept = await loop.create_connection(Kept, sock=here)
        there.setblocking(False)
        ends.append((loop.create_task(loop.sock_sendall(there, data)), there, kept))
    async with asyncio.timeout(20):
        for sending, there, kept in ends:
            await sending
            there.close()
            assert await kept.lost is None

    assert [LONG, LONG[::-1]] == [bytes(kept.came) for _, _, kept in ends]
    assert all(kept.reads > 1 for _, _, kept in ends)


async def test_the_memory_is_one() -> None:
    """However many connections there are, they take no memory for what they read."""
    one, other = Kept(), Kept()

    assert one.get_buffer(-1) is other.get_buffer(1)
