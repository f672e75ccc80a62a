"""Tests of one connection's conversation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosedOK

from services.contract import ledger, wire
from services.runtime.websocket_io import ArrivalTimes
from services.server.connections import control as operator_control
from services.server.connections.connection_handler import SUBSCRIPTIONS_AT_ONCE, ConnectionHandler
from services.server.stream import Stream
from tests.unit.server.fakes import (
    START_US,
    FakeConnection,
    StoppedClock,
    conversation,
    feed,
    kinds_of,
    lines_of,
    new_run,
    refuse,
    subscribe,
)

CONTROL = wire.Control(do="status")


@pytest.fixture
def stream(tmp_path: Path, clock: StoppedClock) -> Stream:
    """Return a running stream of 100 records a second."""
    run = new_run(tmp_path, clock, rate=100)
    run.pace(100)
    return Stream(run, clock)


class Peer(FakeConnection):
    """A peer that says what it was given to say, then hangs up."""

    def __init__(self, clock: StoppedClock, address: str = "127.0.0.1") -> None:
        super().__init__(address)
        self.stamps = ArrivalTimes(clock)
        self.script: list[Any] = []

    async def recv(self, *, decode: bool) -> bytes:
        """Return the next thing to say; a function is called on the way."""
        while self.script and callable(self.script[0]):
            self.script.pop(0)()
        if not self.script:
            raise ConnectionClosedOK(None, None)
        said = self.script.pop(0)
        return said if isinstance(said, bytes) else wire.encode(said)


async def talk(stream: Stream, clock: StoppedClock, *script: Any, address: str = "127.0.0.1") -> Peer:
    """Hold a whole conversation; return the peer with what it was told."""
    peer = Peer(clock, address)
    peer.script = list(script)
    await conversation(stream, peer).run()
    return peer


def receipt(first: int = 1, last: int = 10, **changed: Any) -> wire.Receipt:
    """Return the true receipt of a block, or one that was changed."""
    values = {
        "session": 1, "block": 1, "first": first, "last": last, "count": last - first + 1,
        "digest": feed().digest(first, last), "took_ns": 0, **changed,
    }  # fmt: skip
    return wire.Receipt(**values)


def receipts(stream: Stream) -> list[ledger.ReceiptEntry]:
    """Return the receipts in the ledger."""
    return [entry for entry in lines_of(stream.run) if isinstance(entry, ledger.ReceiptEntry)]


def errors(peer: Peer) -> list[tuple[str, int | None]]:
    """Return the codes of the errors a peer was told, with how it was closed."""
    return [(frame.code, peer.closed) for frame in peer.said() if isinstance(frame, wire.Error)]


async def test_begins_with_a_welcome(stream: Stream, clock: StoppedClock) -> None:
    """Whoever connects is welcomed at once; leaving without a word is no fault."""
    peer = await talk(stream, clock)

    assert ([stream.run.welcome()], None) == (peer.said(), peer.closed)
    assert ["open", "pace"] == kinds_of(stream.run)


async def test_a_ping_is_answered(stream: Stream, clock: StoppedClock) -> None:
    """A pong has the time of the ping's arrival and that of the answer."""
    peer = await talk(stream, clock, lambda: clock.pass_seconds(1), wire.Ping(t1_us=77))

    assert wire.Pong(t1_us=77, t2_us=START_US + 1_000_000, t3_us=START_US + 1_000_000) == peer.said()[1]


async def test_a_subscription_is_answered(stream: Stream, clock: StoppedClock) -> None:
    """Who subscribes is told the record that comes next, its fence and the last receipt; hanging up is `lost`."""
    peer = await talk(stream, clock, subscribe(after=10), receipt(1, 10))
    again = await talk(stream, clock, subscribe(after=30))

    assert wire.Subscribed(client="client-1", first=11, receipted=0, fence=1) == peer.said()[1]
    assert wire.Subscribed(client="client-1", first=31, receipted=10, fence=2) == again.said()[1]
    leaves = [entry for entry in lines_of(stream.run) if isinstance(entry, ledger.LeaveEntry)]
    assert [("lost", 1, 10), ("lost", 2, 10)] == [(entry.cause, entry.fence, entry.receipted) for entry in leaves]
    assert {} == stream.sessions


