"""External servers that expect more of a client than to listen: each is judged exactly by clients that talk to it."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from email.utils import formatdate
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from tests.integration.judged_feeds import Case, judged, numbered, sends
from tests.integration.processes import Process
from tests.unit.client.external.fakes import external_server


@pytest.mark.parametrize(
    ("heartbeat", "seconds", "op"),
    [('{"op":"ping","id":"{client}"}', "0.3", "ping"), ('{"op":1,"d":{seq}}', "$.d.heartbeat_interval ms", 1)],
)
async def test_a_client_sends_heartbeats(tmp_path: Path, heartbeat: str, seconds: str, op: object) -> None:
    """A server that goes on only after a heartbeat of the client, at a fixed interval or at its own, goes on."""
    came: list[Any] = []

    async def plays(connection: ServerConnection) -> None:
        await connection.send(json.dumps({"op": 10, "d": {"heartbeat_interval": 300}}))
        async for text in connection:
            said = json.loads(text)
            if said["op"] != op:
                continue
            came.append(said)
            for seq in range(6 * len(came) - 5, 6 * len(came) + 1) if len(came) <= 5 else ():
                await connection.send(json.dumps({"seq": seq}))
            await connection.send(json.dumps({"op": 11}))

    settings: dict[str, object] = {
        "FEED_HELLO": '{"op":2}', "FEED_HEARTBEAT": heartbeat, "FEED_HEARTBEAT_SECONDS": seconds,
        "FEED_IGNORE": '"op": 1[01]',
    }  # fmt: skip
    found = await judged(Case((plays,), 30, settings), tmp_path)

    assert ("PASS", 30, 0) == (found.summary.verdict, found.summary.totals.received, found.summary.totals.missing)
    assert [] == found.warnings
    assert len(came) >= 5


async def graphql(connection: ServerConnection) -> None:
    """Serve graphql-transport-ws: a subscribe before the acknowledgement is answered with close 4401."""
    assert "connection_init" == json.loads(await connection.recv())["type"]
    with_haste = asyncio.create_task(connection.recv())
    await asyncio.wait([with_haste], timeout=0.1)
    if with_haste.done():
        await connection.close(4401, "Unauthorized")
        return
    await connection.send('{"type":"connection_ack","payload":{"session":"s-1"}}')
    said = json.loads(await with_haste)
    assert ("subscribe", "s-1") == (said["type"], said["id"])
    for seq in range(1, 21):
        await connection.send(json.dumps({"type": "next", "payload": {"data": {"ticks": {"seq": seq}}}}))
    await connection.wait_closed()


SUBSCRIBE = '{"id":"{session}","type":"subscribe","payload":{"query":"subscription { ticks { seq } }"}}'
GRAPHQL: dict[str, object] = {
    "FEED_SUBPROTOCOL": "graphql-transport-ws", "FEED_SEQ": "$.payload.data.ticks.seq",
    "FEED_HELLO": '{"type":"connection_init"}\nwait:"connection_ack".*"session":"(?P<session>[^"]+)"\n' + SUBSCRIBE,
    "FEED_IGNORE": '"connection_ack"',
}  # fmt: skip


async def test_a_greeting_waits_for_its_acknowledgement(tmp_path: Path) -> None:
    """A subscription that must follow an acknowledgement is sent after it, with the value that it had."""
    found = await judged(Case((graphql,), 20, GRAPHQL), tmp_path, subprotocols=["graphql-transport-ws"])

    assert ("PASS", 20, []) == (found.summary.verdict, found.summary.totals.received, found.warnings)


async def test_a_greeting_that_is_never_answered_is_named(tmp_path: Path) -> None:
    """If the awaited message never comes, log, summary and headline name its pattern and the time limit."""
    hello: dict[str, object] = {"FEED_HELLO": "hi\nwait 0.4s:connection_ack"}
    why = "the greeting is unanswered: nothing matched /connection_ack/ within 0.4 s"
    found = await judged(Case((sends(),), 0, hello, final_line=why), tmp_path)

    assert why in found.warnings
    assert "INVALID" == found.summary.verdict
    assert (
        f"nothing was measured: no client logged a message; client-1: last close 1002 {why}" in found.summary.headline
    )


async def test_headers_cookie_origin_and_tokens_are_sent(tmp_path: Path) -> None:
    """A gateway that wants an API key, a cookie, an origin and a token as a subprotocol serves the client."""
    token = "bearer." + base64.urlsafe_b64encode(b"subprotocol secret").decode().rstrip("=")
    (tmp_path / "headers").write_text("X-API-Key: header-secret\nCookie: session=cookie-secret; lang=en\n")
    wanted = {"X-API-Key": "header-secret", "Cookie": "session=cookie-secret; lang=en", "Origin": "https://app.example"}

    def check(connection: ServerConnection, request: Request) -> Response | None:
        offered = [name.strip() for name in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
        lacking = [name for name, value in wanted.items() if request.headers.get(name) != value]
        if token not in offered or lacking:
            return connection.respond(HTTPStatus.FORBIDDEN, f"{lacking} are missing\n")
        return None

    settings: dict[str, object] = {
        "FEED_HEADERS_FILE": tmp_path / "headers", "FEED_ORIGIN": "https://app.example",
        "FEED_SUBPROTOCOL": f"{token}, real",
    }  # fmt: skip
    case = Case((sends(*numbered(1, 2, 3)),), 3, settings)
    found = await judged(case, tmp_path / "v", process_request=check, subprotocols=["real"])

    assert ("PASS", 3, []) == (found.summary.verdict, found.summary.totals.received, found.warnings)


async def test_a_refusal_that_repeats_secrets_is_shown_without_them(tmp_path: Path) -> None:
    """Status and first line of a refusal are shown in log and headline, without the secrets that it repeats."""
    (tmp_path / "headers").write_text("X-API-Key: header-secret\n")

    def refuse(connection: ServerConnection, request: Request) -> Response | None:
        return connection.respond(HTTPStatus.FORBIDDEN, f"no such key: {request.headers['X-API-Key']}\nsecond\n")

    case = Case((sends(),), 0, {"FEED_HEADERS_FILE": tmp_path / "headers"}, final_line="HTTP 403: no such key")
    found = await judged(case, tmp_path / "v", process_request=refuse)

    assert "the server answered HTTP 403: no such key: ***" in found.summary.headline
    assert not [line for line in found.log_lines if "secret" in json.dumps(line)]
    assert not [path for path in (tmp_path / "v").rglob("*.jsonl") if b"secret" in path.read_bytes()]


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"FEED_HEADERS_FILE": "{file}"}, "line 2: expected Name: value"),
        ({"FEED_SUBPROTOCOL": "real, not a secret"}, "FEED_SUBPROTOCOL: expected names separated by commas"),
        ({"FEED_HELLO_FILE": "{file}.none"}, "FEED_HELLO_FILE="),
        ({"FEED_HELLO": "secret\nwait:("}, "FEED_HELLO: line 2: expected a regular expression"),
    ],
)
def test_a_bad_value_ends_the_start(tmp_path: Path, settings: dict[str, str], why: str) -> None:
    """A value that cannot be sent is exit 104 with one line, without the value, a traceback or a new run."""
    (tmp_path / "headers").write_text("X-Good: 1\nsecret\n")
    given = {name: value.replace("{file}", str(tmp_path / "headers")) for name, value in settings.items()}
    with Process("services.client", CLIENT_ID="client-1", FEED_SEQ="$.seq", VOLUMES=tmp_path / "v", **given) as client:
        code = client.wait()

    assert 104 == code
    assert 1 == len([line for line in client.lines if why in line]), client.text
    assert "secret" not in client.text
    assert "Traceback" not in client.text
    assert not list((tmp_path / "v" / "logs").glob("2*"))


async def test_a_server_that_refuses_in_a_message_is_not_hammered(tmp_path: Path) -> None:
    """A server that accepts, sends an error and closes with 4401 is asked once in ten seconds, not again and again."""
    came: list[float] = []

    async def refuses(connection: ServerConnection) -> None:
        came.append(time.monotonic())
        await connection.send(json.dumps({"type": "error", "message": "token expired"}))
        await connection.close(4401, "token expired")

    case = Case((refuses,), 1, final_line="received 4401")
    async with external_server(refuses) as url:
        with Process(
            "services.client", CLIENT_ID="client-1", SERVER_URL=url, VOLUMES=tmp_path, FEED_SECONDS=4, FEED_SEQ="$.seq"
        ) as client:
            line = await asyncio.to_thread(client.wait_for_line, case.final_line)
            await asyncio.to_thread(client.wait_for_line, "run is over")

    assert json.loads(line)["retry_s"] >= 10
    assert 1 == len(came)


@pytest.mark.parametrize("is_date", [False, True])
async def test_a_server_that_asks_for_time_is_given_it(tmp_path: Path, is_date: bool) -> None:
    """A refusal with Retry-After, in seconds or as a date, is the only attempt until that time is over."""
    came: list[float] = []

    def refuse(connection: ServerConnection, _request: Request) -> Response:
        came.append(time.monotonic())
        response = connection.respond(HTTPStatus.SERVICE_UNAVAILABLE, "later\n")
        response.headers["Retry-After"] = formatdate(time.time() + 21, usegmt=True) if is_date else "20"
        return response

    async with external_server(sends(), process_request=refuse) as url:
        with Process(
            "services.client", CLIENT_ID="client-1", SERVER_URL=url, VOLUMES=tmp_path, FEED_SECONDS=3, FEED_SEQ="$.seq",
            CONNECTIONS=2,
        ) as client:  # fmt: skip
            line = await asyncio.to_thread(client.wait_for_line, "the server answered HTTP 503: later")
            await asyncio.to_thread(client.wait_for_line, "run is over")

    assert json.loads(line)["retry_s"] >= 19
    assert 1 == len(came)


@pytest.mark.parametrize("by_command", [False, True])
async def test_a_fresh_login_is_sent_by_every_connection(tmp_path: Path, by_command: bool) -> None:
    """A login that is valid once is read from a file, or printed by a command, for every connection."""
    login = tmp_path / "login"
    login.write_text('{"op":"auth","nonce":1}\n')
    said: list[Any] = []

    async def plays(connection: ServerConnection) -> None:
        nonce = json.loads(await connection.recv())["nonce"]
        wanted = json.loads(await connection.recv())
        said.append((nonce, wanted))
        if nonce != len(said):
            await connection.close(4401, "expired")
            return
        login.write_text(f'{{"op":"auth","nonce":{nonce + 1}}}\n')
        first = wanted.get("from", 1)
        await sends(*numbered(*range(first, first + 20)), then_goes=nonce == 1)(connection)

    hello, resume = '{"op":"subscribe"}', '{"op":"subscribe","from":{next}}'
    settings: dict[str, object] = {"FEED_HELLO_FILE": login, "FEED_HELLO": hello, "FEED_RESUME": resume}
    if by_command:
        command = f'command 5s:["cat", "{login}"]'
        settings = {"FEED_COMMANDS": "yes", "FEED_HELLO": f"{command}\n{hello}", "FEED_RESUME": f"{command}\n{resume}"}
    found = await judged(Case((plays,), 40, settings), tmp_path / "v")

    assert [(1, {"op": "subscribe"}), (2, {"op": "subscribe", "from": 21})] == said
    assert ("PASS", 40) == (found.summary.verdict, found.summary.totals.expected)


async def test_a_channel_that_was_quiet_is_subscribed_again(tmp_path: Path) -> None:
    """After a cut every channel is subscribed again, with quotes in its name, heard before or not."""
    names = ['{"channel":"A"}', '{"channel":"B"}']
    asked: list[Any] = []

    async def plays(connection: ServerConnection) -> None:
        requests = [json.loads(await connection.recv()) for _ in names]
        asked.append(requests)
        for wanted in requests:
            is_quiet = len(asked) == 1 and wanted["identifier"] == names[1]
            first = wanted.get("after", 0) + 1
            for seq in range(first, first + (0 if is_quiet else 10)):
                await connection.send(json.dumps({"identifier": wanted["identifier"], "message": {"seq": seq}}))
        if len(asked) > 1:
            await connection.wait_closed()

    settings: dict[str, object] = {
        "FEED_SEQ": "$.message.seq", "FEED_KEY": "$.identifier",
        "FEED_HELLO": "\n".join(json.dumps({"command": "subscribe", "identifier": name}) for name in names),
        "FEED_RESUME": '{"command":"subscribe","identifier":"{key}","after":{seq}}',
    }  # fmt: skip
    found = await judged(Case((plays,), 30, settings), tmp_path)

    assert [
        {"command": "subscribe", "identifier": names[0], "after": 10}, {"command": "subscribe", "identifier": names[1]}
    ] == asked[1]  # fmt: skip
    assert ("PASS", 30) == (found.summary.verdict, found.summary.totals.received)
