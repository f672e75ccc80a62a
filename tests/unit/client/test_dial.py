"""Tests of DNS queries and TCP connections to a server's host, over real sockets."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator

import pytest
from websockets.asyncio.server import serve

from services.client import dial
from services.client.connection import connect_to
from services.client.dial import AddressLookup, reach
from services.runtime.clock import Clock


class Names(AddressLookup):
    """Answers each query with the next list of addresses, further ones with the last."""

    def __init__(self, *answers: list[str]) -> None:
        super().__init__()
        self.asked, self._answers = 0, answers

    async def addresses(self, host: str, port: int) -> list[str]:
        """Return the next answer."""
        self.asked += 1
        return self._answers[min(self.asked, len(self._answers)) - 1]


class Lost:
    """A network in which connection attempts to one address are lost."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, address: str) -> None:
        self.loop, self.address, self.sockets = asyncio.get_running_loop(), address, list[socket.socket]()
        self._connect = self.loop.sock_connect
        monkeypatch.setattr(self.loop, "sock_connect", self.connect)

    async def connect(self, connecting: socket.socket, address: tuple[str, int]) -> None:
        """Connect, or wait without an end."""
        self.sockets.append(connecting)
        if address[0] == self.address:
            await asyncio.Event().wait()
        await self._connect(connecting, address)


async def test_a_lost_attempt_does_not_delay_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that has moved is reached at its new address while the attempt at the old one still waits."""
    lost = Lost(monkeypatch, "192.0.2.1")
    async with await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with await reach(Names(["192.0.2.1"], ["127.0.0.1"]), "name.invalid", port, retry_seconds=0.01) as reached:
            assert ("127.0.0.1", port) == reached.getpeername()
        await asyncio.sleep(0)

    assert [-1, -1] == [connection.fileno() for connection in lost.sockets]


async def test_the_time_to_reach_a_host_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attempts are repeated until the time limit, which the error states."""
    lost = Lost(monkeypatch, "192.0.2.1")
    with pytest.raises(ConnectionError, match=r"no address answered within 0\.05 s"):
        await reach(Names(["192.0.2.1"]), "name.invalid", 1, timeout_seconds=0.05, retry_seconds=0.02)

    assert len(lost.sockets) > 1


async def test_an_unused_address_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that cannot be reached raises another error than a server that does not answer; no socket stays open."""
    lost = Lost(monkeypatch, "192.0.2.1")
    with pytest.raises(ConnectionError, match="no address answered within") as raised:
        await connect_to("ws://192.0.2.1:1", Clock(), 3.0, Names(["192.0.2.1"]))
    await asyncio.sleep(0)

    assert not isinstance(raised.value, TimeoutError)
    assert len(lost.sockets) > 1
    assert {-1} == {connection.fileno() for connection in lost.sockets}


async def test_a_refusal_is_an_answer() -> None:
    """A refused connection is reported at once: the host is up, and its server is not running yet."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError):
            await reach(Names(["127.0.0.1"]), "name.invalid", closed.getsockname()[1])


async def test_every_address_is_tried() -> None:
    """A name with several addresses is reached at the address that accepts connections."""
    async with serve(lambda connection: connection.wait_closed(), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        two = Names(["127.0.0.2", "127.0.0.1"])
        connection = await connect_to(f"ws://name.invalid:{port}", Clock(), 3.0, two)
        assert ("127.0.0.1", port) == connection.remote_address
        connection.transport.abort()


async def test_small_frames_are_sent_at_once() -> None:
    """A connection sends the next small frame without waiting for acknowledgements."""
    async with serve(lambda connection: connection.wait_closed(), "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        connection = await connect_to(f"ws://127.0.0.1:{port}", Clock(), 3.0, AddressLookup())
        made = connection.transport.get_extra_info("socket")
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        connection.transport.abort()


class Resolver:
    """Leaves each query unanswered until the test sets its result."""

    def __init__(self) -> None:
        self.queries: list[asyncio.Future[list[str]]] = []

    async def query(self, host: str, port: int) -> list[str]:
        """Wait for the result."""
        self.queries.append(asyncio.get_running_loop().create_future())
        return await self.queries[-1]


@pytest.fixture
def resolver() -> Iterator[Resolver]:
    """Replace the system's resolver, and cancel the queries left over."""
    made = Resolver()
    yield made
    for query in made.queries:
        query.cancel()


async def resolve(lookup: AddressLookup, seconds: float = 0.01) -> list[str]:
    """Resolve the server's name within a time limit."""
    async with asyncio.timeout(seconds):
        return await lookup.addresses("server", 8765)


async def test_a_literal_address_is_returned() -> None:
    """A literal address resolves to itself without a name server."""
    assert ["127.0.0.1"] == await AddressLookup().addresses("127.0.0.1", 8765)


async def test_the_addresses_of_a_name_are_shuffled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of several servers is the first one for some client, although the resolver always has the same order."""
    addresses = [f"10.0.0.{number}" for number in range(4)]

    async def same_order(*_: object, **__: object) -> list[tuple[object, ...]]:
        return [(None, None, None, None, (address, 8765)) for address in addresses for _ in range(2)]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", same_order)
    answers = [await AddressLookup().addresses("server", 8765) for _ in range(200)]

    assert {tuple(addresses)} == {tuple(sorted(answer)) for answer in answers}
    assert set(addresses) == {answer[0] for answer in answers}


async def test_an_unanswered_query_is_repeated(resolver: Resolver) -> None:
    """Each attempt adds a query, up to four; the first answer to any of them counts."""
    lookup = AddressLookup(resolver.query)
    for _ in range(6):
        with pytest.raises(TimeoutError):
            await resolve(lookup)
    assert 4 == len(resolver.queries)

    resolver.queries[2].set_result(["10.0.0.7"])

    assert ["10.0.0.7"] == await resolve(lookup, 5)


@pytest.mark.parametrize(
    ("configured", "expected"),
    [(None, "timeout:1 attempts:1"), ("timeout:7", "timeout:7")],
    ids=["default", "configured"],
)
def test_the_resolver_gives_up_early(monkeypatch: pytest.MonkeyPatch, configured: str | None, expected: str) -> None:
    """The resolver gives up after a second, unless the operator has configured it."""
    monkeypatch.setattr(os, "environ", {} if configured is None else {"RES_OPTIONS": configured})
    dial.shorten_resolver_timeout()

    assert {"RES_OPTIONS": expected} == os.environ


async def test_the_error_of_the_last_query_is_raised(resolver: Resolver) -> None:
    """The error of the last query is raised once no query is pending."""
    lookup = AddressLookup(resolver.query)
    with pytest.raises(TimeoutError):
        await resolve(lookup)
    resolving = asyncio.create_task(resolve(lookup, 5))
    while len(resolver.queries) < 2:  # noqa: ASYNC110 - the test's own timeout is the task's
        await asyncio.sleep(0)
    resolver.queries[0].set_exception(socket.gaierror(-2, "Name or service not known"))
    await asyncio.sleep(0)
    resolver.queries[1].set_exception(socket.gaierror(-3, "Temporary failure in name resolution"))

    with pytest.raises(socket.gaierror):
        await resolving