async def test_a_subscription_to_another_run_is_passed_over(stream: Stream, clock: StoppedClock) -> None:
    """What crosses the welcome of the next run is not taken for it: the client asks again."""
    peer = await talk(stream, clock, wire.Subscribe(client="client-1", after=5, run="20251122T073000Z"))

    assert [stream.run.welcome()] == peer.said()
    assert {} == stream.run.book.clients


async def test_one_subscription_a_connection(stream: Stream, clock: StoppedClock) -> None:
    """A second subscription on a connection is refused, and the first ends as a breach of protocol."""
    peer = await talk(stream, clock, subscribe(), subscribe("client-2"))

    assert [("subscribed", wire.CLOSE_PROTOCOL)] == errors(peer)
    entry = lines_of(stream.run)[-1]
    assert isinstance(entry, ledger.LeaveEntry)
    assert "protocol" == entry.cause


async def test_a_taken_name_leaves_the_connection(stream: Stream, clock: StoppedClock) -> None:
    """Who is told that its name is taken may subscribe under another on the same connection."""
    holder = conversation(stream, Peer(clock))
    await holder._answer(subscribe(), 0)
    peer = await talk(stream, clock, subscribe(instance="two"), subscribe("client-1~2", instance="two"))

    assert ["Welcome", "Error", "Subscribed"] == [type(frame).__name__ for frame in peer.said()]


async def test_a_true_receipt_is_recorded(stream: Stream, clock: StoppedClock) -> None:
    """A receipt whose digest is the feed's own is entered as a match, and the client is told."""
    peer = await talk(stream, clock, subscribe(after=20), receipt(1, 10), receipt(11, 20, block=2))

    assert [True, True] == [entry.match for entry in receipts(stream)]
    assert [(1, 1, True), (1, 2, True)] == [
        (frame.session, frame.block, frame.match) for frame in peer.said() if isinstance(frame, wire.Recorded)
    ]
    assert 20 == stream.run.book.clients["client-1"].receipted


async def test_missing_records_are_not_in_the_digest(stream: Stream, clock: StoppedClock) -> None:
    """A receipt that names what is missing matches when its digest leaves these out."""
    digest = feed().digest(1, 10, [(3, 4)])
    await talk(stream, clock, subscribe(after=10), receipt(count=8, missing=[(3, 4)], digest=digest))

    assert [True] == [entry.match for entry in receipts(stream)]


@pytest.mark.parametrize("changed", [{"digest": "x00000000"}, {"count": 9}, {"missing": [(1, 1)]}])
async def test_a_wrong_receipt_is_entered_as_such(stream: Stream, clock: StoppedClock, changed: dict[str, Any]) -> None:
    """A receipt that does not agree with the feed is entered as a mismatch, and the client is told."""
    peer = await talk(stream, clock, subscribe(after=10), receipt(**changed))

    assert [False] == [entry.match for entry in receipts(stream)]
    assert [False] == [frame.match for frame in peer.said() if isinstance(frame, wire.Recorded)]


async def test_a_repeated_receipt_is_ignored(stream: Stream, clock: StoppedClock) -> None:
    """A repeat is answered as the first was, whatever it says, and entered once."""
    wrong = receipt(digest="x00000000")
    peer = await talk(stream, clock, subscribe(after=10), wrong, receipt(), wrong)

    assert [False] == [entry.match for entry in receipts(stream)]
    assert [False, False, False] == [frame.match for frame in peer.said() if isinstance(frame, wire.Recorded)]


