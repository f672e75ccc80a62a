"""The limits of docs/security.md, tested on services as processes."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.contract import ledger
from tests.integration.processes import Process, System
from tests.poll import poll_until

MANY_SECONDS = 30.0
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)


_opened: list[socket.socket] = []


@pytest.fixture(autouse=True)
def hung_up() -> Iterator[None]:
    """Close the connections of a test when it ends."""
    yield
    while _opened:
        _opened.pop().close()


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    """A run of many records, with nothing started yet."""
    with System(tmp_path, RECORDS=100_000, SEND_SECONDS=1) as made:
        yield made


def resident_bytes(process: Process) -> int:
    """Return the resident memory of a process."""
    pages = Path(f"/proc/{process.pid}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * resource.getpagesize()


def connected(system: System, extra: bytes = b"", *, deaf: bool = False) -> socket.socket:
    """Return a connection that has sent an opening request with more header lines."""
    peer = socket.socket()
    _opened.append(peer)
    if deaf:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    peer.settimeout(5)
    peer.connect(("127.0.0.1", system.port))
    peer.sendall(UPGRADE + extra + b"\r\n")
    return peer


def answer(system: System, request: bytes) -> bytes:
    """Return the status line of the response to a request."""
    with socket.create_connection(("127.0.0.1", system.port), 5) as peer:
        peer.sendall(request)
        return peer.makefile("rb").readline().strip()


def framed(data: bytes, opcode: int = 1) -> bytes:
    """Return a client's frame with a mask of zeros."""
    size = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2)
    return bytes([0x80 | opcode]) + size + bytes(4) + data


def lives(system: System, server: Process) -> None:
    """Assert that a server responds and has logged no traceback."""
    poll_until(
        lambda: answer(system, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 200"),
        "the server is healthy",
        MANY_SECONDS,
    )
    assert server.code is None
    assert "Traceback" not in server.text


def test_opening_requests_keep_nothing(system: System) -> None:
    """A request with many or long header lines is refused; the headers of accepted requests are not kept."""
    server = system.server()
    fat = b"".join(b"Authorization: " + b"x" * 7900 + b"\r\n" for _ in range(120))
    with contextlib.suppress(ConnectionError):
        assert b"HTTP/1.1 431" in answer(system, UPGRADE + fat + b"\r\n")
    before = resident_bytes(server)
    lean = b"".join(b"Authorization: " + b"x" * 900 + b"\r\n" for _ in range(25))
    peers = [connected(system, lean) for _ in range(300)]
    for peer in peers:
        assert peer.recv(100).startswith(b"HTTP/1.1 101")
    grown = resident_bytes(server) - before
    for peer in peers:
        peer.close()

    assert grown < 8 * 2**20, f"{grown / 2**20:.1f} MiB, of 7 MiB that were sent"
    lives(system, server)


@pytest.mark.parametrize("path", [b"http://[", b"//[", b"http://[::1]:x/", b"*"])
def test_a_path_that_is_no_address_is_no_fault(system: System, path: bytes) -> None:
    """A request with a path that cannot be parsed is answered like any other without an upgrade."""
    server = system.server()

    assert b"HTTP/1.1 426 Upgrade Required" == answer(system, b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    lives(system, server)


def test_peers_that_do_not_read_are_cut(system: System) -> None:
    """Peers that flood with pings, or send requests and never read, are cut off and cost little memory."""
    server = system.server()
    before = resident_bytes(server)
    pingers = [connected(system, deaf=True) for _ in range(5)]
    askers = [connected(system, deaf=True) for _ in range(5)]
    for peer in pingers:
        with contextlib.suppress(OSError):
            for _ in range(30):
                peer.sendall(framed(b"p" * 125, 9) * 2000)
    for peer in askers:
        peer.sendall(framed(b'{"type":"ping","t1_us":1}') * 190)
    assert resident_bytes(server) - before < 8 * 2**20

    for peer in pingers:
        poll_until(lambda peer=peer: gone(peer), "the peer is cut", MANY_SECONDS)  # type: ignore[misc]
    lives(system, server)
    assert len(server.lines) < 20


def gone(peer: socket.socket) -> bool:
    """Return whether the peer has closed the connection."""
    try:
        peer.sendall(framed(b"", 10))
    except OSError:
        return True
    return False


def test_long_texts_and_endless_names_stay_out_of_the_ledger(system: System) -> None:
    """A long `instance` is malformed, and one connection can add only a few names to the ledger."""
    server = system.server()
    for fields in (b'"client":"evil","instance":"' + b"x" * 60_000 + b'"', b'"client":"n%d"'):
        with connected(system) as peer, contextlib.suppress(OSError):
            for number in range(200):
                asked = fields % number if b"%d" in fields else fields
                peer.sendall(framed(b'{"type":"subscribe",' + asked + b"}") + framed(b'{"type":"bye"}'))
    poll_until(lambda: "too many subscriptions on one connection" in server.text, "it is refused", MANY_SECONDS)
    subscribed = [entry.client for entry in system.volumes.ledger() if isinstance(entry, ledger.SubscribeEntry)]

    assert [f"n{number}" for number in range(10)] == subscribed[:10]
    assert len(subscribed) <= 20
    lives(system, server)


def test_a_rate_without_a_schedule_ends_nothing(system: System) -> None:
    """A rate without a possible schedule is refused, and the run continues, also after a restart."""
    server = system.server()
    client = system.client("client-1")
    client.wait_for_line('"subscribed"')
    with connected(system) as peer:
        peer.sendall(framed(b'{"type":"control","set":{"rate":5e-324}}'))
        received = b""
        while b"malformed" not in received:
            received += peer.recv(65_536)
    lives(system, server)
    server.stop()
    lives(system, system.server())


def test_too_many_connections_are_answered(system: System) -> None:
    """Connections beyond the file descriptors are refused; plain HTTP requests are still answered."""
    server = system.server()
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (200, 200))
    peers = [connected(system) for _ in range(300)]
    answers = [peer.recv(100)[:12] for peer in peers]
    files = len(os.listdir(f"/proc/{server.pid}/fd"))

    assert {b"HTTP/1.1 101", b"HTTP/1.1 503"} == set(answers)
    assert files < 200 - 40
    assert answer(system, b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").startswith(b"HTTP/1.1 200")
    assert len(server.lines) < 20
    for peer in peers:
        peer.close()
    lives(system, server)
    with connected(system) as peer:
        assert peer.recv(100).startswith(b"HTTP/1.1 101")


def test_without_descriptors_the_server_waits(system: System) -> None:
    """Without any free descriptor the server logs one line, and accepts connections again afterwards."""
    server = system.server()
    soft, hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (len(os.listdir(f"/proc/{server.pid}/fd")), hard))
    peers = [connected(system) for _ in range(60)]
    server.wait_for_line("connections wait: no descriptor is left for them")
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (soft, hard))
    for peer in peers:
        assert peer.recv(100).startswith(b"HTTP/1.1 101")
        peer.close()

    assert len(server.lines) < 10
    lives(system, server)


