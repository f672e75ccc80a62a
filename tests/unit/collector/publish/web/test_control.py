"""Tests of services/collector/publish/web/control.py."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Message

from services.collector.publish.web import control
from services.collector.publish.web.events import SnapshotBoard
from services.collector.publish.web.server import make_app
from services.contract import wire
from services.runtime.control.commands import ControlRefused, ServerUnreachable

STANDING = wire.Controlled(run="20261122T073000Z", state="running", rate=500, head=7, clients=["client-1"])
SAID = {"run": "20261122T073000Z", "state": "running", "rate": 500, "head": 7, "clients": ["client-1"]}
HOST = "localhost:8766"
OWN = {"host": HOST, "origin": f"http://{HOST}", "content-type": "application/json"}


class Server:
    """Stands for the server: grants every wish, or raises what it was told to."""

    def __init__(self, problem: Exception | None = None) -> None:
        self.problem = problem
        self.asked: list[wire.Control] = []

    async def ask(self, wish: wire.Control) -> wire.Controlled:
        """Grant a wish."""
        self.asked.append(wish)
        if self.problem is not None:
            raise self.problem
        return STANDING


async def request(
    server: Server, body: object = None, *, method: str = "POST", **changed: str | None
) -> tuple[int, dict[str, Any]]:
    """Send a request as the page does, with some headers changed; return status and answer. No body never comes."""
    headers = {**OWN, **{name.replace("_", "-"): value for name, value in changed.items()}}
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    pieces: list[Message] = [
        {"type": "http.request", "body": data[:500], "more_body": True},
        {"type": "http.request", "body": data[500:]},
    ]
    messages: list[Message] = []

    async def receive() -> Message:
        await asyncio.sleep(0 if body is not None else 60)
        return pieces.pop(0)

    async def send(message: Message) -> None:
        messages.append(message)

    scope: dict[str, Any] = {
        "type": "http", "method": method, "path": "/control", "raw_path": b"/control", "query_string": b"",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items() if value is not None],
        "http_version": "1.1", "scheme": "http", "root_path": "",
    }  # fmt: skip
    await make_app(SnapshotBoard(), Path("nowhere"), more=control.routes(server.ask))(scope, receive, send)
    return messages[0]["status"], json.loads(b"".join(message.get("body", b"") for message in messages[1:]))


@pytest.mark.parametrize(
    ("body", "wish"),
    [
        ({"set": {"rate": 500}}, wire.Control(set={"rate": 500}, via="page")),
        ({"set": {"rate": 0.5}}, wire.Control(set={"rate": 0.5}, via="page")),
        ({"do": "pause"}, wire.Control(do="pause", via="page")),
        ({"do": "resume"}, wire.Control(do="resume", via="page")),
        ({"do": "status"}, wire.Control(do="status", via="page")),
        ({"do": "drop", "client": "client-2"}, wire.Control(do="drop", client="client-2", via="page")),
    ],
)
async def test_a_wish_is_handed_on(body: object, wish: wire.Control) -> None:
    """What the page sends is said to the server as from the page, and its answer given back."""
    server = Server()

    assert (200, {"ok": True, "status": SAID}) == await request(server, body)
    assert [wish] == server.asked


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": None},
        {"origin": "null"},
        {"origin": "https://evil.example"},
        {"origin": "http://localhost:3000"},
        {"origin": "http://127.0.0.1:8766"},
        {"origin": f"http://{HOST}.evil.example"},
    ],
)
async def test_another_site_is_refused(headers: dict[str, Any]) -> None:
    """A request that does not come from this very page, port and all, is heard by nobody."""
    server = Server()
    status, said = await request(server, {"do": "pause"}, **headers)

    assert (403, False, "a wish has to come from this page") == (status, said["ok"], said["error"])
    assert [] == server.asked


@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
async def test_a_form_is_refused(kind: str | None) -> None:
    """What a browser lets every page send, a form or plain text, is no wish."""
    server = Server()

    assert (415, {"ok": False, "error": "a wish is application/json"}) == await request(
        server, {"do": "pause"}, content_type=kind
    )
    assert [] == server.asked


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"\xff", b"[]", b"null", {}, {"do": "stop"}, {"set": {}}, {"set": {"rate": -1}},
        {"set": {"pace": 1}}, {"do": "pause", "set": {"rate": 1}}, {"do": "drop"}, {"do": "drop", "client": "../x"},
        {"do": "pause", "client": "client-1"}, {"do": "pause", "via": "console"}, {"do": "pause", "type": "control"},
        b"[" * 1000,
    ],
)  # fmt: skip
async def test_what_is_no_wish_is_refused(body: object) -> None:
    """A body that says nothing, too much or something else is answered with why, and heard by nobody."""
    server = Server()
    status, said = await request(server, body)

    assert (400, False) == (status, said["ok"])
    assert said["error"]
    assert [] == server.asked


async def test_a_long_body_is_not_read() -> None:
    """No wish has more than a kilobyte."""
    server = Server()
    status, said = await request(server, b" " * (control.MAX_BODY + 1))

    assert (413, "a wish has at most 1024 bytes") == (status, said["error"])


@pytest.mark.parametrize(
    ("problem", "status"),
    [
        (ControlRefused("no_client", "nobody is client-9"), 409),
        (ControlRefused("unauthorized", "control is for loopback or the holder of the token"), 403),
        (ServerUnreachable("ws://server:8765: nobody listens there"), 503),
    ],
)
async def test_what_the_server_says_is_given_back(problem: Exception, status: int) -> None:
    """Why a wish was not granted is told in the server's words, with a status that is no success."""
    assert (status, {"ok": False, "error": str(problem)}) == await request(Server(problem), {"do": "pause"})
    assert (200, {"available": False, "why": str(problem), "status": None}) == await request(
        Server(problem), method="GET"
    )


async def test_whether_there_is_control_is_told() -> None:
    """Who asks is told that wishes are granted, and how the run stands; nothing is entered for that."""
    server = Server()

    assert (200, {"available": True, "why": None, "status": SAID}) == await request(server, method="GET")
    assert [wire.Control(do="status", via="page")] == server.asked


async def test_a_body_that_does_not_come_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who opens a request and says nothing is let go."""
    monkeypatch.setattr(control, "BODY_SECONDS", 0.01)

    assert 408 == (await request(Server()))[0]
