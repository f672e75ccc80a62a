"""Answers requests for the page's own host names alone, and adds security headers to every response.

The host check protects against DNS rebinding: another site's name may be resolved to this machine, so that its scripts
could read the page as if it were of their own origin.
"""

from __future__ import annotations

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]", "collector"})
"""Host names that are always allowed: this machine, and the service within the compose network."""

EMPTY_STYLE = "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
"""The digest of an empty text: Plotly creates an empty style element and inserts its rules one by one."""
MAP_STYLE = "'sha256-V2sIX92Uh6ZaGSFTKMHghsB85b9toJtmazgG09AI2uk='"
"""The digest of the style that Plotly inserts for maps. A browser's error names the new one if a version changes it."""

HEADERS = {
    "content-security-policy": (
        # Plotly positions its elements by style attributes; style elements and scripts are only allowed from here.
        "default-src 'none'; script-src 'self'; "
        f"style-src-elem 'self' {EMPTY_STYLE} {MAP_STYLE}; style-src-attr 'unsafe-inline'; "
        "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    # No other site can embed a response, nor keep a reference to a window of this page.
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}


class HostGuard:
    """ASGI middleware that checks the Host header and adds security headers, unless a response has its own.

    Args:
        app: the application behind it.
        allowed: host names without ports.
    """

    def __init__(self, app: ASGIApp, allowed: frozenset[str]) -> None:
        self._app, self._allowed = app, allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name for name, _ in message["headers"]}
                added = [
                    (name.encode(), value.encode()) for name, value in HEADERS.items() if name.encode() not in present
                ]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        host = dict(scope["headers"]).get(b"host", b"").decode("latin-1").lower()
        if _without_port(host) in self._allowed:
            await self._app(scope, receive, send_guarded)
        else:
            # 421 Misdirected Request: this server is not responsible for that name.
            port = host[len(_without_port(host)) + 1 :] or "8766"
            elsewhere = f"from another machine: ssh -L {port}:127.0.0.1:{port} HOST, then open http://127.0.0.1:{port}/"
            why = f"this page answers to localhost, and to the names in PAGE_NAMES; {elsewhere}\n"
            refusal = PlainTextResponse(why, status_code=421)
            await refusal(scope, receive, send_guarded)


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdigit() else host
