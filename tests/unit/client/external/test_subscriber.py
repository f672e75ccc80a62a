"""Tests of one client of an external feed, against a scripted server."""

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
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from services.client.backoff import Backoff
from services.client.external import subscriber
from services.client.external.connection import ConnectRateLimit
from services.client.external.subscriber import PROVED_SECONDS, ExternalSubscriber
from services.contract.scalars import utc_text
from services.runtime.clock import Clock
from services.runtime.jsonlogs import RateLimitedLog
from tests.unit.client.external.fakes import (
    OPENED,
    Script,
    blocks,
    connection_lines,
    external_server,
    feed_settings,
    logged,
    outline,
    reason,
    sends,
)
from tests.unit.client.fakes import RUN, client_config, until


@asynccontextmanager
async def listener(
    logs: Path,
    *scripts: Script,
    seconds: float | None = None,
    served: dict[str, Any] | None = None,
    backoff: Backoff | None = None,
    proved_seconds: float = PROVED_SECONDS,
    **changed: str,
) -> AsyncIterator[ExternalSubscriber]:
    """Run a client of a server that follows the scripts, for this time or until the test is done."""
    clock = Clock()
    end = utc_text(clock.now_us() + round(seconds * 1e6)) if seconds else None
    run = msgspec.structs.replace(OPENED, until=end)
    async with asyncio.timeout(20), external_server(*scripts, **(served or {})) as url:
        settings = feed_settings(url, **changed)
        made = ExternalSubscriber(
            "client-1",
            settings,
            run,
            client_config(logs),
            clock,
            ConnectRateLimit(1000),
            RateLimitedLog(),
            None,
            backoff or Backoff(0.02),
            proved_seconds,
        )
        task = asyncio.create_task(made.run())
        try:
            yield made
        finally:
            await made.stop()
            await task
            await made.close()


def folder(logs: Path) -> Path:
    """Return the folder of the client's logs."""
    return logs / RUN / "client-1"


async def test_what_is_sent_is_logged_until_it_is_stopped(tmp_path: Path) -> None:
    """All records are in the log, which is sealed when the client is stopped."""
    async with listener(tmp_path, sends(*range(25))) as made:
        await until(lambda: made.received == 25)

    assert [*range(25)] == logged(folder(tmp_path))
    assert "shutdown" == reason(folder(tmp_path))


async def test_the_run_ends_by_itself(tmp_path: Path) -> None:
    """When the run's time is over the log is sealed and the connection closed; the client counts as connected."""
    async with listener(tmp_path, sends(1, 2, 3), seconds=0.3) as made:
        await until(lambda: made.received == 3)
        await until(lambda: made.is_over)
        assert made.is_connected

    assert [1, 2, 3] == logged(folder(tmp_path))
    assert "finished" == reason(folder(tmp_path))


async def test_the_hello_is_sent_first(tmp_path: Path) -> None:
    """The messages of FEED_HELLO are sent after connecting, as text frames or binary frames."""
    came: list[str | bytes] = []

    async def script(connection: ServerConnection) -> None:
        came.extend([await connection.recv(), await connection.recv()])
        await sends(1)(connection)

    async with listener(tmp_path, script, FEED_HELLO='{"op":"subscribe"}\nbinary:\\x01') as made:
        await until(lambda: made.received == 1)

    assert ['{"op":"subscribe"}', b"\x01"] == came


async def test_a_connection_that_breaks_is_made_again_and_resumed(tmp_path: Path) -> None:
    """After a cut the client reconnects and resumes, and the blocks name their connection."""
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
        await until(lambda: made.received == 20)

    assert ['{"after":10}'] == came
    assert [(1, []), (2, [])] == [(block.connection, block.missing) for block in blocks(folder(tmp_path))]


async def test_pings_are_answered_and_other_frames_passed_over(tmp_path: Path) -> None:
    """The feed's own pings are answered; ignored frames are not logged."""

    async def script(connection: ServerConnection) -> None:
        await connection.send("+OK")
        await connection.send("2")
        await connection.send(json.dumps({"seq": int(await connection.recv())}))
        await connection.wait_closed()

    async with listener(tmp_path, script, FEED_PING="^2$", FEED_PONG="3", FEED_IGNORE=r"^\+OK") as made:
        await until(lambda: made.received == 1)

    assert [3] == logged(folder(tmp_path))


