"""Tests of one client's conversation with a foreign server."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
import pytest
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from services.client.backoff import Backoff
from services.client.foreign import listener as listening
from services.client.foreign.connect import Gate
from services.client.foreign.listener import Listener
from services.contract.fields import utc_text
from services.runtime.clock import Clock
from services.runtime.jsonlogs import Sparingly
from tests.unit.client.foreign.stand import OPENED, Script, blocks, feed_settings, foreign_server, logged, reason, sends
from tests.unit.client.stand import RUN, conditions, until


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten what a test would wait for."""
    monkeypatch.setattr(listening, "Backoff", lambda _most: Backoff(0.02))


@asynccontextmanager
async def listener(
    logs: Path, *scripts: Script, seconds: float | None = None, served: dict[str, Any] | None = None, **changed: str
) -> AsyncIterator[Listener]:
    """Listen to a server that follows the scripts, for so many seconds or until the test is done."""
    clock = Clock()
    end = utc_text(clock.now_us() + round(seconds * 1e6)) if seconds else None
    run = msgspec.structs.replace(OPENED, until=end)
    async with asyncio.timeout(20), foreign_server(*scripts, **(served or {})) as url:
        settings = feed_settings(url, **changed)
        made = Listener("client-1", settings, run, conditions(logs), clock, Gate(1000), Sparingly(), None)
        task = asyncio.create_task(made.run())
        try:
            yield made
        finally:
            await made.stop()
            await task


def folder(logs: Path) -> Path:
    """Return the folder of the client's logs."""
    return logs / RUN / "client-1"


def heard(made: Listener) -> int:
    """Return how many records have come."""
    return made._account._heard if made._account is not None else 0


async def test_what_is_sent_is_logged_until_it_is_stopped(tmp_path: Path) -> None:
    """All records are in the log, which is sealed when the client is stopped."""
    async with listener(tmp_path, sends(*range(25))) as made:
        await until(lambda: heard(made) == 25)

    assert [*range(25)] == logged(folder(tmp_path))
    assert "shutdown" == reason(folder(tmp_path))


async def test_the_run_ends_by_itself(tmp_path: Path) -> None:
    """When its time is over the log is sealed and the connection closed; the client is well all the same."""
    async with listener(tmp_path, sends(1, 2, 3), seconds=0.3) as made:
        await until(lambda: heard(made) == 3)
        await until(lambda: made._over and made._connection is None)
        assert made.connected

    assert [1, 2, 3] == logged(folder(tmp_path))
    assert "finished" == reason(folder(tmp_path))


async def test_the_hello_is_said_first(tmp_path: Path) -> None:
    """What FEED_HELLO says is sent after connecting, text as text and bytes as bytes."""
    came: list[str | bytes] = []

    async def script(connection: ServerConnection) -> None:
        came.extend([await connection.recv(), await connection.recv()])
        await sends(1)(connection)

    async with listener(tmp_path, script, FEED_HELLO='{"op":"subscribe"}\nbinary:\\x01') as made:
        await until(lambda: heard(made) == 1)

    assert ['{"op":"subscribe"}', b"\x01"] == came


async def test_a_connection_that_breaks_is_made_again_and_resumed(tmp_path: Path) -> None:
    """After a cut the client comes back, says what it has, and the blocks tell of the second connection."""
    came: list[str] = []

    async def cut(connection: ServerConnection) -> None:
        await connection.recv()
        for seq in range(1, 11):
            await connection.send(json.dumps({"seq": seq}))
        await asyncio.sleep(0.05)
        connection.transport.abort()

    async def resumed(connection: ServerConnection) -> None:
        came.append(str(await connection.recv()))
        await sends(*range(11, 21))(connection)

    async with listener(tmp_path, cut, resumed, FEED_HELLO="hi", FEED_RESUME='{"after":{seq}}') as made:
        await until(lambda: heard(made) == 20)

    assert ['{"after":10}'] == came
    assert [(1, []), (2, [])] == [(block.connection, block.missing) for block in blocks(folder(tmp_path))]


async def test_pings_are_answered_and_other_frames_passed_over(tmp_path: Path) -> None:
    """The feed's own pings get their answer; what is ignored is not logged."""

    async def script(connection: ServerConnection) -> None:
        await connection.send("+OK")
        await connection.send("2")
        await connection.send(json.dumps({"seq": int(await connection.recv())}))
        await connection.wait_closed()

    async with listener(tmp_path, script, FEED_PING="^2$", FEED_PONG="3", FEED_IGNORE=r"^\+OK") as made:
        await until(lambda: heard(made) == 1)

    assert [3] == logged(folder(tmp_path))


async def test_a_message_that_is_too_long_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A message above FEED_MAX_BYTES costs the connection, which is made again, and one line says why."""

    async def long(connection: ServerConnection) -> None:
        await connection.send("x" * 300)
        await connection.wait_closed()

    with caplog.at_level(logging.WARNING):
        async with listener(tmp_path, long, sends(1), FEED_MAX_BYTES="128") as made:
            await until(lambda: heard(made) == 1)

    assert [1] == logged(folder(tmp_path))
    told = [record.why for record in caplog.records if record.message == "not connected"]  # type: ignore[attr-defined]
    assert ["a message is longer than FEED_MAX_BYTES=128"] == told


async def test_a_refusal_is_told_in_its_words(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A server that does not let the client in is named with its HTTP status."""
    asked = 0

    def refuse(connection: ServerConnection, _request: Request) -> Response | None:
        nonlocal asked
        asked += 1
        return connection.respond(HTTPStatus.UNAUTHORIZED, "no\n") if asked == 1 else None

    with caplog.at_level(logging.WARNING):
        async with listener(tmp_path, sends(1), served={"process_request": refuse}) as made:
            await until(lambda: heard(made) == 1)

    assert ["the server answered HTTP 401"] == [record.why for record in caplog.records if hasattr(record, "why")]