def test_other_files_in_a_clients_folder_do_no_harm(system: System) -> None:
    """A pipe, a link and a huge sparse file among its logs neither block a client nor fill its memory."""
    server = system.server(RATE=50)
    first = system.client("client-1")
    first.wait_for_line('"subscribed"')
    folder = next(system.volumes.root.glob("logs/*/client-1"))
    first.stop()
    os.mkfifo(folder / "0007-0001.jsonl")
    (folder / "0008-0001.jsonl").symlink_to(folder / "0001-0001.jsonl")
    (folder / "0009-0001.jsonl").touch()
    os.truncate(folder / "0009-0001.jsonl", 3 * 2**30)
    (folder / os.fsdecode(b"\xff.jsonl")).write_text("junk\n", encoding="ascii")
    second = system.client("client-1")
    second.wait_for_line('"subscribed"', timeout=MANY_SECONDS)

    assert resident_bytes(second) < 250 * 2**20
    assert 1 == second.text.count("0007-0001.jsonl")
    assert (folder / "0010-0001.jsonl").exists()
    lives(system, server)


def test_folders_beside_the_runs_harm_no_run(system: System) -> None:
    """With KEEP_RUNS a copied folder and a stray file neither stop a service nor cause a run to be removed."""
    for side in ("logs", "ledger"):
        for name in ("my-backup", "notes", "20261128T210741Z-old", "99991231T235959Z"):
            (system.volumes.root / side / name).mkdir(parents=True)
    server = system.server(KEEP_RUNS=1)
    client = system.client("client-1", KEEP_RUNS=1)
    client.wait_for_line('"subscribed"')
    lives(system, server)

    assert 0 == client.stop()
    assert 0 == server.stop()
    assert 5 == len(list((system.volumes.root / "logs").iterdir()))