async def test_records_in_the_frame_of_a_ping_are_logged(tmp_path: Path) -> None:
    """Of a frame with a ping, an acknowledgement and records, the ping is answered and the records are logged."""

    async def script(connection: ServerConnection) -> None:
        await connection.send('{}\n{"seq":1}\n{"id":7}\n{"seq":2}')
        await connection.send(json.dumps({"seq": 3 if await connection.recv() == "{}" else 0}))
        await connection.wait_closed()

    async with listener(
        tmp_path,
        script,
        FEED_SPLIT=r"\n",
        FEED_PING=r"^\{\}$",
        FEED_PONG="{}",
        FEED_IGNORE='"id"',
    ) as made:
        await until(lambda: made.received == 3)

    assert [1, 2, 3] == logged(folder(tmp_path))
    assert [(1, 1)] == [(block.ignored, block.pings) for block in blocks(folder(tmp_path))]


async def test_a_message_goes_on_in_the_next_frame_of_its_connection_alone(tmp_path: Path) -> None:
    """What a connection did not finish is one unreadable record in its last block, and never joined to the next."""

    async def cut(connection: ServerConnection) -> None:
        await connection.send('{"seq":1}\n{"se')
        await connection.send('q":2}\n{"seq":3,')
        await connection.close()

    async with listener(tmp_path, cut, sends(4), FEED_SPLIT=r"\n") as made:
        await until(lambda: made.received == 4)

    assert [1, 2, None, 4] == logged(folder(tmp_path))
    assert [(1, 3, 1), (2, 1, 0)] == [
        (block.connection, block.count, block.unsequenced) for block in blocks(folder(tmp_path))
    ]


