"""Tests of an operator's line to the server."""

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
STANDING = wire.Controlled(run="20261122T073000Z", state="running", rate=200, head=7, clients=["client-1"])
WELCOME = wire.Welcome(
    run="20261122T073000Z", feed="f", state="running", total=100, rate=200, start_us=None, boot="b", now_us=1
)
NEXT = wire.Welcome(
    run="20261122T073500Z", feed="f", state="waiting", total=100, rate=200, start_us=None, boot="b", now_us=1
)

Answer = Callable[[wire.FromClient], list[wire.Frame]]


class Server:
    """A server that answers as it is told to, and remembers what it was asked."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.heard: list[wire.FromClient] = []
        self.tokens: list[str | None] = []
        self.url, self.patience = "", 100
        self.hung_up = asyncio.Event()

    async def converse(self, connection: ServerConnection) -> None:
        """Welcome, then answer so many frames; nothing to say means to hang up."""
        assert connection.request is not None
        self.tokens.append(connection.request.headers.get("Authorization"))
        await connection.send(wire.encode(WELCOME), text=True)
        for _ in range(self.patience):
            frame = wire.decode_from_client(await connection.recv(decode=False))
            self.heard.append(frame)
            frames = self.answer(frame)
            for one in frames:
                await connection.send(wire.encode(one), text=True)
            if not frames:
                break
        await connection.close()
        self.hung_up.set()


@asynccontextmanager
async def server(answer: Answer = lambda _: [STANDING]) -> AsyncIterator[Server]:
    """Return a server that listens."""
    made = Server(answer)
    async with serve(made.converse, "127.0.0.1", 0, compression=None) as listening:
        made.url = f"ws://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        yield made


@pytest.mark.parametrize(("token", "shown"), [("sesame", "Bearer sesame"), ("", None)])
async def test_a_wish_is_said_and_answered(token: str, shown: str | None) -> None:
    """The token comes with the connection, the wish as it is, and the answer back with what run it is of."""
    async with server() as there, ControlClient(there.url, token, 5) as line:
        answer = await line.ask(STATUS)

    assert (STANDING, [STATUS], [shown]) == (answer, there.heard, there.tokens)
    assert WELCOME == line.welcome


async def test_one_connection_serves_for_many(recorded: list[wire.FromServer]) -> None:
    """Further wishes go over the same connection; frames that answer none are handed on, the first welcome is not."""

    def answer(_: wire.FromClient) -> list[wire.Frame]:
        return [wire.Idle(next=1, now_us=1), NEXT, STANDING]

    async with server(answer) as there, ControlClient(there.url, "", 5) as line:
        line.unasked = recorded.append
        for _ in range(2):
            await line.ask(STATUS)

    assert 1 == len(there.tokens)
    assert [wire.Idle, wire.Welcome, wire.Idle] == [type(frame) for frame in recorded]
    assert NEXT == line.welcome


@pytest.fixture
def recorded() -> list[wire.FromServer]:
    """Return a list for frames."""
    return []


async def test_what_is_not_granted_is_said() -> None:
    """An error of the server is raised with its code and its sentence, and the line holds."""
    refusal = wire.Error(code="no_client", detail="nobody is client-9")

    def answer(frame: wire.FromClient) -> list[wire.Frame]:
        return [STANDING if frame == STATUS else refusal]

    async with server(answer) as there, ControlClient(there.url, "", 5) as line:
        with pytest.raises(ControlRefused, match="nobody is client-9") as declined:
            await line.ask(wire.Control(do="drop", client="client-9"))
        assert STANDING == await line.ask(STATUS)
    assert "no_client" == declined.value.code
    assert 1 == len(there.tokens)


async def test_a_broken_line_is_made_again() -> None:
    """A wish that meets the server's hanging up is lost, and said to be; the next one finds a new connection."""
    said: list[list[wire.Frame]] = [[STANDING], [], [STANDING]]
    async with server(lambda _: said.pop(0)) as there, ControlClient(there.url, "", 5) as line:
        await line.ask(STATUS)
        with pytest.raises(ServerUnreachable, match="the server closed the connection"):
            await line.ask(STATUS)
        assert STANDING == await line.ask(STATUS)

    assert 2 == len(there.tokens)


async def test_a_goodbye_is_heard(recorded: list[wire.FromServer]) -> None:
    """What the server said before it hung up is handed on, once somebody asks again."""
    goodbye = wire.Bye(reason="draining", retry_ms=500)
    said: list[list[wire.Frame]] = [[STANDING, goodbye], [STANDING]]
    async with server() as there, ControlClient(there.url, "", 5) as line:
        there.answer, there.patience = lambda _: said.pop(0), 1
        line.unasked = recorded.append
        await line.ask(STATUS)
        async with asyncio.timeout(5):
            await there.hung_up.wait()
        await line.ask(STATUS)

    assert [goodbye] == recorded


async def test_silence_has_an_end() -> None:
    """A server that takes the wish and does not answer is given up in time."""
    async with asyncio.timeout(5), server(lambda _: [wire.Idle(next=1, now_us=1)]) as there:
        line = ControlClient(there.url, "", 0.1)
        with pytest.raises(ServerUnreachable, match=r"no answer within 0\.1 s"):
            await line.ask(STATUS)


async def test_nobody_there_is_said() -> None:
    """Where nobody listens the address is named."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"ws://127.0.0.1:{closed.getsockname()[1]}"
        with pytest.raises(ServerUnreachable) as missed:
            await ControlClient(url, "", 5).ask(STATUS)

    assert f"{url}: nobody listens there" == str(missed.value)


async def test_a_stranger_is_said() -> None:
    """What listens there and speaks something else is no server of ours."""

    async def speak(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail ready\r\n")
        writer.close()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as stranger:
        port = stranger.sockets[0].getsockname()[1]
        with pytest.raises(ServerUnreachable, match=r"does not speak streamgauge\.v1"):
            await ControlClient(f"ws://127.0.0.1:{port}", "", 5).ask(STATUS)