async def test_nothing_is_recorded_before_it_is_written(stream: Stream, clock: StoppedClock) -> None:
    """While the ledger refuses, neither a receipt nor its repeat is answered; both are when it has been written."""
    peer = Peer(clock)
    talking = conversation(stream, peer)
    await talking._answer(subscribe(after=10), 0)
    disk = refuse(stream.run)
    disk.full = True
    peer.frames = []
    for _ in range(2):
        await talking._answer(receipt(), 0)
    assert [] == peer.said()
    disk.full = False
    stream.run.ledger.flush()

    assert ["Recorded", "Recorded"] == [type(frame).__name__ for frame in peer.said()]
    assert 1 == len(disk.lines)


@pytest.mark.parametrize(
    "impossible",
    [receipt(11, 20), receipt(5, 4, count=0, digest="x00000000"), receipt(session=2), receipt(count=100_001)],
)
async def test_an_impossible_receipt_is_refused(stream: Stream, clock: StoppedClock, impossible: wire.Receipt) -> None:
    """A receipt for what was never sent, for no range, of a session to come, or without measure is the end."""
    peer = await talk(stream, clock, subscribe(after=10), impossible)

    assert [("bad_receipt", wire.CLOSE_PROTOCOL)] == errors(peer)
    assert [] == receipts(stream)


@pytest.mark.parametrize("before", [[], [subscribe(observe=True)]])
async def test_receipts_are_for_subscribers(stream: Stream, clock: StoppedClock, before: list[Any]) -> None:
    """Who has not subscribed, and who observes, has nothing to receipt."""
    assert [("not_subscribed", wire.CLOSE_PROTOCOL)] == errors(await talk(stream, clock, *before, receipt()))
    assert ([], []) == (receipts(stream), stream.observers)


async def test_goodbye_is_a_departure(stream: Stream, clock: StoppedClock) -> None:
    """Who says goodbye has left, once, on purpose."""
    await talk(stream, clock, subscribe(), wire.Bye(last=0), wire.Bye(last=0))

    assert ["open", "pace", "subscribe", "leave"] == kinds_of(stream.run)
    assert "bye" == stream.run.book.clients["client-1"].left


@pytest.mark.parametrize("garbage", [b"hello", b"\xff", b"{}", b'{"type":"welcome"}', b"x" * 70_000])
async def test_garbage_ends_the_connection(stream: Stream, clock: StoppedClock, garbage: bytes) -> None:
    """What is no frame of a client is answered with what is wrong with it, and the connection ends."""
    assert [("malformed", wire.CLOSE_PROTOCOL)] == errors(await talk(stream, clock, garbage))


async def test_drain_says_goodbye(stream: Stream, clock: StoppedClock) -> None:
    """When the server stops, the subscription ends as drained and the client is told when to return."""
    peer = Peer(clock)
    talking = conversation(stream, peer)
    await talking._answer(subscribe(), 0)
    await talking.drain()

    assert wire.Bye(reason="draining", retry_ms=500) == peer.said()[-1]
    assert (wire.CLOSE_DRAINING, "draining") == (peer.closed, stream.run.book.clients["client-1"].left)


async def test_a_next_run_is_welcomed(stream: Stream, clock: StoppedClock, tmp_path: Path) -> None:
    """A new run is announced on the same connection, and the client may subscribe again."""
    peer = Peer(clock)
    talking: ConnectionHandler = conversation(stream, peer)
    await talking._answer(subscribe(), 0)
    stream.begin(new_run(tmp_path, clock))
    talking.welcome()
    await talking._answer(subscribe(), 0)

    names = [(type(frame).__name__, getattr(frame, "run", None)) for frame in peer.said()]
    assert [("Subscribed", None), ("Welcome", stream.run.name), ("Subscribed", None)] == names


@pytest.mark.parametrize("operator", [True, False])
async def test_only_an_operator_controls(stream: Stream, clock: StoppedClock, *, operator: bool) -> None:
    """Whether a peer may control the run was decided when it connected; who may not is closed with 4401."""
    peer = Peer(clock)
    peer.operator, peer.script = operator, [CONTROL]
    await conversation(stream, peer).run()

    assert (None if operator else wire.CLOSE_UNAUTHORIZED) == peer.closed
    assert ["Welcome", "Controlled" if operator else "Error"] == [type(frame).__name__ for frame in peer.said()]