@pytest.mark.parametrize(("in_flight_ns", "numbers"), [(0, [1, None]), (10**18, [1])])
async def test_what_waits_is_logged_when_the_run_ends(
    in_flight_ns: int, numbers: list[int | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A message without its end is one unreadable record, unless its end may be in flight when the client stops."""
    monkeypatch.setattr("services.client.external.subscriber.IN_FLIGHT_NS", in_flight_ns)

    async def script(connection: ServerConnection) -> None:
        await connection.send('{"seq":1}\n{"seq":2,')
        await connection.wait_closed()

    async with listener(tmp_path, script, FEED_SPLIT=r"\n") as made:
        await until(lambda: made.received == 1)

    assert numbers == logged(folder(tmp_path))


async def test_a_frame_that_may_be_a_whole_message_is_logged_at_the_end(tmp_path: Path) -> None:
    """Without FEED_SPLIT a frame that FEED_MATCH has not matched yet is logged when the client is stopped."""
    heard = asyncio.Event()

    async def script(connection: ServerConnection) -> None:
        await connection.send('tick {"seq":1}')
        await connection.send('tick {"se')
        await connection.wait_closed()

    def hear(frame: str | bytes, _at: int) -> None:
        if frame == 'tick {"se':
            heard.set()

    async with listener(tmp_path, script, FEED_MATCH=r"tick (\{.*\})") as made:
        made.on_frame = hear
        await heard.wait()

    assert [1, None] == logged(folder(tmp_path))


async def test_a_message_that_is_too_long_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A message above FEED_MAX_BYTES ends the connection; the client reconnects and logs the reason once."""

    async def long(connection: ServerConnection) -> None:
        await connection.send("x" * 300)
        await connection.wait_closed()

    with caplog.at_level(logging.WARNING):
        async with listener(tmp_path, long, sends(1), FEED_MAX_BYTES="128") as made:
            await until(lambda: made.received == 1)

    assert [1] == logged(folder(tmp_path))
    result = [vars(record)["why"] for record in caplog.records if record.message == "not connected"]
    assert ["a message is longer than FEED_MAX_BYTES=128"] == result


async def test_a_refusal_is_logged_with_its_status(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """If the server refuses the client, the log has the HTTP status."""
    asked = 0

    def refuse(connection: ServerConnection, _request: Request) -> Response | None:
        nonlocal asked
        asked += 1
        return connection.respond(HTTPStatus.UNAUTHORIZED, "no\n") if asked == 1 else None

    with caplog.at_level(logging.WARNING):
        async with listener(tmp_path, sends(1), served={"process_request": refuse}) as made:
            await until(lambda: made.received == 1)

    assert ["the server answered HTTP 401: no"] == [record.why for record in caplog.records if hasattr(record, "why")]


def is_sealed(logs: Path) -> bool:
    """Return whether the client's log was closed."""
    return (
        (folder(logs) / "0001-0001.jsonl").exists() and bool(outline(folder(logs))) and reason(folder(logs)) is not None
    )


def leaves(*seqs: int, code: int = 1000, reason: str = "") -> Script:
    """Return a script that sends records of these numbers and then closes."""

    async def script(connection: ServerConnection) -> None:
        for seq in seqs:
            await connection.send(json.dumps({"seq": seq}))
        await connection.close(code, reason)

    return script


async def test_every_event_of_a_connection_is_logged(tmp_path: Path) -> None:
    """Lines about failed attempts, connections and the seal are logged in order with the blocks."""
    asked = 0

    def refuse(connection: ServerConnection, _request: Request) -> Response | None:
        nonlocal asked
        asked += 1
        return connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "busy\n") if asked == 1 else None

    scripts = leaves(1, 2, code=1001, reason="going away"), sends(3)
    async with listener(tmp_path, *scripts, served={"process_request": refuse}) as made:
        await until(lambda: made.received == 3)

    lines = connection_lines(folder(tmp_path))
    assert [
        "refused 0 503", "opened 1", "1-2 by connection", "closed 1 1001", "opened 2", "3-3 by shutdown", "sealed 2"
    ] == outline(folder(tmp_path))  # fmt: skip
    assert "the server answered HTTP 503: busy" == lines[0].reason
    assert [False, True, False, True, True] == [line.connected for line in lines]
    assert "going away" == lines[2].reason


async def test_a_client_disconnected_at_the_end_logs_that(tmp_path: Path) -> None:
    """The last line of a disconnected client has the last reason and the number of attempts since."""

    def refuse(connection: ServerConnection, _request: Request) -> Response | None:
        gone = len(connection_lines(folder(tmp_path))) > 1
        return connection.respond(HTTPStatus.FORBIDDEN, "gone\n") if gone else None

    async with listener(tmp_path, leaves(1), served={"process_request": refuse}) as made:
        await until(lambda: any(line.event == "refused" for line in connection_lines(folder(tmp_path))))
        assert not made.is_connected

    last = connection_lines(folder(tmp_path))[-1]
    assert ("sealed", False, 403, "the server answered HTTP 403: gone") == (
        last.event, last.connected, last.code, last.reason
    )  # fmt: skip
    assert last.attempts >= 1


async def stop_before_the_handshake(folder: Path) -> None:
    """Run a client that is stopped while the server has its handshake, and does not answer it."""
    asked, stopped = asyncio.Event(), asyncio.Event()

    async def unanswered(_connection: ServerConnection, _request: Request) -> None:
        asked.set()
        await stopped.wait()

    async with listener(folder, sends(), served={"process_request": unanswered}) as made:
        await asked.wait()
        await made.stop()
        stopped.set()


async def test_a_server_that_answers_no_handshake_is_reported_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handshake without an answer when the run ends counts as a failed attempt, once it had the time for one."""
    monkeypatch.setattr(subscriber, "_ANSWER_SECONDS", 0)
    await stop_before_the_handshake(tmp_path)

    *_, refused, sealed = connection_lines(folder(tmp_path))
    assert ("refused", "sealed") == (refused.event, sealed.event)
    assert "the server did not answer the opening handshake for " in refused.reason


async def test_a_handshake_that_has_just_begun_is_no_failed_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handshake that began right before the end is the reason in the last line, and no failed attempt."""
    monkeypatch.setattr(subscriber, "_ANSWER_SECONDS", 1000)
    await stop_before_the_handshake(tmp_path)

    (sealed,) = connection_lines(folder(tmp_path))
    assert (0, "its opening handshake began ") == (sealed.attempts, sealed.reason[:28])


async def test_a_close_of_our_own_has_its_code(tmp_path: Path) -> None:
    """A connection that the client closes because of a message that is too long has the code 1009."""

    async def long(connection: ServerConnection) -> None:
        await connection.send("x" * 300)
        await connection.wait_closed()

    async with listener(tmp_path, long, sends(1), FEED_MAX_BYTES="128") as made:
        await until(lambda: made.received == 1)

    assert (1009, "a message is longer than FEED_MAX_BYTES=128") == next(
        (line.code, line.reason) for line in connection_lines(folder(tmp_path)) if line.event == "closed"
    )


@pytest.mark.parametrize(
    ("end", "frames", "records", "condition"),
    [
        ("close 1000,1001", [1, 2], [1, 2], "close 1000"),
        ('message "end"', [1, "end", 2], [1], 'message "end"'),
        ("message 2", [1, 2, 3], [1, 2], "message 2"),
        ("messages 2", [1, 2, 3], [1, 2], "messages 2"),
        ("last 5", [1, 6, 7], [1, 6], "last 5"),
    ],
)
async def test_a_named_end_ends_the_run(
    tmp_path: Path, end: str, frames: list[object], records: list[int], condition: str
) -> None:
    """A condition of FEED_END seals the log as finished, and the client stays healthy until it is stopped."""

    async def script(connection: ServerConnection) -> None:
        for frame in frames:
            await connection.send(json.dumps({"seq": frame} if isinstance(frame, int) else {"type": frame}))
        if end.startswith("close"):
            await connection.close()
        await connection.wait_closed()

    async with listener(tmp_path, script, FEED_END=end) as made:
        await until(lambda: is_sealed(tmp_path))
        assert made.is_connected

    *_, ended, sealed = connection_lines(folder(tmp_path))
    assert records == logged(folder(tmp_path))
    assert "finished" == reason(folder(tmp_path))
    assert ("ended", condition, "sealed") == (ended.event, ended.reason, sealed.event)
    assert ["opened", "ended", "sealed"] == [
        line.event for line in connection_lines(folder(tmp_path)) if line.event != "closed"
    ]


async def test_an_end_that_is_ignored_as_a_record_is_an_end(tmp_path: Path) -> None:
    """A message that FEED_IGNORE matches can still be the end of the feed."""

    async def script(connection: ServerConnection) -> None:
        await connection.send(json.dumps({"seq": 1}))
        await connection.send("bye")
        await connection.wait_closed()

    async with listener(tmp_path, script, FEED_END="message bye", FEED_IGNORE="^bye") as made:
        await until(lambda: is_sealed(tmp_path))
        assert made.is_over

    assert [1] == logged(folder(tmp_path))


async def test_without_a_named_end_a_close_is_none(tmp_path: Path) -> None:
    """The client reconnects after a normal close: without FEED_END it is no end of the feed."""
    async with listener(tmp_path, leaves(1), sends(2), FEED_END="close 1001") as made:
        await until(lambda: made.received == 2)

    assert ["opened 1", "1-1 by connection", "closed 1 1000", "opened 2", "2-2 by shutdown", "sealed 2"] == outline(
        folder(tmp_path)
    )


class Recorder(Backoff):
    """A back-off that records the calls to it, and never waits long."""

    def __init__(self) -> None:
        super().__init__(0.02)
        self.noted: list[str] = []

    def succeeded(self) -> None:
        """Record that the back-off began again."""
        self.noted.append("again")

    def use_longest(self) -> None:
        """Record that a refusal was firm."""
        self.noted.append("firm")

    def not_before(self, seconds: float) -> None:
        """Record the delay that the server asked for."""
        self.noted.append(f"not before {seconds:g} s")


async def test_a_message_is_no_proof_of_a_connection(tmp_path: Path) -> None:
    """A server that explains its refusal in a message, and closes, does not reset the back-off."""
    recorder = Recorder()

    async def refuse(connection: ServerConnection) -> None:
        await connection.send(json.dumps({"type": "error", "code": 4401}))
        await connection.close(4401, "token expired")

    async with listener(tmp_path, refuse, sends(1), backoff=recorder) as made:
        await until(lambda: made.received == 2)

    assert ["firm"] == recorder.noted


async def test_a_record_proves_a_connection_that_lasts(
    tmp_path: Path,
) -> None:
    """A connection that brought a record and lasted for a while resets the back-off; a short one does not."""
    recorder = Recorder()
    async with listener(tmp_path, leaves(1), sends(2), backoff=recorder) as made:
        await until(lambda: made.received == 2)
    assert [] == recorder.noted

    async with listener(tmp_path / "lasting", leaves(1), sends(2), backoff=recorder, proved_seconds=0) as made:
        await until(lambda: made.received == 2)
        assert ["again"] == recorder.noted


async def test_retry_after_is_kept(tmp_path: Path) -> None:
    """A time in ``Retry-After`` is passed to the back-off."""
    recorder = Recorder()
    asked = 0

    def refuse(connection: ServerConnection, _request: Request) -> Response | None:
        nonlocal asked
        asked += 1
        if asked > 1:
            return None
        response = connection.respond(HTTPStatus.TOO_MANY_REQUESTS, "slow down\n")
        response.headers["Retry-After"] = "20"
        return response

    async with listener(tmp_path, sends(1), backoff=recorder, served={"process_request": refuse}) as made:
        await until(lambda: made.received == 1)

    assert ["not before 20 s"] == recorder.noted


@pytest.mark.parametrize(("name", "text"), [("FEED_AUTHORIZATION_FILE", "Bearer abc"), ("FEED_HELLO_FILE", "token")])
async def test_a_file_that_is_gone_is_an_attempt_that_failed(tmp_path: Path, name: str, text: str) -> None:
    """A file that is replaced during the run does not stop the client: it names the file and tries again."""
    secret = tmp_path / "secret"
    secret.write_text(text)
    setting: dict[str, Any] = {name: str(secret)}

    async def once(connection: ServerConnection) -> None:
        secret.unlink()
        await connection.close()

    async with listener(tmp_path, once, sends(1), **setting) as made:
        await until(lambda: any(line.event == "refused" for line in connection_lines(folder(tmp_path))))
        secret.write_text(text)
        await until(lambda: made.received == 1)

    refused = next(line for line in connection_lines(folder(tmp_path)) if line.event == "refused")
    assert refused.reason.startswith(f"BadSettings: {name}=")
    assert [1] == logged(folder(tmp_path))


@pytest.mark.parametrize("location", ["ws://a..b/", "ws://[", "http://localhost:99999/", "ws://" + "a" * 70])
async def test_a_redirect_to_nowhere_is_an_attempt_that_failed(tmp_path: Path, location: str) -> None:
    """A redirect to a malformed address does not stop the client: it tries again."""
    asked = 0

    def redirect(connection: ServerConnection, _request: Request) -> Response | None:
        nonlocal asked
        asked += 1
        if asked > 1:
            return None
        response = connection.respond(HTTPStatus.FOUND, "\n")
        response.headers["Location"] = location
        return response

    async with listener(tmp_path, sends(1), served={"process_request": redirect}) as made:
        await until(lambda: made.received == 1)

    assert ["refused", "opened", "sealed"] == [line.event for line in connection_lines(folder(tmp_path))]


async def test_records_that_come_while_a_step_waits_are_logged(tmp_path: Path) -> None:
    """While the greeting waits for its answer, records are logged; after the answer the next message is sent."""
    came: list[str | bytes] = []

    async def script(connection: ServerConnection) -> None:
        came.append(await connection.recv())
        await connection.send(json.dumps({"seq": 1}))
        await until(lambda: [1] == [message.seq for message in _waiting(tmp_path)])
        await connection.send('{"type":"ack"}')
        came.append(await connection.recv())
        await sends(2)(connection)

    hello = 'init\nwait:"type":"ack"\nsubscribe'
    async with listener(tmp_path, script, FEED_HELLO=hello, FEED_IGNORE='"ack"', BLOCK_SECONDS="0.01") as made:
        await until(lambda: made.received == 2)

    assert ["init", "subscribe"] == came
    assert [1, 2] == logged(folder(tmp_path))


def _waiting(logs: Path) -> list[Any]:
    """Return the messages in the log so far."""
    return [message for block in blocks(folder(logs)) for message in block.messages]


async def test_a_greeting_that_is_not_answered_ends_the_connection(tmp_path: Path) -> None:
    """If no message matches in time, the client closes with 1002 and its reason, and connects again."""
    codes: list[int | None] = []

    async def silent(connection: ServerConnection) -> None:
        await connection.wait_closed()
        codes.append(connection.close_code)

    async def answers(connection: ServerConnection) -> None:
        await connection.send("ack")
        await sends(1)(connection)

    async with listener(tmp_path, silent, answers, FEED_HELLO="wait 0.1s:ack", FEED_IGNORE="ack") as made:
        await until(lambda: made.received == 1)

    closed = next(line for line in connection_lines(folder(tmp_path)) if line.event == "closed")
    assert (1002, "the greeting is unanswered: nothing matched /ack/ within 0.1 s") == (closed.code, closed.reason)
    assert [1002] == codes


async def test_a_greeting_that_is_unanswered_at_the_end_is_reported(tmp_path: Path) -> None:
    """If the run ends before the greeting is answered, the last line has the pattern that nothing matched."""
    async with listener(tmp_path, sends(1), FEED_HELLO="wait:ack") as made:
        await until(lambda: made.received == 1)

    last = connection_lines(folder(tmp_path))[-1]
    assert ("sealed", True, "the greeting is unanswered: nothing has matched /ack/") == (
        last.event, last.connected, last.reason
    )  # fmt: skip


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"FEED_IGNORE": '"event"'}, "no record came; the last message was "),
        ({}, "no record with a number came; the last message was "),
        (
            {"FEED_HELLO": "wait:no"},
            "the greeting is unanswered: nothing has matched /no/; the last message was ",
        ),
    ],
)
async def test_what_came_instead_of_records_is_reported(tmp_path: Path, settings: dict[str, Any], why: str) -> None:
    """The last line of a connected client without a record has the last message, without secrets."""
    heard = asyncio.Event()

    async def refuse(connection: ServerConnection) -> None:
        await connection.send('{"event":"error","text":"bad key: t0ken"}')
        # The answer comes after the message before it was read.
        await (await connection.ping())
        heard.set()
        await connection.wait_closed()

    async with listener(tmp_path, refuse, FEED_HEARTBEAT='{"token":"t0ken"}', **settings):
        await heard.wait()

    sealed = connection_lines(folder(tmp_path))[-1]
    assert (True, f'{why}{{"event":"error","text":"bad key: ***"}}') == (sealed.connected, sealed.reason)


