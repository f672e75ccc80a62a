"""An operator's line to the server: a connection on which wishes are said and answered. It is in no books."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from types import TracebackType
from typing import Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus, WebSocketException
from websockets.protocol import State
from websockets.typing import Subprotocol

from services.contract import wire
from services.contract.errors import PeerError
from services.runtime.control.commands import ControlRefused, ServerUnreachable

_CLOSE_SECONDS = 0.5


class ControlClient:
    """Connects when it is first asked something, and again when the connection broke in between.

    ``welcome`` is what the server said last of the run that is on; ``unasked`` is called with frames that answer
    nothing: the next run's welcome, the server's goodbye.
    """

    def __init__(self, url: str, token: str, seconds: float) -> None:
        """Take the server's address, the token (empty: none), and how long an answer may take."""
        self.welcome: wire.Welcome | None = None
        self.unasked: Callable[[wire.FromServer], None] = lambda _: None
        self._url, self._token, self._seconds = url, token, seconds
        self._connection: ClientConnection | None = None

    async def ask(self, wish: wire.Control) -> wire.Controlled:
        """Say a wish; return how the run stands now that it is granted.

        Raises:
            Declined: it is not granted.
            Unreachable: the server cannot be reached, or does not answer in time. The wish may have been heard.
        """
        try:
            async with asyncio.timeout(self._seconds):
                connection = await self._connected()
                await connection.send(wire.encode(wish), text=True)
                return await self._answer(connection)
        except (OSError, WebSocketException, PeerError) as problem:
            await self.close()
            raise ServerUnreachable(f"{self._url}: {self._why(problem)}") from problem

    async def _connected(self) -> ClientConnection:
        if self._connection is not None and self._connection.state is State.OPEN:
            return self._connection
        await self._take_leave()
        self._connection = await connect(
            self._url,
            subprotocols=[Subprotocol(wire.SUBPROTOCOL)],
            additional_headers={"Authorization": f"Bearer {self._token}"} if self._token else None,
            compression=None,
            # A proxy named in the environment is for the web, not for a neighbouring container.
            proxy=None,
            open_timeout=None,
            ping_interval=None,
            close_timeout=_CLOSE_SECONDS,
            max_size=wire.MAX_FRAME,
        )
        return self._connection

    async def _take_leave(self) -> None:
        """Hear what the server said before it hung up."""
        with contextlib.suppress(ConnectionClosed):
            while self._connection is not None:
                self.unasked(wire.decode_from_server(await self._connection.recv(decode=False))[0])

    async def _answer(self, connection: ClientConnection) -> wire.Controlled:
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
                    self.unasked(frame)
                case _:
                    self.unasked(frame)

    def _why(self, problem: Exception) -> str:
        if isinstance(problem, OSError) and "Connect call failed" in str(problem):
            return "nobody listens there"
        reasons: dict[type[Exception], str] = {
            TimeoutError: f"no answer within {self._seconds:g} s",
            socket.gaierror: "there is no machine of that name",
            ConnectionClosed: "the server closed the connection",
            InvalidStatus: "what listens there does not let anybody in, or is about to stop",
            InvalidMessage: f"what listens there does not speak {wire.SUBPROTOCOL}",
            PeerError: f"what listens there does not speak {wire.SUBPROTOCOL}",
        }
        return next((text for kind, text in reasons.items() if isinstance(problem, kind)), str(problem))

    async def close(self) -> None:
        """Hang up."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        await self.close()
