"""Messages from client to server: clock exchanges, receipts and control requests."""

from __future__ import annotations

import collections
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from services.contract import ledger, wire
from services.contract.block_text import records_digest
from tests.integration.conftest import GoodStack
from tests.integration.processes import System
from tests.poll import poll_until


@pytest.fixture
def system(tmp_path: Path) -> Iterator[System]:
    """A server with a long run that waits for its first client."""
    with System(tmp_path, RECORDS=100_000, RATE=500, CONTROL_TOKEN="sesame", HOST="*", EXPOSURE="internal") as made:
        made.server()
        yield made


class Peer:
    """A peer of the server whose frames a test sends one by one."""

    def __init__(self, connection: ClientConnection) -> None:
        self._connection = connection

    def send(self, frame: wire.Frame) -> None:
        """Send a frame."""
        self._connection.send(wire.encode(frame).decode())

    def expect(self, kind: type[wire.Frame]) -> tuple[wire.Frame, bytes]:
        """Return the next frame of a kind, skipping others."""
        while True:
            frame, body = wire.decode_from_server(self._connection.recv(timeout=10, decode=False))
            if isinstance(frame, kind):
                return frame, body

    def control(self, frame: wire.Control) -> wire.Controlled:
        """Send a control request that is accepted; return the reported state of the run."""
        self.send(frame)
        answer, _ = self.expect(wire.Controlled)
        assert isinstance(answer, wire.Controlled)
        return answer

    def closed_with(self) -> int:
        """Return the code with which the server closes."""
        with pytest.raises(ConnectionClosed) as closed:
            collections.deque(iter(lambda: self._connection.recv(timeout=10), None), maxlen=0)
        assert closed.value.rcvd is not None
        return closed.value.rcvd.code


@contextmanager
def peer(url: str, token: str = "") -> Iterator[Peer]:
    """Connect a peer and read the welcome."""
    headers = {"Authorization": f"Bearer {token}"} if token else None
    # Without a limit on its queue, a peer that no longer reads still closes at once.
    with connect(url, proxy=None, compression=None, max_queue=None, additional_headers=headers) as connection:
        made = Peer(connection)
        made.expect(wire.Welcome)
        yield made


def test_ping_is_answered_with_three_times(system: System) -> None:
    """A pong repeats the client's time and adds the server's receive and send times in order."""
    with peer(system.url) as asker:
        before_us = time.time_ns() // 1000
        asker.send(wire.Ping(t1_us=12345))
        pong, _ = asker.expect(wire.Pong)
        after_us = time.time_ns() // 1000
        assert isinstance(pong, wire.Pong)
        assert 12345 == pong.t1_us
        # The server's clock is tied to the same kernel's once; it may have drifted by a little.
        assert before_us - 50_000 <= pong.t2_us <= pong.t3_us <= after_us + 50_000


def test_a_receipt_is_recorded(system: System) -> None:
    """A receipt is confirmed once it is in the ledger, with the comparison of digests; a repeat changes nothing."""
    with peer(system.url) as client:
        client.send(wire.Subscribe(client="by-hand", session=1, block_size=10))
        client.expect(wire.Subscribed)
        lines: list[bytes] = []
        while len(lines) < 20:
            _, body = client.expect(wire.Records)
            lines += body.splitlines()
        good = wire.Receipt(
            session=1, block=1, first=1, last=10, count=10, digest=records_digest(lines[:10]), took_ns=1
        )
        bad = wire.Receipt(session=1, block=2, first=11, last=20, count=10, digest="x00000000", took_ns=1)
        answers = []
        for receipt in (good, bad, good):
            client.send(receipt)
            answers.append(client.expect(wire.Recorded)[0])
        matches = [(answer.block, answer.match) for answer in answers if isinstance(answer, wire.Recorded)]
        assert [(1, True), (2, False), (1, True)] == matches
        entries = system.volumes.ledger()
        recorded = [(entry.block, entry.match) for entry in entries if isinstance(entry, ledger.ReceiptEntry)]
        assert [(1, True), (2, False)] == recorded


