"""Tests of looking at a feed once."""

from __future__ import annotations

import json
import logging

from websockets.asyncio.server import ServerConnection

from services.client.feeds.look import MAX_MESSAGES, KeptMessages, look, to_analyse
from tests.unit.client.external.fakes import external_server, feed_settings, sends


async def test_messages_are_kept_as_they_came() -> None:
    """All messages are kept, also those that are no records, beside the records as they were read."""

    async def script(connection: ServerConnection) -> None:
        await connection.send('{"op":"hello"}')
        await connection.send('{"seq":1}\n')
        await connection.send(b'{"seq":2}')
        await connection.wait_closed()

    async with external_server(script) as url:
        seen = await look(feed_settings(url, FEED_IGNORE='"op"', FEED_END="messages 2"), 30)

    assert [b'{"op":"hello"}', b'{"seq":1}\n', b'{"seq":2}'] == [message.data for message in seen.messages]
    assert (3, [1, 2]) == (seen.total, [record.seq for record in seen.records])
    assert ["opened", "ended", "sealed"] == [line.event for line in seen.connections]


async def test_a_refusal_is_reported() -> None:
    """A server that closes the connection is reported with code and reason."""

    async def script(connection: ServerConnection) -> None:
        await connection.close(4401, "token expired")

    async with external_server(script) as url:
        seen = await look(feed_settings(url, FEED_END="close 4401"), 30)

    closed = next(line for line in seen.connections if line.event == "closed")
    assert (4401, "token expired", 0) == (closed.code, closed.reason, seen.total)


async def test_remarks_are_collected() -> None:
    """What the client would warn of is collected, once each, and the log is as before."""
    client = logging.getLogger("services.client")
    before = (client.handlers[:], client.propagate)

    async def script(connection: ServerConnection) -> None:
        for _ in range(3):
            await connection.send('{"n":1}')
        await connection.wait_closed()

    async with external_server(script) as url:
        seen = await look(feed_settings(url, FEED_END="messages 3"), 30)

    assert ["nothing at $.seq"] == seen.remarks
    assert before == (client.handlers[:], client.propagate)


async def test_a_fast_feed_is_bounded() -> None:
    """Of very many messages the first are kept and all are counted; an end in the settings ends the look."""
    count = MAX_MESSAGES + 100

    async def script(connection: ServerConnection) -> None:
        for seq in range(count):
            await connection.send(json.dumps({"seq": seq}))
        await connection.wait_closed()

    async with external_server(script) as url:
        seen = await look(feed_settings(url, FEED_END=f"messages {count}"), 60)

    assert (MAX_MESSAGES, count) == (len(seen.messages), seen.total)


def test_messages_after_the_end_of_the_run_do_not_count() -> None:
    """A message that comes after the end of the client's run is in no log, so it is neither kept nor counted."""
    kept = KeptMessages(until_ns=10)
    for received_ns in (9, 10):
        kept.add("x", received_ns)

    assert ([9], 1) == ([message.received_ns for message in kept.messages], kept.count)


async def test_a_look_ends_after_its_time() -> None:
    """A look at a feed without an end ends after its time, with all that came."""
    async with external_server(sends(1, 2)) as url:
        seen = await look(feed_settings(url), 3)

    assert [1, 2] == [record.seq for record in seen.records]


async def test_what_settings_take_apart_is_analysed() -> None:
    """Where the settings take frames apart, proposals follow from the records, and otherwise from the messages."""

    async def script(connection: ServerConnection) -> None:
        await connection.send('a|{"seq":1}')
        await connection.wait_closed()

    for match, expected in (("^a.(.*)$", b'{"seq":1}'), ("", b'a|{"seq":1}'), ("^(a).", b'a|{"seq":1}')):
        async with external_server(script) as url:
            settings = feed_settings(url, FEED_MATCH=match, FEED_SEQ="", FEED_END="messages 1")
            seen = await look(settings, 30)

        assert [expected] == [message.data for message in to_analyse(seen, settings)]
        assert abs(to_analyse(seen, settings)[0].received_ns - seen.messages[0].received_ns) < 1000
