"""A server that breaks the protocol, for a real client: it must live, stay small and stop when it is asked to."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from chaos.security.case import CaseResult
from chaos.security.honest import resident_bytes
from tests.integration.processes import Process

RUN = "20260101T000000Z"
OBSERVED_SECONDS = 2.5
START_SECONDS, STOP_SECONDS = 60.0, 30.0
"""A busy machine may take long to start a process."""
MOST_BYTES, MOST_FOLDERS, MOST_LINES = 120 * 2**20, 64, 200
Talk = Callable[[ServerConnection], Coroutine[Any, Any, None]]

WELCOME: dict[str, Any] = {
    "type": "welcome", "v": 1, "run": RUN, "feed": "f", "state": "running", "total": 100, "rate": 10,
    "start_us": 1, "boot": "b", "now_us": 1,
}  # fmt: skip
SUBSCRIBED = {"type": "subscribed", "client": "client-1", "first": 1, "receipted": 0, "fence": 1}
TAKEN = {"type": "error", "code": "name_taken", "detail": ""}
RECORDS = {"type": "records", "first": 1, "count": 1, "due_us": 1, "rate": 10, "sent_us": 1, "crc": "x00000000"}


async def _send(peer: ServerConnection, *frames: dict[str, Any] | str | bytes) -> None:
    for frame in frames:
        await peer.send(frame if isinstance(frame, (str, bytes)) else json.dumps(frame))


def _says(*frames: dict[str, Any] | str | bytes, answers: tuple[dict[str, Any] | str | bytes, ...] = ()) -> Talk:
    """Return a server that says something at once, and something else when it is asked for a subscription."""

    async def talk(peer: ServerConnection) -> None:
        await _send(peer, *frames)
        async for text in peer:
            if '"subscribe"' in str(text):
                await _send(peer, *answers)

    return talk


def _without_end(*frames: dict[str, Any] | str | bytes) -> Talk:
    async def talk(peer: ServerConnection) -> None:
        await _send(peer, WELCOME, SUBSCRIBED)
        while True:
            await _send(peer, *frames)
            await asyncio.sleep(0)

    return talk


async def _names_without_end(peer: ServerConnection) -> None:
    await _send(peer, WELCOME)
    number = 0
    async for text in peer:
        if '"subscribe"' in str(text):
            number += 1
            await _send(peer, {**TAKEN, "suggest": f"name-{number}"})


async def _runs_without_end(peer: ServerConnection) -> None:
    for number in range(100_000):
        await _send(peer, {**WELCOME, "run": f"20260101T000000Z-{number + 2}"})
        await asyncio.sleep(0)


async def _other_codes(peer: ServerConnection) -> None:
    await _send(peer, WELCOME, SUBSCRIBED)
    for number in itertools.count():
        await _send(peer, {**TAKEN, "code": f"code-{number}"})
        await asyncio.sleep(0)


async def _records_from_everywhere(peer: ServerConnection) -> None:
    await _send(peer, {**WELCOME, "total": 2**53 - 1}, SUBSCRIBED)
    for number in itertools.count(1):
        await _send(peer, {**RECORDS, "first": number * 1_000_003})
        await asyncio.sleep(0)


async def _websocket_pings(peer: ServerConnection) -> None:
    await _send(peer, WELCOME)
    while True:
        await peer.ping()
        await asyncio.sleep(0)


async def _fragments(peer: ServerConnection) -> None:
    async def pieces() -> AsyncIterator[str]:
        while True:
            yield "x" * 1000
            await asyncio.sleep(0)

    await _send(peer, WELCOME)
    await peer.send(pieces())


async def _closes(peer: ServerConnection, code: int = 4400) -> None:
    await peer.close(code)


def _after(*frames: dict[str, Any] | str | bytes) -> Talk:
    return _says(WELCOME, answers=(SUBSCRIBED, *frames))


def _welcome(**changes: Any) -> Talk:
    return _says({**WELCOME, **changes})


TALKS: tuple[tuple[str, str, Talk], ...] = (
    ("T8", "nothing", _says()),
    ("T8", "text that is no JSON", _says("hello")),
    ("T8", "text that is not UTF-8", _says(b"\xff")),
    ("T8", "an unknown version", _welcome(v=2)),
    ("T11", "a run that is a path", _welcome(run="../../etc")),
    ("T11", "a run in the future of all", _welcome(run="99991231T235959Z")),
    ("T10", "a run of 2^53 - 1 records", _welcome(total=2**53 - 1)),
    ("T10", "a run of no records", _welcome(total=0)),
    ("T10", "a rate of nothing", _welcome(rate=5e-324)),
    ("T10", "a rate beyond all", _welcome(rate=1e300)),
    ("T8", "a state of its own", _welcome(state="closed")),
    ("T12", "control characters in the feed", _welcome(feed="\x1b[2J\n\u202e")),
    ("T6", "a feed of 200,000 characters", _welcome(feed="x" * 200_000)),
    ("T6", "a frame of a megabyte", _says("x" * 2**20)),
    ("T11", "suggested names without end", _names_without_end),
    ("T11", "a suggested name that is a path", _says(WELCOME, answers=({**TAKEN, "suggest": "../x"},))),
    ("T11", "runs without end", _runs_without_end),
    ("T10", "another client's subscription", _says(WELCOME, answers=({**SUBSCRIBED, "client": "client-2"},))),
    ("T10", "the highest fence", _says(WELCOME, answers=({**SUBSCRIBED, "fence": 2**53 - 1},))),
    ("T10", "a receipt that was never sent", _says(WELCOME, answers=({**SUBSCRIBED, "receipted": 2**53 - 1},))),
    ("T8", "records with a wrong digest", _after(json.dumps(RECORDS) + '\n{"id":1}\n')),
    ("T8", "records without records", _after(RECORDS)),
    ("T10", "2^53 - 1 records in a frame", _after({**RECORDS, "count": 2**53 - 1})),
    ("T10", "records due before all time", _after({**RECORDS, "due_us": -(2**53) + 1})),
    ("T8", "records at a rate of nothing", _after({**RECORDS, "rate": 5e-324})),
    ("T10", "a confirmation of nothing", _after({"type": "recorded", "session": 9, "block": 9, "match": True})),
    ("T10", "an end beyond all", _after({"type": "end", "last": 2**53 - 1, "count": 1})),
    ("T10", "a bye for 2^53 - 1 ms", _after({"type": "bye", "reason": "draining", "retry_ms": 2**53 - 1})),
    ("T12", "an error with control characters", _after({**TAKEN, "code": "\x1b]0;x\x07", "detail": "\u2028\n"})),
    ("T3", "a close at once", _closes),
    ("T9", "pings without end", _without_end({"type": "ping", "t1_us": 1})),
    ("T9", "idle frames without end", _without_end({"type": "idle", "next": 1, "now_us": 1})),
    ("T9", "unreadable frames without end", _without_end("x")),
    ("T9", "confirmations without end", _without_end({"type": "recorded", "session": 1, "block": 1, "match": False})),
    ("T9", "ends without end", _without_end({"type": "end", "last": 100, "count": 100})),
    ("T9", "welcomes without end", _without_end(WELCOME)),
    ("T9", "subscriptions without end", _without_end(SUBSCRIBED)),
    ("T9", "subscriptions with lost receipts without end", _without_end({**SUBSCRIBED, "receipted": 0, "fence": 2})),
    ("T9", "refusals without end", _without_end({**TAKEN, "code": "bad_receipt", "detail": "x" * 1000})),
    ("T9", "refusals with ever other codes", _other_codes),
    ("T9", "byes without end", _without_end({"type": "bye", "reason": "draining", "retry_ms": 0})),
    ("T9", "corrupt records without end", _without_end(json.dumps(RECORDS) + '\n{"id":1}\n')),
    ("T9", "records from everywhere without end", _records_from_everywhere),
    ("T9", "pongs without end", _without_end({"type": "pong", "t1_us": 1, "t2_us": 1, "t3_us": 1})),
    ("T9", "WebSocket pings without end", _websocket_pings),
    ("T6", "a message in fragments without end", _fragments),
    ("T8", "a binary frame of records", _after(json.dumps(RECORDS).encode() + b'\n{"id":1}\n')),
    ("T8", "records whose header ends nowhere", _after(json.dumps(RECORDS)[:-1] + "," * 50_000)),
    ("T8", "JSON that is nested 50,000 times", _says("[" * 50_000)),
    ("T10", "a number of 10,000 digits", _says('{"type":"idle","next":' + "9" * 10_000 + "}")),
    ("T10", "records that end before they begin", _after({**RECORDS, "first": 2**53 - 1, "count": 2})),
    ("T11", "a run that is a link upwards", _welcome(run="..")),
    ("T11", "a run with a zero byte", _welcome(run="20260101T000000Z\0")),
    ("T11", "a suggested name with a newline", _says(WELCOME, answers=({**TAKEN, "suggest": "a\nb"},))),
    ("T12", "a bye with control characters", _after({"type": "bye", "reason": "\x1b[2J\u202e", "retry_ms": 1})),
)  # fmt: skip


class _HostileServer:
    """Serves one talk in a thread of its own."""

    def __init__(self, talk: Talk) -> None:
        self.port, self._talk, self._loop = 0, talk, asyncio.new_event_loop()
        self._listening, self._over = threading.Event(), asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    async def _serve(self) -> None:
        async def handle(peer: ServerConnection) -> None:
            with contextlib.suppress(ConnectionClosed):
                await self._talk(peer)

        server: Server = await serve(
            handle, "127.0.0.1", 0, max_size=None, compression=None, close_timeout=0.1, ping_interval=None
        )
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        await self._over.wait()
        for connection in server.connections:
            connection.transport.abort()
        server.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(5):
                await server.wait_closed()

    def __enter__(self) -> Self:
        self._thread.start()
        self._listening.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)


def attempt(threat: str, name: str, talk: Talk, folder: Path) -> CaseResult:
    """Let a real client connect to a server that breaks the protocol; return whether the client bears it."""
    with _HostileServer(talk) as server:
        url = f"ws://127.0.0.1:{server.port}"
        with Process("services.client", CLIENT_ID="client-1", SERVER_URL=url, VOLUMES=folder) as client:
            client.wait_for_line('"client"', START_SECONDS)
            time.sleep(OBSERVED_SECONDS)
            answer = _fault(client, folder) or stop(client)
            if "Traceback" in client.text:
                answer = "traceback"
    return CaseResult(threat, f"server: {name}", "bears it", answer)


def stop(service: Process) -> str:
    """Stop a service; return "bears it", or what is wrong with its end."""
    try:
        code = service.stop(STOP_SECONDS)
    except AssertionError:
        return f"does not stop within {STOP_SECONDS:g} s"
    return "bears it" if code == 0 else f"exit code {code}"


def _fault(client: Process, folder: Path) -> str:
    if client.code is not None:
        return f"ended with {client.code}"
    if (size := resident_bytes(client.pid)) > MOST_BYTES:
        return f"{size >> 20} MB"
    folders = sum(path.is_dir() for path in folder.rglob("*"))
    if folders > MOST_FOLDERS:
        return f"{folders} folders"
    return f"{len(client.lines)} lines of its log" if len(client.lines) > MOST_LINES else ""
