"""What ``make foreign`` relies on: the relay, the documented servers, and the rows of the matrix."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.typing import Subprotocol

from benchmarks.peers.install import NotAvailable
from chaos.external.conditions import CONDITIONS
from chaos.external.documented.dialogue import Beat, Dialogue, Hear, play
from chaos.external.fault_relay import FaultRelay, RecordFaults, fault_relay
from chaos.external.matrix import Row, rows
from chaos.external.page_table import BEGIN, END, with_rows
from chaos.external.servers import SEQ, ExternalServer, FeedSize, RunningServer, wait_for_port
from tests.integration.processes import free_port

COUNT = 60
PLAN = RecordFaults.choose(COUNT, (2, 3, 4), seed=1)


async def _sixty(connection: ServerConnection) -> None:
    for seq in range(1, COUNT + 1):
        await connection.send(json.dumps({"seq": seq}))
        if seq % 10 == 0:
            await connection.send('{"op":"heartbeat"}')
    await connection.close(4001, "no more")


@contextlib.asynccontextmanager
async def relayed(refusal: bytes = b"") -> AsyncIterator[FaultRelay]:
    """A server of sixty records with a relay before it."""
    async with serve(_sixty, "127.0.0.1", 0, subprotocols=[Subprotocol("v1")]) as server:
        url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/feed?x=1"
        async with fault_relay(url, SEQ, PLAN, 2, refusal) as relay:
            yield relay


async def received(url: str) -> tuple[list[int], ClientConnection]:
    """Return the numbers that a client receives, and its connection, which has ended."""
    async with connect(url, subprotocols=[Subprotocol("v1")], proxy=None) as connection:
        messages = []
        with contextlib.suppress(ConnectionClosedError):
            while True:
                messages.append(json.loads(await connection.recv()))
    return [message["seq"] for message in messages if "seq" in message], connection


async def test_a_relay_injects_its_plan() -> None:
    """The chosen client lacks the dropped records, has others twice, and swapped ones after the next."""
    async with relayed() as relay:
        await received(relay.url)
        numbers, _ = await received(relay.url)

    assert (2, 3, 4) == (relay.counts.dropped, relay.counts.duplicated, relay.counts.swapped)
    assert PLAN.drops == set(range(1, COUNT + 1)) - set(numbers)
    assert PLAN.duplicates == {seq for seq in numbers if numbers.count(seq) == 2}
    late = {seq for before, seq in itertools.pairwise(numbers) if seq < before}
    assert PLAN.swaps == late


async def test_a_relay_changes_nothing_else() -> None:
    """Another client receives every record, and subprotocol and close code of the server."""
    async with relayed() as relay:
        numbers, connection = await received(relay.url)

    assert list(range(1, COUNT + 1)) == numbers
    assert (4001, "no more") == (connection.close_code, connection.close_reason)
    assert "v1" == connection.subprotocol


async def test_a_relay_refuses() -> None:
    """A relay answers every handshake with a refusal, and after that has a closed port."""
    refusal = next(condition.refusal for condition in CONDITIONS if condition.refusal)
    async with relayed(refusal=refusal) as relay:
        url = relay.url
        with pytest.raises(InvalidStatus, match="401"):
            await connect(url, proxy=None)
        relay.refuse()
        with pytest.raises(ConnectionRefusedError):
            await connect(url, proxy=None)


@contextlib.asynccontextmanager
async def documented(dialogue: Dialogue) -> AsyncIterator[str]:
    """A documented server for one client."""
    port = free_port()
    server = asyncio.create_task(play(dialogue, port, 1, 3, 100))
    try:
        await asyncio.to_thread(wait_for_port, port)
        yield f"ws://127.0.0.1:{port}"
    finally:
        server.cancel()
        await asyncio.gather(server, return_exceptions=True)


DIALOGUE = Dialogue(
    "/feed",
    (Hear(re.compile(r"hello (\w+)")), "welcome <1>"),
    lambda now: str(now.place),
    answers=((Hear({"op": "ping"}), "pong"),),
)


async def closed_with(connection: ClientConnection) -> tuple[int | None, str | None]:
    """Return code and reason of a connection that the server closes."""
    with contextlib.suppress(ConnectionClosedError):
        while True:
            await connection.recv()
    return connection.close_code, connection.close_reason


async def test_a_documented_server_follows_its_dialogue() -> None:
    """A client that greets receives the answer, then the records, and the answer to a permitted message."""
    async with documented(DIALOGUE) as url, connect(f"{url}/feed", proxy=None) as client:
        await client.send("hello you")
        heard = [await client.recv() for _ in range(4)]
        await client.send('{"op": "ping"}')

        assert ["welcome you", "1", "2", "3", "pong"] == [*heard, await client.recv()]


@pytest.mark.parametrize("message", ["hi", '{"op":"pong"}'])
async def test_a_documented_server_refuses_a_wrong_greeting(message: str) -> None:
    """A greeting that the documentation does not permit closes the connection, with the reason."""
    async with documented(DIALOGUE) as url, connect(f"{url}/feed", proxy=None) as client:
        await client.send(message)

        assert (4400, f"unexpected: {message}") == await closed_with(client)


async def test_a_documented_server_wants_heartbeats() -> None:
    """A client that greets and then says nothing is cut off."""
    strict = replace(DIALOGUE, beat=Beat(Hear({"op": "ping"}), 0.3))
    async with documented(strict) as url, connect(f"{url}/feed", proxy=None) as client:
        await client.send("hello you")

        assert (4400, "no heartbeat for 0.3 s") == await closed_with(client)


async def test_a_documented_server_wants_its_path() -> None:
    """A client at another path is refused."""
    async with documented(DIALOGUE) as url, connect(f"{url}/other", proxy=None) as client:
        assert 4404 == (await closed_with(client))[0]


@contextlib.contextmanager
def _unavailable(_size: FeedSize, _folder: Path) -> Iterator[RunningServer]:
    raise NotAvailable("there is no Node.js")
    yield  # type: ignore[unreachable]


def test_a_server_that_cannot_be_installed_is_not_tried() -> None:
    """A server that is not available has one row that says why, and counts neither as right nor as wrong."""
    server = ExternalServer("imaginary", _unavailable, {"FEED": "socketio"})
    with ThreadPoolExecutor(1) as pool:
        found = list(rows([server], CONDITIONS[:3], pool))

    assert [("imaginary", None, "there is no Node.js")] == [(row.server, row.is_right, row.reported) for row in found]


def row(server: str, condition: str, reported: str, *, is_right: bool | None = True) -> Row:
    """Return a row of the matrix."""
    return Row(server, "socketio", condition, "0 PASS", reported, is_right, version="4.8")


def test_the_table_keeps_what_was_not_tried() -> None:
    """A table gets the lines of the tried servers, keeps the others with their date, and counts right reports."""
    order = [("a 4", "socketio"), ("b", "socketio"), ("c", "socketio")]
    empty = f"before\n{BEGIN}\n{END}\nafter"

    first = with_rows(
        empty, [row("b", "healthy", "0 PASS"), row("a 4", "healthy", "0 FAIL", is_right=False)], order, "d1"
    )
    second = with_rows(first, [row("a 4", "healthy", "0 PASS"), row("c", "", "no npm", is_right=None)], order, "d2")

    assert "1 of 2 reports are right." in first
    assert "| a 4.8 | socketio | d1 | **0 FAIL**, expected 0 PASS |" in first
    assert "2 of 2 reports are right." in second
    assert [
        "a 4.8 | socketio | d2",
        "b 4.8 | socketio | d1",
        "c 4.8 | socketio | d2 | not tried: no npm",
    ] == re.findall(r"^\| ([abc] 4.8 \| socketio \| d.(?: \| not tried: no npm)?)", second, re.MULTILINE)
    assert second.startswith("before\n")
    assert second.endswith("\nafter")


def test_a_plan_keeps_faults_apart() -> None:
    """No two faults of a plan are adjacent, and none is near the start or end of the feed."""
    places = sorted(PLAN.drops | PLAN.duplicates | PLAN.swaps)

    assert 9 == len(places)
    assert 5 <= places[0] <= places[-1] < COUNT - 5
    assert all(after - before >= 4 for before, after in itertools.pairwise(places))
