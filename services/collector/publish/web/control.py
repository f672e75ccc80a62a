"""The routes of ``/control``, by which the page sends an operator's requests to the server.

Only this page may change anything: a POST must be JSON and must name this page's own origin. For JSON a browser first
asks by a preflight request, which is not answered, and it always sends the true origin; so a page of another site
cannot send such a request.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal, TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.collector.publish.web.access_guard import grant_of
from services.contract import wire
from services.contract.scalars import Name, Rate
from services.runtime.control.commands import ControlRefused, ServerUnreachable

Ask: TypeAlias = Callable[[wire.Control], Awaitable[wire.Controlled]]
"""Sends a control request to the server. Raises `ControlRefused` and `ServerUnreachable`."""

MAX_BODY = 1024
BODY_SECONDS = 2.0
VIA = "page"
NOT_PERMITTED = "this token does not permit to control the run"


class PageRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The body of a POST: the fields of `wire.Control`, without those that the page must not choose."""

    set: dict[Literal["rate"], Rate] | None = None
    do: Literal["pause", "resume", "status", "drop"] | None = None
    client: Name | None = None


class _BadRequest(Exception):
    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def routes(ask: Ask, body_seconds: float = BODY_SECONDS) -> list[Route]:
    """Return the routes of ``/control``.

    Args:
        ask: sends a request to the server.
        body_seconds: the time within which the body of a POST has to arrive.
    """

    async def get(request: Request) -> Response:
        if not grant_of(request).permits("control"):
            return _json(200, available=False, why=NOT_PERMITTED, status=None)
        try:
            reply = await ask(wire.Control(do="status", via=VIA))
        except (ControlRefused, ServerUnreachable) as error:
            # Not an error of this request: the page shows the reason and disables its controls.
            return _json(200, available=False, why=str(error), status=None)
        return _json(200, available=True, why=None, status=_status(reply))

    async def post(request: Request) -> Response:
        try:
            _check_grant(request)
            _check_origin(request.headers)
            control = _control(await _body(request, body_seconds))
            return _json(200, ok=True, status=_status(await ask(control)))
        except _BadRequest as error:
            return _json(error.status, ok=False, error=str(error))
        except ControlRefused as error:
            return _json(403 if error.code == "unauthorized" else 409, ok=False, error=str(error))
        except ServerUnreachable as error:
            return _json(503, ok=False, error=str(error))

    return [Route("/control", get), Route("/control", post, methods=["POST"])]


def _check_grant(request: Request) -> None:
    if not grant_of(request).permits("control"):
        raise _BadRequest(403, NOT_PERMITTED)


def _check_origin(headers: Mapping[str, str]) -> None:
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise _BadRequest(415, "a control request must be application/json")
    # `HostGuard` has checked that the host is one of this page's own names.
    host = headers.get("host", "")
    if headers.get("origin") not in (f"http://{host}", f"https://{host}"):
        raise _BadRequest(403, "a control request must come from this page")


async def _body(request: Request, seconds: float) -> bytes:
    body = b""
    try:
        async with asyncio.timeout(seconds):
            async for piece in request.stream():
                body += piece
                if len(body) > MAX_BODY:
                    raise _BadRequest(413, f"a control request has at most {MAX_BODY} bytes")
    except TimeoutError:
        raise _BadRequest(408, f"the control request did not arrive within {seconds:g} s") from None
    return body


def _control(body: bytes) -> wire.Control:
    try:
        request = msgspec.json.decode(body, type=PageRequest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _BadRequest(400, f"not a control request: {error}") from error
    if (request.set is None) == (request.do is None) or request.set == {}:
        raise _BadRequest(400, "a control request either sets a rate or does one thing")
    if (request.do == "drop") != (request.client is not None):
        raise _BadRequest(400, "drop, and nothing else, names a client")
    try:
        return wire.Control(set=request.set, do=request.do, client=request.client, via=VIA)
    except ValueError as error:  # a rate between 0 and the least one, which no type excludes
        raise _BadRequest(400, f"not a control request: {error}") from error


def _status(reply: wire.Controlled) -> dict[str, object]:
    return {"run": reply.run, "state": reply.state, "rate": reply.rate, "head": reply.head, "clients": reply.clients}


def _json(code: int, **content: object) -> Response:
    return Response(msgspec.json.encode(content) + b"\n", status_code=code, media_type="application/json")
