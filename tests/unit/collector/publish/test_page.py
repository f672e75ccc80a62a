"""Tests of services/collector/publish/page.py."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from starlette.types import ASGIApp, Message

from services.collector.publish import page
from services.collector.publish.page import Board, Page, make_app
from services.contract import summary
from services.runtime.errors import BadSettings
from tests.unit.collector.books_factory import good_run, judged

MADE = judged(good_run())


async def ask(app: ASGIApp, path: str, host: str = "localhost:8766") -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of an answer."""
    messages: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        messages.append(message)

    scope: dict[str, Any] = {
        "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"",
        "headers": [(b"host", host.encode())], "http_version": "1.1", "scheme": "http", "root_path": "",
        "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 1),
    }  # fmt: skip
    await app(scope, receive, send)
    headers = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
    return messages[0]["status"], headers, b"".join(message.get("body", b"") for message in messages[1:])


@pytest.fixture
async def board() -> AsyncIterator[Board]:
    """Return a board with a summary on it."""
    made = Board()
    made.show(MADE)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("path", "kind", "holds"),
    [
        ("/", "text/html", b"<title>Streamgauge</title>"),
        ("/page.js", "text/javascript", b"textContent"),
        ("/page.css", "text/css", b"prefers-color-scheme"),
        ("/summary.json", "application/json", b'"verdict": "PASS"'),
        ("/healthz", "application/json", b'"ok": true'),
        ("/metrics", "text/plain", b"streamgauge_received_messages_total 120.0"),
    ],
)
async def test_each_address_answers(board: Board, path: str, kind: str, holds: bytes) -> None:
    """Every part of the page comes from its own origin, guarded by headers."""
    status, headers, body = await ask(make_app(board), path)

    assert 200 == status
    assert headers["content-type"].startswith(kind)
    assert holds in body
    assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")


async def test_the_page_brings_no_markup_from_the_logs() -> None:
    """The script writes text only, and the page loads nothing from elsewhere."""
    app = make_app(Board())
    script = (await ask(app, "/page.js"))[2]
    html = (await ask(app, "/"))[2]

    assert b"innerHTML" not in script
    assert b"://" not in html
    assert b"<style" not in html


async def test_before_the_first_run_there_is_no_summary() -> None:
    """The page answers at once, the summary is not found yet."""
    app = make_app(Board())

    assert 404 == (await ask(app, "/summary.json"))[0]
    assert {"ok": True, "run": None} == json.loads((await ask(app, "/healthz"))[2])


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8766", "[::1]:8766", "[::1]", "COLLECTOR:80"])
async def test_known_names_are_answered(board: Board, host: str) -> None:
    """The machine itself and the compose network may ask, on any port."""
    assert 200 == (await ask(make_app(board), "/healthz", host))[0]


@pytest.mark.parametrize("host", ["", "evil.example", "evil.example:8766", "localhost.evil.example", "127.0.0.1.x"])
async def test_other_names_are_refused(board: Board, host: str) -> None:
    """A foreign name that leads here is another site's trick."""
    assert 421 == (await ask(make_app(board), "/summary.json", host))[0]


async def test_the_chosen_address_is_a_known_name(board: Board) -> None:
    """Who sets PAGE_HOST may ask for it."""
    assert 200 == (await ask(make_app(board, "192.0.2.1"), "/healthz", "192.0.2.1:1"))[0]


async def test_events_follow_the_board(board: Board) -> None:
    """A listener gets what is shown now, each later summary, and is sent away at the end."""
    events = page._events(board)
    first = await anext(events)
    later = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0)
    board.show(judged(good_run(30)))
    second = await later
    board.close()

    assert first.startswith(b"data: {")
    assert first.endswith(b"\n\n")
    assert MADE == summary.decode(first[6:])
    assert 60 == summary.decode(second[6:]).totals.received
    assert [] == [event async for event in events]


async def test_silence_is_broken(monkeypatch: pytest.MonkeyPatch, board: Board) -> None:
    """A listener hears that the page lives even when nothing changes."""
    monkeypatch.setattr(page, "PING_SECONDS", 0.01)
    events = page._events(board)
    await anext(events)

    assert (await anext(events)).startswith(b":")


async def test_the_same_summary_is_no_news(board: Board) -> None:
    """Showing what is shown already wakes nobody."""
    version = board.version
    board.show(MADE)
    board.show(None)

    assert version == board.version


async def test_a_wrong_address_is_told() -> None:
    """An address that this machine does not have is a mistake in the settings."""
    with pytest.raises(BadSettings, match="PAGE_HOST"):
        Page("192.0.2.1", 0, Board())


async def test_a_listener_does_not_hold_up_the_end() -> None:
    """The page is gone within a second, with a browser still connected."""
    board = Board()
    board.show(MADE)
    served = Page("127.0.0.1", 0, board)
    serving = asyncio.create_task(served.serve())
    await asyncio.sleep(0.05)
    port = int(served.address.rsplit(":", 1)[1].rstrip("/"))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await reader.readuntil(b"data: ")
    before = asyncio.get_running_loop().time()
    await served.stop()

    assert asyncio.get_running_loop().time() - before < 1.2
    writer.close()
    await asyncio.wait_for(serving, 2)
