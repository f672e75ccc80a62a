"""Tests of asking a node, over a real connection."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from services.collector.nodes.node_address import NodeAddress
from services.collector.nodes.node_client import PIECE, NodeClient, NodeTimeouts, NodeUnreachable
from services.contract.nodes import NodeFile

RUN = "20261122T073000Z"
FILE = NodeFile(name="a.jsonl", size=10, changed_ns=1)


def answer(status: str, body: bytes, *headers: str) -> bytes:
    """Return an HTTP response."""
    head = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(head).encode() + body


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@contextmanager
def node(*answers: bytes, hangs: bool = False) -> Iterator[tuple[NodeClient, list[bytes]]]:
    """Yield the client of a node that gives these answers on one connection, and the requests that it got."""
    requests: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(20)

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                for reply in answers:
                    requests.append(connection.recv(65536))
                    # The client may have closed the connection after a part of it.
                    with contextlib.suppress(OSError):
                        connection.sendall(reply)
                if hangs:
                    connection.settimeout(20)
                    while connection.recv(65536):
                        pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        client = NodeClient(NodeAddress(*listener.getsockname()), "secret", NodeTimeouts(step=0.3, response=1.0))
        yield client, requests
        client.close()
        thread.join(20)


def test_requests_carry_the_token() -> None:
    """Several requests go over one connection, each with the token."""
    info = b'{"v":1,"node":"one","folder":"x","runs":["20261122T073000Z"]}'
    listing = b'{"v":1,"run":"20261122T073000Z","files":[]}'
    with node(answer("200 OK", info), answer("200 OK", listing)) as (client, requests):
        assert "one" == client.info().node
        assert [] == client.listing(RUN).files

    assert all(b"Authorization: Bearer secret\r\n" in request for request in requests)
    assert b"GET /files?run=20261122T073000Z " in requests[1]


def test_a_part_of_a_file_is_asked_for_by_a_range() -> None:
    """A range of at most a piece is asked for; behind the end of the file there are no bytes."""
    reply = answer("206 Partial Content", b"56789", "Content-Range: bytes 5-9/10")
    with node(reply, answer("416 Range Not Satisfiable", b"nothing")) as (client, requests):
        assert b"56789" == client.part(RUN, FILE, 5)
        assert b"" == client.part(RUN, FILE, 10)

    assert f"Range: bytes=5-{5 + PIECE - 1}\r\n".encode() in requests[0]


@pytest.mark.parametrize(
    ("reply", "ask", "says"),
    [
        (answer("401 Unauthorized", b""), NodeClient.info, "the token is refused"),
        (answer("503 Busy", b""), NodeClient.info, "it cannot read its files"),
        (answer("302 Found", b"", "Location: http://192.0.2.1/"), NodeClient.info, "HTTP 302"),
        (b"HTTP/1.1 100 Continue\r\n\r\n" * 700_000, NodeClient.info, "its answer is too long|took too long"),
        (b"\x1b[2J" * 1000 + b"\r\n\r\n", NodeClient.info, r"\\x1b\[2J"),
        (
            # A fast machine reads all of it in time.
            CHUNKED + b"2\r\n{}\r\n0\r\n" + b"A: b\r\n" * 2_500_000,
            NodeClient.info,
            "its answer is too long|took too long|its answer is none of a node",
        ),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999999\r\n\r\n{}", NodeClient.info, "cut short|in time"),
        (answer("200 OK", b"<html>"), NodeClient.info, "its answer is none of a node"),
        (answer("200 OK", b"{}")[:-1], NodeClient.info, "cut short"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", NodeClient.info, "cut short"),
        (b"220 mail\r\n", NodeClient.info, "220 mail"),
        (
            answer("200 OK", b'{"v":1,"run":"20261122T073001Z","files":[]}'),
            lambda client: client.listing(RUN),
            "the files of run 20261122T073001Z, not of",
        ),
        (answer("200 OK", b"0123456789"), lambda client: client.part(RUN, FILE, 5), "does not serve ranges"),
        (
            answer("206 Partial Content", b"01234", "Content-Range: bytes 0-4/10"),
            lambda client: client.part(RUN, FILE, 5),
            "does not serve ranges",
        ),
        (
            answer("206 Partial Content", b"x" * (PIECE + 1), "Content-Range: bytes 5-9/10"),
            lambda client: client.part(RUN, FILE, 5),
            "longer than 1,048,576 bytes",
        ),
    ],
)
def test_another_answer_is_no_node(reply: bytes, ask: Callable[[NodeClient], object], says: str) -> None:
    """An answer that is none of a node is an error that says so, and no redirect is followed."""
    with node(reply) as (client, _), pytest.raises(NodeUnreachable, match=says):
        ask(client)


def test_a_node_that_hangs_is_given_up() -> None:
    """A node that accepts the connection and does not answer is given up after the deadline."""
    with node(hangs=True) as (client, _), pytest.raises(NodeUnreachable, match="does not answer in time"):
        client.info()


def test_a_node_that_is_not_there_is_named_by_the_reason() -> None:
    """A refused connection is an error with its reason."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = NodeAddress(*listener.getsockname())
    with pytest.raises(NodeUnreachable, match="connection refused"):
        NodeClient(address, "secret").info()
