"""Tests of services/server/connections/gatekeeper.py, by real connections."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import InvalidStatus
from websockets.http11 import Request, Response

from services.runtime.access.access_control import AccessControl
from services.runtime.access.listen_rules import ListenRules
from services.runtime.access.tls import ClientTls
from services.runtime.access.tokens import EVERYTHING, PARTICIPANT, Grant
from services.runtime.clock import Clock
from services.server.connections.connection import FeedConnection, connection_class
from services.server.connections.gatekeeper import Gatekeeper
from services.server.connections.refusals import RefusalCounter
from services.server.secrets_folder import make_all

TOKEN, CONTROL = "feed-token-of-24-letters", "control-token-of-letters"


@asynccontextmanager
async def gate(rules: ListenRules, refusals: RefusalCounter) -> AsyncIterator[tuple[int, list[FeedConnection]]]:
    """Serve behind a gatekeeper; return the port and the connections that it lets in."""
    came: list[FeedConnection] = []

    def is_operator(authorization: Collection[str], is_trusted: bool) -> bool:
        return is_trusted or list(authorization) == [f"Bearer {CONTROL}"]

    keeper = Gatekeeper(AccessControl(rules), refusals, is_operator)

    def check(connection: ServerConnection, request: Request) -> Response | None:
        return keeper.check(connection, request, request.path)

    async def handle(connection: ServerConnection) -> None:
        assert isinstance(connection, FeedConnection)
        came.append(connection)
        connection.send_pieces(b"in the ", b"frame")
        await connection.wait_closed()

    kind = connection_class(Clock(), refusals)
    async with serve(
        handle, "127.0.0.1", 0, create_connection=kind, process_request=check, **keeper.tls_options
    ) as server:
        yield next(iter(server.sockets)).getsockname()[1], came


async def admitted(port: int, *authorization: str, tls: ssl.SSLContext | None = None) -> int:
    """Return the status with which a connection attempt is answered."""
    headers = [("Authorization", value) for value in authorization]
    url = f"{'ws' if tls is None else 'wss'}://127.0.0.1:{port}"
    try:
        async with connect(url, proxy=None, additional_headers=headers, ssl=tls) as connection:
            assert "in the frame" == await connection.recv()
            return 101
    except InvalidStatus as refusal:
        return refusal.response.status_code


@pytest.fixture
def token_file(tmp_path: Path) -> str:
    """Return the path of a file with one token."""
    (tmp_path / "tokens").write_text(f"feed edge-* {TOKEN}\n")
    return str(tmp_path / "tokens")


async def test_without_tokens_a_peer_on_loopback_may_do_everything() -> None:
    """Where only this machine can connect, no token is needed, and none to control the run."""
    async with asyncio.timeout(20), gate(ListenRules(), RefusalCounter()) as (port, came):
        assert 101 == await admitted(port)
    assert EVERYTHING == came[0].grant


async def test_loopback_is_no_operator_of_a_reachable_server() -> None:
    """A server that others can reach lets a peer on loopback take part, and control only with the token."""
    rules = ListenRules("INSECURE", is_reachable=True)
    async with asyncio.timeout(20), gate(rules, RefusalCounter()) as (port, came):
        assert 101 == await admitted(port)
        assert 101 == await admitted(port, f"Bearer {CONTROL}")
    assert [PARTICIPANT, EVERYTHING] == [connection.grant for connection in came]
    assert [False, True] == [connection.is_operator for connection in came]


async def test_with_tokens_the_upgrade_needs_one(token_file: str) -> None:
    """None, a wrong one, two at once and another scheme get 401 before the upgrade, and are counted."""
    refusals = RefusalCounter()
    async with asyncio.timeout(20), gate(ListenRules(token_file=token_file), refusals) as (port, came):
        for values in ([], ["Bearer a-wrong-token-of-24"], [f"Bearer {TOKEN}"] * 2, [f"Digest {TOKEN}"], [TOKEN]):
            assert 401 == await admitted(port, *values)
        assert 101 == await admitted(port, f"Bearer {TOKEN}")
    assert 5 == refusals.counts["unauthorized"]
    assert [Grant(frozenset({"feed"}), "edge-*")] == [connection.grant for connection in came]


async def test_frames_are_encrypted(tmp_path: Path) -> None:
    """On a connection with TLS the pieces of a frame go through the transport, which encrypts them."""
    make_all(tmp_path, [], [])
    rules = ListenRules(cert_file=str(tmp_path / "tls.crt"), key_file=str(tmp_path / "tls.key"))
    async with asyncio.timeout(20), gate(rules, RefusalCounter()) as (port, _):
        assert 101 == await admitted(port, tls=ClientTls(str(tmp_path / "tls.crt")).context())
