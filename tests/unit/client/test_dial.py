"""Tests of reaching a server's machine, over real sockets on this one."""

from __future__ import annotations

import asyncio
import socket

import pytest
from websockets.asyncio.server import serve

from services.client import dial as module
from services.client.connection import connect_to
from services.client.dial import AddressLookup, reach
from services.runtime.clock import Clock


class Names(AddressLookup):
    """Answers each question with the next list of addresses, the last one for ever."""

    def __init__(self, *answers: list[str]) -> None:
        super().__init__()
        self.asked, self._answers = 0, answers

    async def addresses(self, host: str, port: int) -> list[str]:
        """Return the next answer."""
        self.asked += 1
        return self._answers[min(self.asked, len(self._answers)) - 1]


class Lost:
    """A network in which requests to one address are lost."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
        self.loop, self.address, self.sockets = asyncio.get_running_loop(), address, list[socket.socket]()
        self._connect = self.loop.sock_connect
        monkeypatch.setattr(self.loop, "sock_connect", self.connect)

    async def connect(self, connecting: socket.socket, address: tuple[str, int]) -> None:
        """Connect, or wait for ever."""
        self.sockets.append(connecting)
        if address[0] == self.address:
            await asyncio.Event().wait()
        await self._connect(connecting, address)


async def test_a_lost_request_does_not_hold_up_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that has moved is reached where it is now, while the request to its old address still waits."""
    lost = Lost(monkeypatch, "192.0.2.1")
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.01)
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with await reach(Names(["192.0.2.1"], ["127.0.0.1"]), "name.invalid", port) as reached:
            assert ("127.0.0.1", port) == reached.getpeername()
        await asyncio.sleep(0)

    assert [-1, -1] == [made.fileno() for made in lost.sockets]


async def test_an_address_that_nobody_holds_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is not reached in its time is told from one that does not answer; nothing stays open."""
    lost = Lost(monkeypatch, "192.0.2.1")
    monkeypatch.setattr(module, "AGAIN_SECONDS", 0.02)
    monkeypatch.setattr(module, "REACH_SECONDS", 0.05)
    with pytest.raises(ConnectionError, match="nobody was reached within") as raised:
        await connect_to("ws://192.0.2.1:1", Clock(), 3.0, Names(["192.0.2.1"]))
    await asyncio.sleep(0)

    assert not isinstance(raised.value, TimeoutError)
    assert len(lost.sockets) > 1
    assert {-1} == {made.fileno() for made in lost.sockets}


async def test_a_refusal_is_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is refused is told at once: the machine is there, and its server is not yet."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            await reach(Names(["127.0.0.1"]), "name.invalid", closed.getsockname()[1])


async def test_every_address_is_tried() -> None:
    """A name with several addresses is reached at the one where somebody listens."""
    async with serve(lambda connection: connection.wait_closed(), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        two = Names(["127.0.0.2", "127.0.0.1"])
        connection = await connect_to(f"ws://name.invalid:{port}", Clock(), 3.0, two)
        assert ("127.0.0.1", port) == connection.remote_address
        connection.transport.abort()


async def test_small_frames_are_sent_at_once() -> None:
    """A connection does not wait for acknowledgements before it sends the next small frame."""
    async with serve(lambda connection: connection.wait_closed(), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        connection = await connect_to(f"ws://127.0.0.1:{port}", Clock(), 3.0, AddressLookup())
        made = connection.transport.get_extra_info("socket")
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        connection.transport.abort()
