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
    """A fake server: accepts every request, or raises the given error."""

    def __init__(self, problem: Exception | None = None) -> None:
        self.problem = problem
        self.asked: list[wire.Control] = []

    async def ask(self, request: wire.Control) -> wire.Controlled:
        """Accept a request."""
        self.asked.append(request)
        if self.problem is not None:
            raise self.problem
        return STANDING


async def request(
    server: Server, body: object = None, *, method: str = "POST", body_seconds: float = 2.0, **changed: str | None
) -> tuple[int, dict[str, Any]]:
    """Send a request as the page does, with changed headers; return status and reply. A body of None never arrives."""
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
    await make_app(SnapshotBoard(), Path("nowhere"), more=control.routes(server.ask, body_seconds))(
        scope, receive, send
    )
    return messages[0]["status"], json.loads(b"".join(message.get("body", b"") for message in messages[1:]))


@pytest.mark.parametrize(
    ("body", "control_request"),
    [
        ({"set": {"rate": 500}}, wire.Control(set={"rate": 500}, via="page")),
        ({"set": {"rate": 0.5}}, wire.Control(set={"rate": 0.5}, via="page")),
        ({"do": "pause"}, wire.Control(do="pause", via="page")),
        ({"do": "resume"}, wire.Control(do="resume", via="page")),
        ({"do": "status"}, wire.Control(do="status", via="page")),
        ({"do": "drop", "client": "client-2"}, wire.Control(do="drop", client="client-2", via="page")),
    ],
)
async def test_a_request_is_forwarded(body: object, control_request: wire.Control) -> None:
    """A request of the page is sent to the server, marked as from the page, and the reply is returned."""
    server = Server()

    assert (200, {"ok": True, "status": SAID}) == await request(server, body)
    assert [control_request] == server.asked


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
    """A request whose origin differs from the page's, even in its port, is not forwarded."""
    server = Server()
    status, reply = await request(server, {"do": "pause"}, **headers)

    assert (403, False, "a control request must come from this page") == (status, reply["ok"], reply["error"])
    assert [] == server.asked


@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
)
async def test_a_form_is_refused(kind: str | None) -> None:
    """Content types that a browser lets any page send are refused."""
    server = Server()

    assert (415, {"ok": False, "error": "a control request must be application/json"}) == await request(
        server, {"do": "pause"}, content_type=kind
    )
    assert [] == server.asked


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"\xff", b"[]", b"null", {}, {"do": "stop"}, {"set": {}}, {"set": {"rate": -1}},
        {"set": {"pace": 1}}, {"do": "pause", "set": {"rate": 1}}, {"do": "drop"}, {"do": "drop", "client": "../x"},
        {"do": "pause", "client": "client-1"}, {"do": "pause", "via": "console"}, {"do": "pause", "type": "control"},
        b"[" * 1000, {"set": {"rate": 5e-324}},
    ],
)  # fmt: skip
async def test_a_malformed_request_is_refused(body: object) -> None:
    """A malformed body is answered with an error and not forwarded."""
    server = Server()
    status, reply = await request(server, body)

    assert (400, False) == (status, reply["ok"])
    assert reply["error"]
    assert [] == server.asked


async def test_a_long_body_is_not_read() -> None:
    """A body of more than a kilobyte is refused."""
    server = Server()
    status, reply = await request(server, b" " * (control.MAX_BODY + 1))

    assert (413, "a control request has at most 1024 bytes") == (status, reply["error"])


@pytest.mark.parametrize(
    ("problem", "status"),
    [
        (ControlRefused("no_client", "no client is named client-9"), 409),
        (ControlRefused("unauthorized", "control is for loopback or the holder of the token"), 403),
        (ServerUnreachable("ws://server:8765: connection refused"), 503),
    ],
)
async def test_the_error_of_the_server_is_returned(problem: Exception, status: int) -> None:
    """A refusal is returned in the server's words, with an HTTP status that is no success."""
    assert (status, {"ok": False, "error": str(problem)}) == await request(Server(problem), {"do": "pause"})
    assert (200, {"available": False, "why": str(problem), "status": None}) == await request(
        Server(problem), method="GET"
    )


async def test_a_get_returns_whether_control_is_available() -> None:
    """A GET returns that control is available and the state of the run, by a request that changes nothing."""
    server = Server()

    assert (200, {"available": True, "why": None, "status": SAID}) == await request(server, method="GET")
    assert [wire.Control(do="status", via="page")] == server.asked


async def test_a_body_has_to_arrive_in_time() -> None:
    """A request whose body does not arrive is answered with 408."""
    assert 408 == (await request(Server(), body_seconds=0.01))[0]
