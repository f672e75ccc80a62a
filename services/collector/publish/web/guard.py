"""Stands before the page: answers to known names only, and puts the security headers on everything."""

from __future__ import annotations

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]", "collector"})
"""Names under which the page may be asked for: a foreign name that leads here is another site's trick."""

EMPTY_STYLE = "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
"""The digest of nothing: the charts' script makes an empty style element and adds its rules one by one."""
MAP_STYLE = "'sha256-V2sIX92Uh6ZaGSFTKMHghsB85b9toJtmazgG09AI2uk='"
"""The digest of the style that it brings along for maps; a browser names another one when a new version has one."""

HEADERS = {
    "content-security-policy": (
        # The charts' script positions what it draws by style attributes; elements and scripts come from here alone.
        "default-src 'none'; script-src 'self'; "
        f"style-src-elem 'self' {EMPTY_STYLE} {MAP_STYLE}; style-src-attr 'unsafe-inline'; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}


class Guard:
    """An application that lets through what asks for one of its names. A header that an answer has is left alone."""

    def __init__(self, app: ASGIApp, allowed: frozenset[str]) -> None:
        self._app, self._allowed = app, allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name for name, _ in message["headers"]}
                extra = [
                    (name.encode(), value.encode()) for name, value in HEADERS.items() if name.encode() not in given
                ]
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        host = dict(scope["headers"]).get(b"host", b"").decode("latin-1").lower()
        if _without_port(host) in self._allowed:
            await self._app(scope, receive, guarded)
        else:
            refusal = PlainTextResponse("this page answers to localhost only\n", status_code=421)
            await refusal(scope, receive, guarded)


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host