def test_an_operator_controls_the_run(system: System) -> None:
    """From loopback a run can be paused, resumed, set to another rate and queried; the ledger has each request."""
    with peer(system.url) as client, peer(system.url) as operator:
        client.send(wire.Subscribe(client="by-hand", session=1))
        client.expect(wire.Records)
        assert ["by-hand"] == operator.control(wire.Control(do="status")).clients
        paused = operator.control(wire.Control(do="pause"))
        assert ("paused", None) == (paused.state, paused.rate)
        assert paused.head == operator.control(wire.Control(do="status")).head
        idle, _ = client.expect(wire.Idle)
        assert isinstance(idle, wire.Idle)
        assert paused.head + 1 == idle.next
        assert ("running", 500) == (
            operator.control(wire.Control(do="resume")).state,
            operator.control(wire.Control(do="status")).rate,
        )
        assert 2000 == operator.control(wire.Control(set={"rate": 2000})).rate

        def faster() -> bool:
            records, _ = client.expect(wire.Records)
            return isinstance(records, wire.Records) and records.rate == 2000

        poll_until(faster, "records come at the new rate", 5)
        requests = [
            (entry.request, entry.value) for entry in system.volumes.ledger() if isinstance(entry, ledger.ControlEntry)
        ]
        assert [("pause", None), ("resume", None), ("rate", 2000)] == requests


def test_an_operator_drops_a_client_which_comes_back(system: System) -> None:
    """A client whose connection is dropped subscribes again and resumes at the same record."""
    system.client("client-1")
    with peer(system.url) as operator:
        poll_until(lambda: operator.control(wire.Control(do="status")).clients, "the client is here", 10)
        poll_until(lambda: system.volumes.head("client-1"), "it has receipted something", 10)
        operator.control(wire.Control(do="drop", client="client-1"))

        def subscriptions() -> list[ledger.SubscribeEntry]:
            return [entry for entry in system.volumes.ledger() if isinstance(entry, ledger.SubscribeEntry)]

        poll_until(lambda: len(subscriptions()) == 2, "it has subscribed again", 10)
        entries = system.volumes.ledger()
        assert ["dropped"] == [entry.cause for entry in entries if isinstance(entry, ledger.LeaveEntry)]
        first, again = subscriptions()
        assert (first.client, first.session, first.instance) == (again.client, again.session, again.instance)
        assert first.fence < again.fence


def test_an_operator_from_elsewhere_needs_the_token(system: System) -> None:
    """From another address than loopback control is refused with 4401, unless the token is sent."""
    url = f"ws://{own_address()}:{system.port}"
    for token in ("", "wrong"):
        with peer(url, token) as stranger:
            stranger.send(wire.Control(do="pause"))
            error, _ = stranger.expect(wire.Error)
            assert isinstance(error, wire.Error)
            assert "unauthorized" == error.code
            assert wire.CLOSE_UNAUTHORIZED == stranger.closed_with()
    with peer(url, "sesame") as holder:
        assert "waiting" == holder.control(wire.Control(do="status")).state
    assert [] == [entry for entry in system.volumes.ledger() if isinstance(entry, ledger.ControlEntry)]


def own_address() -> str:
    """Return an address of this machine that is not loopback; no packet is sent to find it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no address but loopback")
        return str(probe.getsockname()[0])


REFUSED = """
import json
from websockets.sync.client import connect
with connect("ws://server:8765", proxy=None) as stranger:
    stranger.recv()
    stranger.send('{"type":"control","do":"pause"}')
    print(json.loads(stranger.recv())["code"])
    try:
        stranger.recv()
    except Exception as closed:
        print(closed.rcvd.code)
"""


@pytest.mark.containers
def test_a_neighbouring_container_cannot_control(good_stack: GoodStack) -> None:
    """A client's container is not loopback for the server: its control request is refused with 4401."""
    output = good_stack.stack.exec("client", "python", "-c", REFUSED).stdout
    assert ["unauthorized", "4401"] == output.split()
