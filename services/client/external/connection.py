"""Connects to a foreign server: verified, by a proxy where one is asked for, and not too often."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from pathlib import Path
from typing import Any

from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from services.client.connection import StampedConnection
from services.client.external.connection_failure import ConnectionFailure
from services.client.external.settings import ConnectSettings
from services.runtime.clock import Clock
from services.runtime.errors import BadSettings

_OPEN_SECONDS = 10.0
_PING_SECONDS = 10.0
"""A foreign feed may be silent for as long as it likes; that its connection is dead shows by this."""
_FRAMES_QUEUED = 64


class ConnectRateLimit:
    """Lets the attempts of a process through one after the other, so many a second; none while the server refuses."""

    def __init__(self, per_second: float) -> None:
        self._pause = 1 / per_second
        self._next = self._next_wanted = self._held = 0.0
        self._refused: ConnectionFailure | None = None

    def hold(self, seconds: float, refused: ConnectionFailure) -> None:
        """Let no attempt through for so long: the server refuses all clients of this process alike."""
        self._held, self._refused = max(self._held, asyncio.get_running_loop().time() + seconds), refused

    @property
    def held_for(self) -> ConnectionFailure | None:
        """Why no attempt is let through now; None when attempts are."""
        return self._refused if self._held > asyncio.get_running_loop().time() else None

    async def pass_through(self, given_up: asyncio.Event | None = None, *, is_wanted: bool = False) -> None:
        """Wait until it is this attempt's turn, or until it is given up.

        Args:
            given_up: set when the attempt is not needed any more.
            is_wanted: the server has just had this client, so that it refuses others does not hold this one up.
        """
        clock = asyncio.get_running_loop().time
        if is_wanted and self._held > clock():
            at = max(clock(), self._next_wanted)
            self._next_wanted = at + self._pause
            await pause(at - clock(), given_up)
            return
        while given_up is None or not given_up.is_set():
            at = max(clock(), self._next, self._held)
            self._next = at + self._pause
            await pause(at - clock(), given_up)
            # Another attempt may have been refused meanwhile.
            if self._held <= clock():
                return


async def pause(seconds: float, given_up: asyncio.Event | None = None) -> None:
    """Wait, at most until what is waited for is given up."""
    if given_up is None or seconds <= 0:
        await asyncio.sleep(seconds)
        return
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(given_up.wait(), seconds)


def tls_context(reach: ConnectSettings) -> ssl.SSLContext | None:
    """Return how the server's certificate is verified, None for a feed without TLS.

    Raises:
        BadSettings: the file of certificates cannot be used.
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
    """Return the header that lets us in, as its file says now; nothing without one.

    Raises:
        BadSettings: the file cannot be read, or is no header's value.
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
    # The name that Python adds is the one that stands before it already.
    why = (isinstance(problem, OSError) and problem.strerror) or str(problem)
    return f"{why}; uid {os.geteuid()} must be able to read it" if isinstance(problem, PermissionError) else why


async def connect_to(reach: ConnectSettings, process_clock: Clock, tls: ssl.SSLContext | None) -> StampedConnection:
    """Connect.

    Raises:
        TimeoutError, OSError, websockets.exceptions.WebSocketException: it cannot be reached now.
        BadSettings: the file with the authorization is gone.
    """

    class Connection(StampedConnection):
        clock = process_clock

    options: dict[str, Any] = {"ssl": tls} if tls is not None else {}
    connection = await connect(
        reach.url,
        create_connection=Connection,
        additional_headers=authorization(reach),
        subprotocols=[Subprotocol(reach.subprotocol)] if reach.subprotocol else None,
        proxy=reach.proxy or None,
        open_timeout=_OPEN_SECONDS,
        ping_interval=_PING_SECONDS,
        ping_timeout=_PING_SECONDS,
        close_timeout=3,
        max_size=reach.max_bytes,
        max_queue=_FRAMES_QUEUED,
        **options,
    )
    if not isinstance(connection, StampedConnection):
        raise TypeError(f"connections are made by connect_to(), not {type(connection)}")
    return connection
