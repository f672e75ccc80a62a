"""Tests of connecting to an external server."""

from __future__ import annotations

import asyncio
import ssl
import subprocess
from collections.abc import Sequence
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus, SecurityError
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.utils import accept_key

from services.client.external.connection import LEAVE_SECONDS, ClosingWatch, ConnectRateLimit, connect_to, tls_context
from services.client.external.connection_failure import ConnectionFailure
from services.runtime.clock import Clock
from services.runtime.errors import BadSettings
from tests.unit.client.external.fakes import external_server, feed_settings

REFUSED = ConnectionFailure(429, "slow down", "slow down", True)


async def echo_header(connection: ServerConnection) -> None:
    """Send the value of the authorization header."""
    assert connection.request is not None
    await connection.send(connection.request.headers.get("Authorization", "none"))


def last_offered(_connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """Choose the last subprotocol, where the client offers any."""
    return offered[-1] if offered else None


async def first_message(url: str, **changed: str) -> str:
    """Connect, and return the first message."""
    reach = feed_settings(url, **changed).reach
    connection = await connect_to(reach, Clock(), tls_context(reach))
    try:
        return str(await connection.recv())
    finally:
        await connection.end()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a self-signed certificate for this host."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", folder / "key.pem", "-days", "2",
         "-out", folder / "cert.pem", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return folder


def tls_of(folder: Path) -> ssl.SSLContext:
    """Return how a server proves that it is this machine."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


async def test_authorization_is_read_from_its_file(tmp_path: Path) -> None:
    """The authorization header has the content of its file at the time of the connection."""
    secret = tmp_path / "secret"
    async with external_server(echo_header) as url:
        for value in ("Bearer abc", "Bearer def"):
            secret.write_text(value + "\n")
            assert value == await first_message(url, FEED_AUTHORIZATION_FILE=str(secret))
        assert "none" == await first_message(url)


async def test_headers_origin_and_subprotocols_are_sent(tmp_path: Path) -> None:
    """The handshake has the headers of the file as it is then, the origin, and all subprotocols in their order."""
    (tmp_path / "headers").write_text("X-API-Key: abc\nCookie: a=b\n")

    async def echo(connection: ServerConnection) -> None:
        assert connection.request is not None
        sent = connection.request.headers
        names = "X-API-Key", "Cookie", "Origin", "Sec-WebSocket-Protocol"
        await connection.send(" | ".join(sent.get(name, "none") for name in names))

    async with external_server(echo, select_subprotocol=last_offered) as url:
        assert "abc | a=b | https://a | token.abc, real" == await first_message(
            url, FEED_HEADERS_FILE=str(tmp_path / "headers"), FEED_ORIGIN="https://a", FEED_SUBPROTOCOL="token.abc,real"
        )
        assert "none | none | none | none" == await first_message(url)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("FEED_HEADERS_FILE", "X-API-Key: abc"), ("FEED_SUBPROTOCOL", "bearer.token.0123456789abcdef")],
)
async def test_secrets_are_not_sent_to_another_origin(tmp_path: Path, setting: str, value: str) -> None:
    """A redirect to another origin is not followed when a header or a subprotocol may be a secret of this one."""
    (tmp_path / "headers").write_text(value)
    given = {setting: str(tmp_path / "headers") if setting.endswith("FILE") else value}
    async with external_server(echo_header, select_subprotocol=last_offered) as there:

        def redirect(connection: ServerConnection, request: Request) -> Response | None:
            if request.path == "/here":
                return None
            response = connection.respond(HTTPStatus.FOUND, "")
            response.headers["Location"] = "/here" if request.path == "/same" else there
            return response

        async with external_server(echo_header, process_request=redirect, select_subprotocol=last_offered) as url:
            with pytest.raises(SecurityError, match=f"a redirect to {there} is not followed"):
                await first_message(url, **given)
            assert "none" == await first_message(f"{url}/same", **given)
            assert "none" == await first_message(url)


async def test_a_redirect_to_an_http_address_is_followed() -> None:
    """A redirect whose address begins with http is followed; what is refused there names the place."""

    def redirect(connection: ServerConnection, request: Request) -> Response | None:
        if request.path == "/here":
            return None
        status = HTTPStatus.PERMANENT_REDIRECT if request.path in ("/", "/away") else HTTPStatus.GONE
        response = connection.respond(status, "")
        target = "/here" if request.path == "/" else "/gone"
        response.headers["Location"] = f"http://{request.headers['Host']}{target}"
        return response

    async with external_server(echo_header, process_request=redirect) as url:
        assert "none" == await first_message(url)
        with pytest.raises(InvalidStatus) as refused:
            await first_message(f"{url}/away")

    assert [f"after a redirect to {url}/gone"] == refused.value.__notes__


async def test_a_server_must_prove_its_identity(certificate: Path) -> None:
    """A self-signed certificate is refused, and accepted if FEED_CA_FILE contains it."""
    async with external_server(echo_header, ssl=tls_of(certificate)) as url:
        with pytest.raises(ssl.SSLCertVerificationError):
            await first_message(url)
        assert "none" == await first_message(url, FEED_CA_FILE=str(certificate / "cert.pem"))


async def test_a_server_must_have_the_name(certificate: Path) -> None:
    """A certificate for another name is refused even if its issuer is trusted."""
    async with external_server(echo_header, ssl=tls_of(certificate)) as url:
        with pytest.raises(ssl.SSLCertVerificationError, match="not valid for"):
            await first_message(url.replace("localhost", "127.0.0.1"), FEED_CA_FILE=str(certificate / "cert.pem"))


def test_unreadable_certificates_are_reported(tmp_path: Path) -> None:
    """A file without certificates is reported in one line; without TLS the file is not read."""
    reach = feed_settings("wss://feed", FEED_CA_FILE=str(tmp_path / "none")).reach

    with pytest.raises(BadSettings, match="FEED_CA_FILE"):
        tls_context(reach)
    assert tls_context(replace(reach, url="ws://feed")) is None


async def test_a_proxy_is_asked_when_named() -> None:
    """The connection uses the proxy of FEED_PROXY, and ignores a proxy in the environment."""
    asked: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.readline())
        writer.close()

    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        with pytest.raises(Exception, match=r".*"):
            await first_message("ws://feed.example:80/x", FEED_PROXY=f"http://127.0.0.1:{port}")

    assert [b"CONNECT feed.example:80 HTTP/1.1\r\n"] == asked


async def test_attempts_are_spaced() -> None:
    """All clients of a process together make a limited number of attempts a second."""
    gate, loop = ConnectRateLimit(200), asyncio.get_running_loop()
    began = loop.time()
    await asyncio.gather(*(gate.wait_for_turn() for _ in range(11)))

    assert 10 / 200 <= loop.time() - began


async def test_a_gate_that_is_held_lets_no_attempt_through() -> None:
    """While the server refuses this process, none of its clients makes an attempt, not even one that already waited."""
    gate, loop = ConnectRateLimit(20), asyncio.get_running_loop()
    await gate.wait_for_turn()
    waiting = asyncio.create_task(gate.wait_for_turn())
    await asyncio.sleep(0)
    began = loop.time()
    gate.hold(0.2, REFUSED)
    reason = gate.hold_reason
    await asyncio.gather(waiting, gate.wait_for_turn())

    assert [REFUSED, None] == [reason, gate.hold_reason]
    assert 0.2 + 1 / 20 <= loop.time() - began + 0.001


async def test_a_wait_at_the_gate_can_be_given_up() -> None:
    """A client whose run is over stops waiting for a server that refuses."""
    gate, over = ConnectRateLimit(20), asyncio.Event()
    gate.hold(600, REFUSED)
    waiting = asyncio.create_task(gate.wait_for_turn(over))
    await asyncio.sleep(0)
    over.set()

    async with asyncio.timeout(5):
        await waiting


async def test_a_client_that_the_server_just_had_is_not_held() -> None:
    """The refusal of one client does not delay an accepted one that was cut off; such attempts are spaced too."""
    gate, loop = ConnectRateLimit(50), asyncio.get_running_loop()
    gate.hold(600, REFUSED)
    began = loop.time()
    async with asyncio.timeout(5):
        await asyncio.gather(*(gate.wait_for_turn(was_accepted=True) for _ in range(3)))

    assert 2 / 50 <= loop.time() - began + 0.001


async def test_a_connection_that_the_server_leaves_half_closed_is_ended() -> None:
    """A connection that was closed and stays open on TCP is ended after a second; an open one is left alone."""
    is_over = asyncio.Event()

    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = next(line.split(": ")[1] for line in request.splitlines() if line.lower().startswith("sec-websocket-key"))
        head = f"HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept_key(key)}"
        writer.write(f"{head}\r\n\r\n".encode() + b"\x88\x02\x03\xe9")
        await is_over.wait()
        writer.close()

    async with asyncio.timeout(20), await asyncio.start_server(close, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        connection = await connect_to(feed_settings(f"ws://127.0.0.1:{port}").reach, Clock(), None)
        watch, receiving = ClosingWatch(), asyncio.create_task(connection.recv())
        watch.look(None, 0)
        while connection.state is State.OPEN:
            watch.look(connection, 0)
            await asyncio.sleep(0)
        watch.look(connection, 5)
        assert not receiving.done()
        watch.look(connection, 5 + LEAVE_SECONDS)
        with pytest.raises(ConnectionClosed):
            await receiving
        is_over.set()
