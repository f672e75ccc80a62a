"""Connects to an external server: TLS, proxy, authorization, and a limit on the rate of attempts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from services.client.connection import StampedConnection, as_stamped, connection_class
from services.client.external.connection_failure import ConnectionFailure
from services.client.external.settings import ConnectSettings
from services.runtime.clock import Clock
from services.runtime.errors import BadSettings

# Longer than for the own server: TLS, a proxy and a far host take several round trips.
_OPEN_SECONDS = 10.0
# An external feed may be silent for any time, so only pings show that a connection is dead.
_PING_SECONDS = 10.0
_CLOSE_SECONDS = 3.0
_FRAMES_QUEUED = 64


class ConnectRateLimit:
    """Spaces the attempts of all clients of a process; none is made while the server refuses them."""

    def __init__(self, per_second: float) -> None:
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
            raise BadSettings([f"FEED_CA_FILE={reach.ca_file!r}: {_refusal(problem)}"]) from problem
    return context


def authorization(reach: ConnectSettings) -> dict[str, str]:
    """Return the authorization header as its file holds it now, nothing without a file.

    Raises:
        BadSettings: the file cannot be read, or does not hold the value of a header.
    """
    if not reach.authorization_file:
        return {}
    try:
        value = Path(reach.authorization_file).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as problem:
        raise BadSettings([f"FEED_AUTHORIZATION_FILE={reach.authorization_file!r}: {_refusal(problem)}"]) from problem
    if not value or not value.isprintable():
        raise BadSettings([f"FEED_AUTHORIZATION_FILE={reach.authorization_file!r}: expected one line, like Bearer abc"])
    return {"Authorization": value}


def _refusal(problem: Exception) -> str:
    # Not the file name that Python adds: the message begins with it.
    why = (isinstance(problem, OSError) and problem.strerror) or str(problem)
    return f"{why}; uid {os.geteuid()} must be able to read it" if isinstance(problem, PermissionError) else why


async def connect_to(reach: ConnectSettings, process_clock: Clock, tls: ssl.SSLContext | None) -> StampedConnection:
    """Connect.

    Raises:
        TimeoutError, OSError, websockets.exceptions.WebSocketException: the server cannot be reached now.
        BadSettings: the file with the authorization cannot be used.
    """
    options: dict[str, Any] = {"ssl": tls} if tls is not None else {}
    connection = await connect(
        reach.url,
        create_connection=connection_class(process_clock),
        additional_headers=authorization(reach),
        subprotocols=[Subprotocol(reach.subprotocol)] if reach.subprotocol else None,
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
    return as_stamped(connection)
