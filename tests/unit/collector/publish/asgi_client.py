"""Asks an ASGI application without a network."""

from __future__ import annotations

from typing import Any, NamedTuple

from starlette.types import ASGIApp, Message


class Answered(NamedTuple):
    """The response to a request."""

    status: int
    headers: dict[str, str]
    body: bytes


async def ask(app: ASGIApp, path: str, host: str = "localhost:8766", **headers: str) -> Answered:
    """Return the answer to a GET of a path, which may have a query."""
    messages: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        messages.append(message)

    path, _, query = path.partition("?")
    sent_headers = {"host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
    scope: dict[str, Any] = {
        "type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in sent_headers.items()], "http_version": "1.1",
        "scheme": "http", "root_path": "", "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 1),
    }  # fmt: skip
    await app(scope, receive, send)
    found = {name.decode(): value.decode() for name, value in messages[0]["headers"]}
    return Answered(messages[0]["status"], found, b"".join(message.get("body", b"") for message in messages[1:]))