async def test_a_wish_is_granted(stream: Stream, clock: StoppedClock) -> None:
    """A wish is entered with the address it came from, fulfilled, and answered with how the run stands then."""
    peer = await talk(stream, clock, wire.Control(do="pause"), CONTROL)

    assert ["paused", "paused"] == [frame.state for frame in peer.said() if isinstance(frame, wire.Controlled)]
    control = [entry for entry in lines_of(stream.run) if isinstance(entry, ledger.ControlEntry)]
    assert [("pause", "127.0.0.1")] == [(entry.request, entry.peer) for entry in control]


async def test_a_slip_of_the_hand_costs_no_connection(stream: Stream, clock: StoppedClock) -> None:
    """A wish that cannot be granted is answered with why, and the next one on the same connection is heard."""
    peer = await talk(stream, clock, wire.Control(do="drop", client="nobody"), CONTROL)

    assert ["Welcome", "Error", "Controlled"] == [type(frame).__name__ for frame in peer.said()]
    assert peer.closed is None


async def test_a_fault_ends_its_own_connection(
    stream: Stream, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What this server fails on is counted, logged with its traceback, and closes that one connection with 1011."""
    monkeypatch.setattr(operator_control, "grant", lambda *_: 1 // 0)
    peer = await talk(stream, clock, CONTROL)

    assert (1011, 1) == (peer.closed, stream.refusals.counts["fault"])
    assert "ZeroDivisionError" in caplog.text


async def test_subscriptions_on_one_connection_are_bounded(stream: Stream, clock: StoppedClock) -> None:
    """Who subscribes and leaves over and over is closed before the ledger has many lines of it."""
    script = [frame for _ in range(50) for frame in (subscribe(), wire.Bye())]
    peer = await talk(stream, clock, *script)

    assert [("too_many", wire.CLOSE_PROTOCOL)] == errors(peer)
    assert SUBSCRIPTIONS_AT_ONCE == kinds_of(stream.run).count("subscribe")
    assert peer.reading


async def test_messages_are_bounded(stream: Stream, clock: StoppedClock) -> None:
    """A peer that sends more than its share is told so and closed."""
    peer = Peer(clock)
    peer.allows, peer.script = False, [wire.Ping(t1_us=1)]
    await conversation(stream, peer).run()

    assert [("too_many", wire.CLOSE_PROTOCOL)] == errors(peer)
    assert 1 == stream.refusals.counts["too_many"]


async def test_receipts_are_bounded(stream: Stream, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """No client has more receipts in the ledger than its records can need."""
    monkeypatch.setattr("services.server.connections.connection_handler.MORE_RECEIPTS", -10)
    script = [receipt(1, 10, block=number) for number in range(1, 50)]
    peer = await talk(stream, clock, subscribe(after=10), *script)

    assert [("too_many", wire.CLOSE_PROTOCOL)] == errors(peer)
    assert 10 == len(receipts(stream))


@pytest.mark.parametrize(
    "field",
    [
        '"instance":"' + "x" * 65 + '"',
        '"instance":"a b"',
        '"boot":"' + "x" * 65 + '"',
        '"run":"yesterday"',
        '"run":"' + "2" * 60_000 + '"',
    ],
)
async def test_texts_of_a_subscription_are_bounded(stream: Stream, clock: StoppedClock, field: str) -> None:
    """A text that is longer than any process needs, or of other characters, is malformed and in no ledger."""
    peer = await talk(stream, clock, f'{{"type":"subscribe","client":"client-1",{field}}}'.encode())

    assert [("malformed", wire.CLOSE_PROTOCOL)] == errors(peer)
    assert "subscribe" not in kinds_of(stream.run)
