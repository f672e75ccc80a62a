"""``/control``: what an operator wishes on the page is handed on to the server. Only this page may ask.

A request that changes something has to be JSON and has to come from this page's own origin. A page of another site
cannot send such a one: for JSON its browser asks first, which nobody answers, and it says its own origin.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from typing import Literal, TypeAlias

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from services.collector.settings import CollectorSettings
from services.contract import wire
from services.contract.scalars import Name, Rate
from services.runtime.control import token
from services.runtime.control.client import ControlClient
from services.runtime.control.commands import NOT_CONTROLLABLE, ControlRefused, ServerUnreachable

Ask: TypeAlias = Callable[[wire.Control], Awaitable[wire.Controlled]]
"""Says a wish to the server. Raises Declined and Unreachable."""

MAX_BODY = 1024
BODY_SECONDS = 2.0
VIA = "page"


class PageRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What the page sends: as on the wire, but for the type."""

    set: dict[Literal["rate"], Rate] | None = None
    do: Literal["pause", "resume", "status", "drop"] | None = None
    client: Name | None = None


class _Refused(Exception):
    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


def routes(ask: Ask) -> list[Route]:
    """Return the routes of ``/control``."""

    async def get(_request: Request) -> Response:
        try:
            said = await ask(wire.Control(do="status", via=VIA))
        except (ControlRefused, ServerUnreachable) as problem:
            return _json(200, available=False, why=str(problem), status=None)
        return _json(200, available=True, why=None, status=_standing(said))

    async def post(request: Request) -> Response:
        try:
            _refuse_strangers(request.headers)
            wish = _wish(await _body(request))
            return _json(200, ok=True, status=_standing(await ask(wish)))
        except _Refused as problem:
            return _json(problem.status, ok=False, error=str(problem))
        except ControlRefused as problem:
            return _json(403 if problem.code == "unauthorized" else 409, ok=False, error=str(problem))
        except ServerUnreachable as problem:
            return _json(503, ok=False, error=str(problem))

    return [Route("/control", get), Route("/control", post, methods=["POST"])]


def _refuse_strangers(headers: Mapping[str, str]) -> None:
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise _Refused(415, "a wish is application/json")
    # The host has been checked: it is one of this page's own names.
    host = headers.get("host", "")
    if headers.get("origin") not in (f"http://{host}", f"https://{host}"):
        raise _Refused(403, "a wish has to come from this page")


async def _body(request: Request) -> bytes:
    body = b""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for piece in request.stream():
                body += piece
                if len(body) > MAX_BODY:
                    raise _Refused(413, f"a wish has at most {MAX_BODY} bytes")
    except TimeoutError:
        raise _Refused(408, f"the wish did not come within {BODY_SECONDS:g} s") from None
    return body


def _wish(body: bytes) -> wire.Control:
    try:
        said = msgspec.json.decode(body, type=PageRequest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise _Refused(400, f"no wish: {problem}") from problem
    if (said.set is None) == (said.do is None) or said.set == {}:
        raise _Refused(400, "a wish either sets a rate or does one thing")
    if (said.do == "drop") != (said.client is not None):
        raise _Refused(400, "drop, and nothing else, names a client")
    return wire.Control(set=said.set, do=said.do, client=said.client, via=VIA)


def _standing(said: wire.Controlled) -> dict[str, object]:
    return {"run": said.run, "state": said.state, "rate": said.rate, "head": said.head, "clients": said.clients}


def _json(code: int, **content: object) -> Response:
    return Response(msgspec.json.encode(content) + b"\n", status_code=code, media_type="application/json")


ANSWER_SECONDS = 2.0


def line_to(url: str, token_shown: str, seconds: float) -> ControlClient:
    """Return a line to a server; see `ControlClient`."""
    return ControlClient(url, token_shown, seconds)


class ControlProxy:
    """Asks the server, one wish at a time, each on a connection of its own: who holds none holds up nobody."""

    def __init__(self, settings: CollectorSettings) -> None:
        self._url, self._token = settings.server_url, settings.control_token
        self._file = settings.volumes / "ledger" / token.NAME
        self._turn = asyncio.Lock()

    async def ask(self, wish: wire.Control) -> wire.Controlled:
        """Say a wish; return how the run stands then.

        Raises:
            Declined: the server does not grant it.
            Unreachable: the server cannot be asked, or is not ours: to such a one nothing is said, and no token shown.
        """
        if self._url is None:
            raise ServerUnreachable(NOT_CONTROLLABLE)
        async with self._turn, ControlClient(self._url, self._token_now(), ANSWER_SECONDS) as line:
            return await line.request(wish)

    def _token_now(self) -> str:
        # Read each time: a server that has started again has drawn another.
        if not self._token:
            with suppress(OSError, ValueError):
                return token.read(self._file)
        return self._token
