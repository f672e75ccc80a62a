"""Tests of what a client of an external feed does with messages that come in one read."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from unittest.mock import PropertyMock, patch

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed

from services.client.external.session import ExternalSession
from services.client.external.subscriber import ExternalSubscriber
from tests.unit.client.external.fakes import Script, blocks, logged, outline
from tests.unit.client.external.test_subscriber import folder, listener
from tests.unit.client.fakes import until

TEXT, CLOSE = 0x81, 0x88


def frame(head: int, content: bytes) -> bytes:
    """Return a frame with a short content."""
    return bytes([head, len(content)]) + content


def records(*seqs: int) -> bytes:
    """Return frames with records of these numbers."""
    return b"".join(frame(TEXT, json.dumps({"seq": seq}).encode()) for seq in seqs)


def writes(*contents: bytes, heard: list[str | bytes] | None = None) -> Script:
    """Return a script that writes each of these as one piece, and then waits for the client to go."""

    async def script(connection: ServerConnection) -> None:
        for content in contents:
            connection.transport.write(content)
        try:
            while True:
                message = await connection.recv()
                if heard is not None:
                    heard.append(message)
        except ConnectionClosed:
            pass

    return script


async def test_messages_of_one_read_have_one_time(tmp_path: Path) -> None:
    """The time of a message is that of the read that brought its last byte."""
    first, second = records(*range(10, 20)), records(*range(20, 30))
    async with listener(tmp_path, writes(first + second)) as made:
        await until(lambda: made.received == 20)

    messages = [message for block in blocks(folder(tmp_path)) for message in block.messages]
    assert [*range(10, 30)] == [message.seq for message in messages]
    assert len({message.received_at for message in messages}) <= 2


async def test_messages_are_handled_without_the_task_that_reads(tmp_path: Path) -> None:
    """Once that task waits, only what something has to wait for is queued."""
    may_send = asyncio.Event()

    async def script(connection: ServerConnection) -> None:
        await may_send.wait()
        await writes(records(*range(10, 40)))(connection)

    with patch.object(ExternalSubscriber, "_handle", side_effect=AssertionError("it was queued")):
        async with listener(tmp_path, script) as made:
            await until(lambda: made._is_waiting)
            may_send.set()
            await until(lambda: made.received == 30)

    assert [*range(10, 40)] == logged(folder(tmp_path))


@pytest.mark.parametrize(
    ("end", "expected"),
    [
        ("last 14", [10, 11, 12, 13, 14]),
        ("messages 3", [10, 11, 12]),
        (r'message "seq": 13', [10, 11, 12, 13]),
    ],
)
async def test_the_end_of_a_feed_is_found_within_a_read(tmp_path: Path, end: str, expected: list[int]) -> None:
    """The messages after the one that meets a condition are not logged, though they came with it."""
    async with listener(tmp_path, writes(records(*range(10, 20))), FEED_END=end) as made:
        await until(lambda: made.is_over)

    assert expected == logged(folder(tmp_path))


async def test_a_ping_of_the_feed_is_answered_within_a_read(tmp_path: Path) -> None:
    """The answer is sent, and records before and after the ping are logged in their order, once."""
    heard: list[str | bytes] = []
    content = records(10, 11) + frame(TEXT, b"ping 7") + records(12) + frame(TEXT, b"ping 8") + records(13)
    script = writes(content, records(14), heard=heard)
    async with listener(tmp_path, script, FEED_PING=r"^ping (\d)", FEED_PONG=r"pong \1") as made:
        await until(lambda: made.received == 5 and len(heard) == 2)

    assert ["pong 7", "pong 8"] == heard
    assert [10, 11, 12, 13, 14] == logged(folder(tmp_path))
    assert 2 == sum(block.pings or 0 for block in blocks(folder(tmp_path)))


async def test_messages_before_a_close_are_logged(tmp_path: Path) -> None:
    """A close after messages of the same read ends the feed after them, by its code."""
    content = records(*range(10, 15)) + frame(CLOSE, (4001).to_bytes(2) + b"bye")
    async with listener(tmp_path, writes(content), FEED_END="close 4001") as made:
        await until(lambda: made.is_over)

    assert [*range(10, 15)] == logged(folder(tmp_path))


async def test_a_client_whose_disk_is_behind_handles_no_further_read(tmp_path: Path) -> None:
    """Messages wait in the queue while too much waits for the disk, and are logged in their order afterwards."""
    full = PropertyMock(return_value=False)
    with patch.object(ExternalSession, "is_full", full):
        async with listener(tmp_path, writes(records(10, 11))) as made:
            await until(lambda: made.received == 2)
            full.return_value = True

            assert 0 == made._handle_at_once([b'{"seq":12}'], False, made._clock.now_ns())

    assert [10, 11] == logged(folder(tmp_path))


async def test_an_error_of_this_program_is_no_end_of_the_connection(tmp_path: Path) -> None:
    """An error while messages are handled at once ends the client with that error, and no close is logged."""
    may_send = asyncio.Event()

    async def script(connection: ServerConnection) -> None:
        await may_send.wait()
        await writes(records(10))(connection)

    async def listen() -> None:
        async with listener(tmp_path, script) as made:
            await until(lambda: made._is_waiting)
            may_send.set()
            await until(lambda: not made.is_connected)

    with patch.object(ExternalSession, "receive", side_effect=ZeroDivisionError), pytest.raises(ZeroDivisionError):
        await listen()

    assert ["opened 1"] == outline(folder(tmp_path))[:1]
    assert "closed" not in "".join(outline(folder(tmp_path)))
