"""Peers that do not follow the protocol get a proper error, and other peers are not affected."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from services.contract import wire
from services.contract.ledger import OpenEntry, PaceEntry
from tests.integration.processes import System


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A server that waits for its first client."""
    with System(tmp_path_factory.mktemp("hostile"), RECORDS=1000) as made:
        made.server()
        yield made


@contextmanager
def opened(system: System) -> Iterator[ClientConnection]:
    """Connect and receive the welcome."""
    with connect(system.url, proxy=None) as connection:
        assert "welcome" == json.loads(connection.recv(timeout=5))["type"]
        yield connection


def get(system: System, path: str, **headers: str) -> tuple[int, str, str]:
    """Return status, content type and body of an HTTP request."""
    connection = http.client.HTTPConnection("127.0.0.1", system.port, timeout=5)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers.get("Content-Type", ""), answer.read().decode()
    finally:
        connection.close()


def refusal(connection: ClientConnection) -> tuple[wire.Error, int]:
    """Return the server's error frame and close code."""
    frame, _ = wire.decode_from_server(connection.recv(timeout=5, decode=False))
    assert isinstance(frame, wire.Error), frame
    with pytest.raises(ConnectionClosed) as closed:
        connection.recv(timeout=5)
    assert closed.value.rcvd is not None
    return frame, closed.value.rcvd.code


def test_a_plain_request_is_answered_with_426(system: System) -> None:
    """A plain HTTP request to the feed's address is answered with 426."""
    status, _, body = get(system, "/")
    assert 426 == status
    assert "WebSocket" in body or "upgrade" in body.lower()


def test_healthz_shows_the_state(system: System) -> None:
    """/healthz gives 200 and the state of the run."""
    status, _, body = get(system, "/healthz")
    assert (200, "waiting") == (status, body.strip())


def test_metrics_are_for_prometheus(system: System) -> None:
    """/metrics gives lines that Prometheus reads."""
    status, kind, body = get(system, "/metrics")
    assert 200 == status
    assert kind.startswith("text/plain; version=")
    assert "# TYPE streamgauge_" in body


@pytest.mark.parametrize(
    "garbage",
    [
        "hello",
        "",
        "{",
        '{"type":"nonsense"}',
        '{"type":"subscribe"}',
        '{"type":"subscribe","client":"../../etc"}',
        "[]",
    ],
)
def test_a_garbage_first_message_is_an_error_and_4400(garbage: str, system: System) -> None:
    """A first message that is not a frame is answered with an error and its reason, then close code 4400."""
    with opened(system) as connection:
        connection.send(garbage)
        error, code = refusal(connection)
        assert wire.CLOSE_PROTOCOL == code
        assert error.detail


def test_binary_garbage_is_an_error_and_4400(system: System) -> None:
    """A binary message is answered in the same way."""
    with opened(system) as connection:
        connection.send(b"\x00\xff\xfe" * 100)
        assert wire.CLOSE_PROTOCOL == refusal(connection)[1]


def test_a_message_beyond_the_limit_closes(system: System) -> None:
    """A client's message above 64 KiB closes its connection: 1009, message too big."""
    with opened(system) as connection:
        connection.send("x" * (wire.MAX_CLIENT_FRAME + 1))
        with pytest.raises(ConnectionClosed) as closed:
            connection.recv(timeout=5)
        assert closed.value.rcvd is not None
        assert 1009 == closed.value.rcvd.code


@pytest.mark.parametrize(
    "frame",
    [
        wire.Receipt(session=1, block=1, first=1, last=10, count=10, digest="x00000000", took_ns=1),
        wire.Subscribe(client="client-1", after=1001),
    ],
)
def test_an_impossible_request_is_an_error_and_4400(frame: wire.Frame, system: System) -> None:
    """A receipt without a subscription and a resumption beyond the end are refused by name."""
    with opened(system) as connection:
        connection.send(wire.encode(frame).decode())
        error, code = refusal(connection)
        assert wire.CLOSE_PROTOCOL == code
        assert error.code in ("not_subscribed", "bad_after")


def test_a_browser_is_refused(system: System) -> None:
    """A connection with an Origin header comes from a web page: 403."""
    with pytest.raises(InvalidStatus) as refused, connect(system.url, origin=Origin("http://evil.test"), proxy=None):
        pass
    assert 403 == refused.value.response.status_code


def test_nobody_notices(system: System) -> None:
    """After all of these a real client connects, and its run passes."""
    entries = system.volumes.ledger()
    assert all(
        isinstance(entry, (OpenEntry, PaceEntry)) or entry.__struct_config__.tag == "control" for entry in entries
    )
    with opened(system) as connection:
        connection.send(wire.encode(wire.Subscribe(client="honest")).decode())
        frame, _ = wire.decode_from_server(connection.recv(timeout=5, decode=False))
        assert isinstance(frame, wire.Subscribed)
