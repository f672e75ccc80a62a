"""Client of the server's control channel.

It does not subscribe to the feed, so the ledger has no session of it, only the requests themselves.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from http import HTTPStatus
from types import TracebackType
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus, WebSocketException
from websockets.protocol import State
from websockets.typing import Subprotocol

from services.contract import wire
from services.contract.errors import PeerError
from services.runtime.access.server_access import bearer
from services.runtime.access.shown_address import without_credentials
from services.runtime.access.tls import ClientTls, handshake_problem
from services.runtime.control.commands import ControlRefused, ServerUnreachable
from services.runtime.errors import BadSettings

_CLOSE_SECONDS = 0.5


class ControlClient:
    """Sends control requests; connects with the first one, and again after the connection was lost.

    ``welcome`` is the latest welcome frame, which describes the current run. ``on_event`` is called with frames that
    are not replies: the welcome of the next run, and the server's bye.

    Args:
        url: the server's address.
        token: the control token; empty for none.
        seconds: how long a reply may take.
        tls: makes the context that verifies the server, for an address with TLS; None trusts the system's certificates.
    """

    def __init__(self, url: str, token: str, seconds: float, tls: ClientTls | None = None) -> None:
        self.welcome: wire.Welcome | None = None
        self.on_event: Callable[[wire.FromServer], None] = lambda _: None
        self._url, self._token, self._seconds = url, token, seconds
        self._tls = (tls or ClientTls()) if url.startswith("wss:") else None
        self._connection: ClientConnection | None = None

    async def request(self, request: wire.Control) -> wire.Controlled:
        """Send a control request; return the state of the run after it was carried out.

        Raises:
            ControlRefused: the server refused it.
            ServerUnreachable: the server cannot be reached or did not reply in time. It may have carried out the
                request nevertheless.
        """
        try:
            async with asyncio.timeout(self._seconds):
                connection = await self._connected()
                await connection.send(wire.encode(request), text=True)
                return await self._reply(connection)
        except (OSError, WebSocketException, PeerError, BadSettings) as error:
            await self.close()
            raise ServerUnreachable(without_credentials(f"{self._url}: {self._reason(error)}")) from error

    async def _connected(self) -> ClientConnection:
        if self._connection is not None and self._connection.state is State.OPEN:
            return self._connection
        await self._drain()
        tls: dict[str, Any] = {} if self._tls is None else {"ssl": self._tls.context()}
        self._connection = await connect(
            self._url,
            subprotocols=[Subprotocol(wire.SUBPROTOCOL)],
            additional_headers=bearer(self._token),
            **tls,
            compression=None,
            # A proxy in the environment is meant for the web, not for a container on the same network.
            proxy=None,
            # The limit for a reply includes the connection.
            open_timeout=None,
            # A console polls, so a lost connection shows without pings.
            ping_interval=None,
            close_timeout=_CLOSE_SECONDS,
            max_size=wire.MAX_FRAME,
        )
        return self._connection

    async def _drain(self) -> None:
        """Process the frames that arrived before the server closed the connection."""
        with contextlib.suppress(ConnectionClosed):
            while self._connection is not None:
                self.on_event(wire.decode_from_server(await self._connection.recv(decode=False))[0])

    async def _reply(self, connection: ClientConnection) -> wire.Controlled:
        while True:
            frame, _ = wire.decode_from_server(await connection.recv(decode=False))
            match frame:
                case wire.Controlled():
                    return frame
                case wire.Error():
                    raise ControlRefused(frame.code, frame.detail)
                case wire.Welcome() if self.welcome is None or self.welcome.run == frame.run:
                    self.welcome = frame
                case wire.Welcome():
                    self.welcome = frame
                    self.on_event(frame)
                case _:
                    self.on_event(frame)

    def _reason(self, error: Exception) -> str:
        if isinstance(error, OSError) and "Connect call failed" in str(error):
            return "nothing listens there"
        if (problem := handshake_problem(error, "TLS_CA_FILE")) is not None:
            return problem
        if isinstance(error, InvalidStatus) and error.response.status_code == HTTPStatus.UNAUTHORIZED:
            return "the server does not know this control token" if self._token else "the server needs a control token"
        reasons: dict[type[Exception], str] = {
            TimeoutError: f"no reply within {self._seconds:g} s",
            socket.gaierror: "no host has that name",
            ConnectionClosed: "the server closed the connection",
            InvalidStatus: "the server refuses connections, or is shutting down",
            InvalidMessage: f"the server does not support {wire.SUBPROTOCOL}",
            PeerError: f"the server does not support {wire.SUBPROTOCOL}",
        }
        return next((text for kind, text in reasons.items() if isinstance(error, kind)), str(error))

    async def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        await self.close()
