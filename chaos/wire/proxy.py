"""A WebSocket proxy that passes every text frame on unchanged, except for those that a plan damages."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from chaos.wire.background import Background
from chaos.wire.damage import Damage, DamagePlan, RecordsFrame
from services.contract import wire
from tests.integration.processes import free_port

_SPOKEN = [Subprotocol(wire.SUBPROTOCOL)]


class Proxy:
    """Listens on its own port in front of a server; ``damages`` has the faults injected into each planned client."""

    def __init__(self, server_url: str, plans: Mapping[str, DamagePlan]) -> None:
        self.damages = {client: Damage(plan) for client, plan in plans.items()}
        self.connections = 0
        self.problems: list[str] = []
        self._server_url = server_url
        self._port = free_port()
        self._background = Background()
        self._listening = self._background.run(self._listen())

    @property
    def url(self) -> str:
        """The URL of the proxy, for the clients."""
        return f"ws://127.0.0.1:{self._port}"

    async def _listen(self) -> Server:
        return await serve(
            self._relay,
            "127.0.0.1",
            self._port,
            subprotocols=_SPOKEN,
            compression=None,
            ping_interval=None,
            max_size=None,
        )

    async def _relay(self, client: ServerConnection) -> None:
        self.connections += 1
        server = await connect(
            self._server_url,
            subprotocols=_SPOKEN if client.subprotocol else None,
            compression=None,
            proxy=None,
            ping_interval=None,
            max_size=None,
        )
        conversation = _Conversation(client, server, self.damages)
        pumps = [asyncio.create_task(pump) for pump in (conversation.forward_up(), conversation.forward_down())]
        try:
            done, _ = await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            self.problems += [repr(problem) for pump in done if (problem := pump.exception()) is not None]
        finally:
            for pump in pumps:
                pump.cancel()
            await _close_alike(client, server)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        if error is not None:
            for client, damage in self.damages.items():
                error.add_note(f"---- faults of {client}: {damage.plan}\n{damage.faults}\n{self.problems}")
        self._background.run(self._close())
        self._background.close()

    async def _close(self) -> None:
        self._listening.close()
        for connection in list(self._listening.connections):
            connection.transport.abort()
        await self._listening.wait_closed()


class _Conversation:
    """A client's connection, and the proxy's connection to the server for it."""

    def __init__(self, client: ServerConnection, server: ClientConnection, damages: Mapping[str, Damage]) -> None:
        self._client, self._server, self._damages = client, server, damages
        self._damage: Damage | None = None
        self._total = 0

    async def forward_up(self) -> None:
        """Pass on frames from the client; its subscription tells its name, and so its plan."""
        try:
            while True:
                data = await self._client.recv(decode=False)
                if self._damage is None:
                    self._note_client(wire.decode_from_client(data))
                await self._server.send(data, text=True)
        except ConnectionClosed:
            pass

    def _note_client(self, frame: wire.FromClient) -> None:
        if isinstance(frame, wire.Subscribe) and frame.client in self._damages:
            self._damage = self._damages[frame.client]
            self._damage.connected(self._total)

    async def forward_down(self) -> None:
        """Pass on frames from the server, with the faults of the plan."""
        try:
            while True:
                data = await self._server.recv(decode=False)
                for frame_out in self._apply_plan(data):
                    await self._client.send(frame_out, text=True)
                if self._damage is not None and self._damage.must_cut:
                    self._client.transport.abort()
                    return
        except ConnectionClosed:
            pass

    def _apply_plan(self, data: bytes) -> list[bytes]:
        frame, _ = wire.decode_from_server(data)
        if isinstance(frame, wire.Welcome):
            self._total = frame.total
        if self._damage is None:
            return [data]
        if isinstance(frame, wire.Records):
            return self._damage.records(RecordsFrame(frame, data))
        return [] if self._damage.is_deaf else [data]


async def _close_alike(client: ServerConnection, server: ClientConnection) -> None:
    """Close each side with the close code of the other one; abort it if the other one was aborted."""
    for here, there in ((client, server), (server, client)):
        if here.close_code in (None, 1006):
            there.transport.abort()
        else:
            await there.close(here.close_code or 1000, here.close_reason or "")