async def test_a_client_with_records_is_sealed_without_a_reason(tmp_path: Path) -> None:
    """The last line of a client that has received records has no reason, whatever else came."""

    async def serve(connection: ServerConnection) -> None:
        await connection.send('{"event":"welcome"}')
        await connection.send('{"seq":1}')
        await connection.wait_closed()

    async with listener(tmp_path, serve, FEED_IGNORE='"event"') as made:
        await until(lambda: made.received == 1)

    assert "" == connection_lines(folder(tmp_path))[-1].reason


@pytest.mark.parametrize(
    ("reason", "logged_reason"),
    [("", "before the greeting was answered: nothing matched /ack/"), ("token expired", "token expired")],
)
async def test_a_close_before_the_answer_says_so(tmp_path: Path, reason: str, logged_reason: str) -> None:
    """A server that closes without a reason of its own while the greeting waits has that as its reason."""
    async with listener(tmp_path, leaves(reason=reason), sends(1), FEED_HELLO="wait 5s:ack") as made:
        await until(lambda: made.received == 1)

    closed = next(line for line in connection_lines(folder(tmp_path)) if line.event == "closed")
    assert logged_reason == closed.reason


async def test_a_heartbeat_is_sent(tmp_path: Path) -> None:
    """The heartbeat is sent after the greeting, with the number that was received last."""
    came: list[str | bytes] = []

    async def script(connection: ServerConnection) -> None:
        await connection.send(json.dumps({"seq": 7}))
        came.extend([await connection.recv(), await connection.recv()])
        await sends(8)(connection)

    heartbeat = '{"op":1,"d":{seq}}'
    async with listener(
        tmp_path, script, FEED_HELLO="hi", FEED_HEARTBEAT=heartbeat, FEED_HEARTBEAT_SECONDS="0.1"
    ) as made:
        await until(lambda: made.received == 2)

    assert ["hi", '{"op":1,"d":7}'] == came


async def test_a_server_is_told_that_the_run_is_over(tmp_path: Path) -> None:
    """At the end of a run the client closes the connection with 1000, also while records come without a pause."""
    codes: list[int | None] = []

    async def endless(connection: ServerConnection) -> None:
        seq = 0
        try:
            while True:
                seq += 1
                await connection.send(json.dumps({"seq": seq}))
                await asyncio.sleep(0)
        except ConnectionClosed:
            codes.append(connection.close_code)

    async with listener(tmp_path, endless, seconds=1) as made:
        await until(lambda: made.is_over)

    assert [1000] == codes
