"""Connects to an external server: TLS, proxy, headers, and a limit on the rate of attempts."""

from __future__ import annotations

import asyncio
import contextlib
import re
import ssl
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, SecurityError
from websockets.protocol import State
from websockets.typing import Origin, Subprotocol

from services.client.connection import StampedConnection, as_made, connection_class
from services.client.external.connection_failure import ConnectionFailure
from services.client.external.request_headers import request_headers
from services.client.external.setting_files import refusal
from services.client.external.settings import ConnectSettings
from services.client.external.transport.batched_connection import BatchedConnection
from services.runtime.clock import Clock
from services.runtime.errors import BadSettings

# Longer than for the own server: TLS, a proxy and a far host take several round trips.
_OPEN_SECONDS = 10.0
# An external feed may be silent for any time, so only pings show that a connection is dead.
_PING_SECONDS = 10.0
_CLOSE_SECONDS = 3.0
LEAVE_SECONDS = 1.0
"""How long the other side has for the end of a connection that one side has closed."""
_FRAMES_QUEUED = 64
_REDIRECTS = range(300, 400)
_PORTS = {"ws": 80, "wss": 443}
# The names of subprotocols are shorter; some gateways take a token in place of one.
_MIN_TOKEN_LENGTH = 24


class ConnectRateLimit:
    """Spaces the attempts of all clients of a process; none is made while the server refuses them.

    Attributes:
        per_second: attempts that may begin in a second.
    """

    def __init__(self, per_second: float) -> None:
        self.per_second = per_second
        self._pause = 1 / per_second
        self._next = self._next_accepted = self._held_until = 0.0
        self._failure: ConnectionFailure | None = None

    def hold(self, seconds: float, failure: ConnectionFailure) -> None:
        """Allow no attempt for this time: the server would refuse all clients of this process for the same reason."""
        self._held_until, self._failure = max(self._held_until, asyncio.get_running_loop().time() + seconds), failure

    @property
    def hold_reason(self) -> ConnectionFailure | None:
        """Why no attempt is allowed now; None if attempts are allowed."""
        return self._failure if self._held_until > asyncio.get_running_loop().time() else None

    async def wait_for_turn(self, cancelled: asyncio.Event | None = None, *, was_accepted: bool = False) -> None:
        """Wait until the attempt may be made, or until ``cancelled`` is set.

        Args:
            cancelled: set when the attempt is not needed any more.
            was_accepted: whether the server has just accepted this client; then its refusals of others do not count.
        """
        clock = asyncio.get_running_loop().time
        if was_accepted and self._held_until > clock():
            at = max(clock(), self._next_accepted)
            self._next_accepted = at + self._pause
            await pause(at - clock(), cancelled)
            return
        while cancelled is None or not cancelled.is_set():
            at = max(clock(), self._next, self._held_until)
            self._next = at + self._pause
            await pause(at - clock(), cancelled)
            # Another attempt may have been refused meanwhile.
            if self._held_until <= clock():
                return


async def pause(seconds: float, cancelled: asyncio.Event | None = None) -> None:
    """Wait, at most until ``cancelled`` is set."""
    if cancelled is None or seconds <= 0:
        await asyncio.sleep(seconds)
        return
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(cancelled.wait(), seconds)


def tls_context(reach: ConnectSettings) -> ssl.SSLContext | None:
    """Return the TLS context that verifies the server's certificate, None for a feed without TLS.

    Raises:
        BadSettings: the file with certificates cannot be used.
    """
    if not reach.url.startswith("wss:"):
        return None
    context = ssl.create_default_context()
    if reach.ca_file:
        try:
            context.load_verify_locations(cafile=reach.ca_file)
        except (OSError, ssl.SSLError) as problem:
            raise BadSettings([f"FEED_CA_FILE={reach.ca_file!r}: {refusal(problem)}"]) from problem
    return context


class _Connect(connect):
    """Connects, and follows redirects, also those whose address begins with ``http``."""

    def __init__(self, uri: str, **options: Any) -> None:
        super().__init__(uri, **options)
        self._first_uri = uri

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Return the address to follow, or the error to raise."""
        if isinstance(exc, InvalidStatus):
            headers = exc.response.headers
            # Many balancers know the HTTP address of a server only, and both are one origin.
            for target in headers.get_all("Location")[:1]:
                del headers["Location"]
                headers["Location"] = re.sub(r"^http(?=s?:)", "ws", target, flags=re.IGNORECASE)
            if exc.response.status_code not in _REDIRECTS and self.uri != self._first_uri:
                exc.add_note(f"after a redirect to {self.uri}")
        return super().process_redirect(exc)


class _SameOriginConnect(_Connect):
    """Connects, and follows redirects within the origin only: headers and subprotocols may be secrets."""

    # Of the headers, the library removes only Authorization and Cookie at a redirect to another origin.
    def process_redirect(self, exc: Exception) -> Exception | str:
        """Return the address to follow, or the error to raise."""
        here = self.uri
        target = super().process_redirect(exc)
        if isinstance(target, str) and _origin(target) != _origin(here):
            return SecurityError(
                f"a redirect to {target} is not followed: FEED_HEADERS_FILE and FEED_SUBPROTOCOL are for another origin"
            )
        return target


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


async def connect_to(reach: ConnectSettings, process_clock: Clock, tls: ssl.SSLContext | None) -> BatchedConnection:
    """Connect.

    Raises:
        TimeoutError, OSError, websockets.exceptions.WebSocketException: the server cannot be reached now.
        BadSettings: a file with headers cannot be used.
    """
    options: dict[str, Any] = {"ssl": tls} if tls is not None else {}
    has_secrets = bool(reach.headers_file) or any(len(name) >= _MIN_TOKEN_LENGTH for name in reach.subprotocols)
    connection = await (_SameOriginConnect if has_secrets else _Connect)(
        reach.url,
        create_connection=connection_class(BatchedConnection, process_clock),
        origin=Origin(reach.origin) if reach.origin else None,
        additional_headers=request_headers(reach),
        subprotocols=[Subprotocol(name) for name in reach.subprotocols] or None,
        proxy=reach.proxy or None,
        open_timeout=_OPEN_SECONDS,
        ping_interval=_PING_SECONDS,
        ping_timeout=_PING_SECONDS,
        close_timeout=_CLOSE_SECONDS,
        # A longer message ends the connection with 1009 instead of filling the memory.
        max_size=reach.max_bytes,
        max_queue=_FRAMES_QUEUED,
        **options,
    )
    return as_made(BatchedConnection, connection)


class ClosingWatch:
    """Ends a connection that one side has closed, and whose TCP connection the server leaves open."""

    def __init__(self) -> None:
        self._since: float | None = None

    def look(self, connection: StampedConnection | None, now: float) -> None:
        """Look at a connection, None for none, at a time in seconds; it has `LEAVE_SECONDS` from when it closes."""
        if connection is None or connection.state is State.OPEN:
            self._since = None
        elif self._since is None:
            self._since = now
        elif now - self._since >= LEAVE_SECONDS:
            connection.transport.abort()


async def leave(connection: StampedConnection) -> None:
    """Close a connection whose run is over: a server that is not informed would report a cut."""
    leaving = asyncio.create_task(connection.end())
    with contextlib.suppress(ConnectionClosed, TimeoutError):
        async with asyncio.timeout(LEAVE_SECONDS):
            # The answer comes after what was sent before it.
            while True:
                await connection.recv()
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
