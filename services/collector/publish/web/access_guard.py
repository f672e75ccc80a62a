"""Answers only the requests that the page's access rules permit: by peer, by origin, and by token or login."""

from __future__ import annotations

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from services.runtime.access.access_control import AccessControl
from services.runtime.access.tokens import EVERYTHING, Grant, presented

GRANT = "streamgauge.grant"
"""Key of a request's scope under which its `Grant` is."""
_OPEN_PATH, _METRICS_PATH = "/healthz", "/metrics"
_LOGIN = 'Basic realm="Streamgauge", charset="UTF-8", Bearer realm="Streamgauge"'


class AccessGuard:
    """ASGI middleware that refuses requests from elsewhere, from other sites, and without a token if one is needed.

    Args:
        app: the application behind it.
        access: the page's rules.
    """

    def __init__(self, app: ASGIApp, access: AccessControl) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        refusal = self._refusal(scope)
        await (refusal or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers, path = Headers(scope=scope), scope["path"]
        peer = (scope.get("client") or ("",))[0]
        if (why := self._access.refusal(peer, headers, allow_private=True)) is not None:
            return _text(HTTPStatus.FORBIDDEN, why)
        if _is_of_other_site(scope, headers):
            return _text(HTTPStatus.FORBIDDEN, "requests of other sites are not answered")
        if path == _OPEN_PATH or not self._access.needs_token:
            scope[GRANT] = EVERYTHING
            return None
        grant = self._access.grant(presented(headers.getlist("authorization"), allow_login=True), is_operator=False)
        if not grant.roles:
            refusal = _text(HTTPStatus.UNAUTHORIZED, "a token is needed: as a bearer token, or as password of any user")
            refusal.headers["www-authenticate"] = _LOGIN
            return refusal
        if not grant.permits("metrics" if path == _METRICS_PATH else "observe"):
            return _text(HTTPStatus.FORBIDDEN, "this token does not permit this")
        scope[GRANT] = grant
        return None


def grant_of(request: Request) -> Grant:
    """Return what the sender of a request may do."""
    grant: Grant = request.scope.get(GRANT, EVERYTHING)
    return grant


def _is_of_other_site(scope: Scope, headers: Headers) -> bool:
    """Return whether a page of another site has sent the request; a link that a user follows to the page is none."""
    if headers.get("sec-fetch-site") != "cross-site":
        return False
    is_link = headers.get("sec-fetch-mode") == "navigate" and headers.get("sec-fetch-dest") == "document"
    return not (is_link and scope["method"] == "GET" and scope["path"] == "/")


def _text(status: HTTPStatus, why: str) -> PlainTextResponse:
    return PlainTextResponse(f"{why}\n", status_code=status)
