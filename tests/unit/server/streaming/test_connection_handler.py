"""Tests of handling the frames of one connection."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosedOK

from services.contract import bounds, ledger, wire
from services.runtime.websocket_io import ArrivalTimes
from services.server.streaming import control as operator_control
from services.server.streaming.connection_handler import ConnectionHandler
from services.server.streaming.stream import Stream
from tests.unit.server.fakes import (
    START_US,
    FakeConnection,
    StoppedClock,
    admitted,
    feed,
    handler_of,
    kinds_of,
    lines_of,
    new_run,
    replace_disk,
    subscribe,
)

CONTROL = wire.Control(do="status")


@pytest.fixture
def stream(tmp_path: Path, clock: StoppedClock) -> Stream:
    """Return a running stream of 100 records a second."""
    run = new_run(tmp_path, clock, rate=100)
    run.set_rate(100)
    return Stream(run, clock)


@pytest.fixture(params=[False, True], ids=["queued", "at once"], autouse=True)
def _offers_at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every test also with texts that are offered at once, as a connection does: the result is the same."""
    monkeypatch.setattr(Peer, "offers_at_once", request.param)


class Peer(FakeConnection):
    """A peer that sends a script of frames, then closes."""

    offers_at_once = False

    def __init__(self, clock: StoppedClock, address: str = "127.0.0.1") -> None:
        super().__init__(address)
        self.arrival_times = ArrivalTimes(clock)
        self.script: list[Any] = []

    async def recv(self) -> str | bytes:
        """Return the next frame of the script; functions between the frames are called."""
        while self.script:
            scripted = self.script.pop(0)
            if callable(scripted):
                scripted()
                continue
            text = scripted if isinstance(scripted, (str, bytes)) else wire.encode(scripted).decode()
            if isinstance(text, str) and self.offers_at_once and self.take_at_once(text.encode()):
                continue
            return text
        raise ConnectionClosedOK(None, None)


async def play(stream: Stream, clock: StoppedClock, *script: Any, address: str = "127.0.0.1") -> Peer:
    """Handle a script of frames; return the peer with the frames that it was sent."""
    peer = Peer(clock, address)
    peer.script = list(script)
    await handler_of(stream, peer).run()
    return peer


def sent_before(stream: Stream, through: int = 10) -> None:
    """Record that an earlier connection of client-1 was sent the first records, and was lost."""
    session, _ = admitted(stream)
    entry = ledger.SentEntry(at=stream.run.at(), client=session.name, fence=session.fence, through=through)
    stream.run.append(entry)
    session.sent = through
    session.leave("lost")
    del stream.subscriptions[session.name]


def receipt(first: int = 1, last: int = 10, **changed: Any) -> wire.Receipt:
    """Return the correct receipt of a block, or a changed one."""
    values = {
        "session": 1, "block": 1, "first": first, "last": last, "count": last - first + 1,
        "digest": feed().digest(first, last), "took_ns": 0, **changed,
    }  # fmt: skip
    return wire.Receipt(**values)


def receipts(stream: Stream) -> list[ledger.ReceiptEntry]:
    """Return the receipts in the ledger."""
    return [entry for entry in lines_of(stream.run) if isinstance(entry, ledger.ReceiptEntry)]


def errors(peer: Peer) -> list[tuple[str, int | None]]:
    """Return the codes of the errors that a peer was sent, each with the close code."""
    return [(frame.code, peer.close_code) for frame in peer.received() if isinstance(frame, wire.Error)]


async def test_begins_with_a_welcome(stream: Stream, clock: StoppedClock) -> None:
    """A peer is sent a welcome at once, and may close without any frame."""
    peer = await play(stream, clock)

    assert ([stream.run.welcome()], None) == (peer.received(), peer.close_code)
    assert ["open", "pace"] == kinds_of(stream.run)


async def test_a_ping_is_answered(stream: Stream, clock: StoppedClock) -> None:
    """A pong has the arrival time of the ping and the time of the reply."""
    peer = await play(stream, clock, lambda: clock.pass_seconds(1), wire.Ping(t1_us=77))

    assert wire.Pong(t1_us=77, t2_us=START_US + 1_000_000, t3_us=START_US + 1_000_000) == peer.received()[1]


async def test_a_subscription_is_answered(stream: Stream, clock: StoppedClock) -> None:
    """A subscriber is sent its next record, its fence and its last receipt; a closed connection is `lost`."""
    sent_before(stream)
    peer = await play(stream, clock, subscribe(after=10), receipt(1, 10))
    again = await play(stream, clock, subscribe(after=30))

    assert wire.Subscribed(client="client-1", first=11, receipted=0, fence=2) == peer.received()[1]
    assert wire.Subscribed(client="client-1", first=31, receipted=10, fence=3) == again.received()[1]
    leaves = [entry for entry in lines_of(stream.run) if isinstance(entry, ledger.LeaveEntry)]
    assert [("lost", 1, 0), ("lost", 2, 10), ("lost", 3, 10)] == [
        (entry.cause, entry.fence, entry.receipted) for entry in leaves
    ]
    assert {} == stream.subscriptions


async def test_a_subscription_to_another_run_is_ignored(stream: Stream, clock: StoppedClock) -> None:
    """A request for another run, sent before the welcome of the current one arrived, is ignored."""
    peer = await play(stream, clock, wire.Subscribe(client="client-1", after=5, run="20251122T073000Z"))

    assert [stream.run.welcome()] == peer.received()
    assert {} == stream.run.recorded.clients


async def test_a_second_subscription_is_refused(stream: Stream, clock: StoppedClock) -> None:
    """A second subscription on a connection is refused and ends the first as a breach of protocol."""
    peer = await play(stream, clock, subscribe(), subscribe("client-2"))

    assert [("subscribed", wire.CLOSE_PROTOCOL)] == errors(peer)
    entry = lines_of(stream.run)[-1]
    assert isinstance(entry, ledger.LeaveEntry)
    assert "protocol" == entry.cause


async def test_a_taken_name_keeps_the_connection(stream: Stream, clock: StoppedClock) -> None:
    """A client whose name is taken may subscribe under another one on the same connection."""
    holder = handler_of(stream, Peer(clock))
    await holder._handle(subscribe(), 0)
    peer = await play(stream, clock, subscribe(instance="two"), subscribe("client-1~2", instance="two"))

    assert ["Welcome", "Error", "Subscribed"] == [type(frame).__name__ for frame in peer.received()]


async def test_a_correct_receipt_is_recorded(stream: Stream, clock: StoppedClock) -> None:
    """A receipt whose digest is that of the feed is recorded as a match and confirmed."""
    sent_before(stream, 20)
    peer = await play(stream, clock, subscribe(after=20), receipt(1, 10), receipt(11, 20, block=2))

    assert [True, True] == [entry.match for entry in receipts(stream)]
    assert [(1, 1, True), (1, 2, True)] == [
        (frame.session, frame.block, frame.match) for frame in peer.received() if isinstance(frame, wire.Recorded)
    ]
    assert 20 == stream.run.recorded.clients["client-1"].receipted


async def test_missing_records_are_not_in_the_digest(stream: Stream, clock: StoppedClock) -> None:
    """A receipt matches if its digest leaves out the records that it names as missing."""
    digest = feed().digest(1, 10, [(3, 4)])
    sent_before(stream)
    await play(stream, clock, subscribe(after=10), receipt(count=8, missing=[(3, 4)], digest=digest))

    assert [True] == [entry.match for entry in receipts(stream)]


@pytest.mark.parametrize("changed", [{"digest": "x00000000"}, {"count": 9}, {"missing": [(1, 1)]}])
async def test_a_wrong_receipt_is_a_mismatch(stream: Stream, clock: StoppedClock, changed: dict[str, Any]) -> None:
    """A receipt that differs from the feed is recorded and confirmed as a mismatch."""
    sent_before(stream)
    peer = await play(stream, clock, subscribe(after=10), receipt(**changed))

    assert [False] == [entry.match for entry in receipts(stream)]
    assert [False] == [frame.match for frame in peer.received() if isinstance(frame, wire.Recorded)]


async def test_a_repeated_receipt_is_ignored(stream: Stream, clock: StoppedClock) -> None:
    """A repeated receipt is confirmed as the first one was, and recorded once."""
    sent_before(stream)
    wrong = receipt(digest="x00000000")
    peer = await play(stream, clock, subscribe(after=10), wrong, receipt(), wrong)

    assert [False] == [entry.match for entry in receipts(stream)]
    assert [False, False, False] == [frame.match for frame in peer.received() if isinstance(frame, wire.Recorded)]


async def test_a_receipt_is_handled_at_once(stream: Stream, clock: StoppedClock) -> None:
    """With a subscription a receipt is handled before `recv` returns it; nothing else is, nor one that is refused."""
    sent_before(stream)
    peer = Peer(clock)
    handler = handler_of(stream, peer)
    results: list[bool] = []
    offered = [
        *(wire.encode(receipt()), wire.encode(wire.Ping(t1_us=1))),
        *(b'{"type":"receipt"}', b'{"type":"receipt",\xff'),
    ]
    before = [peer.take_at_once(text) for text in offered]
    peer.script = [subscribe(), lambda: results.extend(peer.take_at_once(text) for text in offered)]
    await handler.run()

    assert [False] * 4 == before
    assert [True, False, False, False] == results
    assert [False] * 4 == [peer.take_at_once(text) for text in offered]
    assert 1 == sum(isinstance(frame, wire.Recorded) for frame in peer.received())


async def test_receipts_are_confirmed_once_written(stream: Stream, clock: StoppedClock) -> None:
    """Neither a receipt nor its repetition is confirmed until the ledger is written."""
    sent_before(stream)
    peer = Peer(clock)
    talking = handler_of(stream, peer)
    await talking._handle(subscribe(after=10), 0)
    disk = replace_disk(stream.run)
    disk.is_full = True
    peer.frames = []
    for _ in range(2):
        await talking._handle(receipt(), 0)
    assert [] == peer.received()
    disk.is_full = False
    stream.run.ledger.flush()

    assert ["Recorded", "Recorded"] == [type(frame).__name__ for frame in peer.received()]
    assert 1 == len(disk.lines)


@pytest.mark.parametrize(
    "impossible",
    [
        receipt(11, 20),
        receipt(5, 11),
        receipt(5, 4, count=0, digest="x00000000"),
        receipt(session=2),
        receipt(count=100_001),
    ],
)
async def test_an_impossible_receipt_is_refused(stream: Stream, clock: StoppedClock, impossible: wire.Receipt) -> None:
    """A receipt for unsent records, an empty range, a later session or too many records ends the connection."""
    sent_before(stream)
    peer = await play(stream, clock, subscribe(after=10), impossible)

    assert [("bad_receipt", wire.CLOSE_PROTOCOL)] == errors(peer)
    assert [] == receipts(stream)


@pytest.mark.parametrize("before", [[], [subscribe(observe=True)]])
async def test_receipts_need_a_subscription(stream: Stream, clock: StoppedClock, before: list[Any]) -> None:
    """A receipt without a subscription, or from an observer, is refused."""
    assert [("not_subscribed", wire.CLOSE_PROTOCOL)] == errors(await play(stream, clock, *before, receipt()))
    assert ([], []) == (receipts(stream), stream.observers)


async def test_a_bye_ends_the_subscription(stream: Stream, clock: StoppedClock) -> None:
    """A bye ends the subscription, once, with the cause `bye`."""
    await play(stream, clock, subscribe(), wire.Bye(last=0), wire.Bye(last=0))

    assert ["open", "pace", "subscribe", "leave"] == kinds_of(stream.run)
    assert "bye" == stream.run.recorded.clients["client-1"].leave_cause


@pytest.mark.parametrize(
    "garbage", ["hello", "{}", '{"type":"welcome"}', "x" * 70_000, b"\xff", wire.encode(subscribe())]
)
async def test_garbage_ends_the_connection(stream: Stream, clock: StoppedClock, garbage: str | bytes) -> None:
    """A text that is no frame of a client, or any binary message, is answered with an error and ends the connection."""
    assert [("malformed", wire.CLOSE_PROTOCOL)] == errors(await play(stream, clock, garbage))


@pytest.mark.parametrize(("others_play", "retry_ms"), [(False, 500), (True, 0)])
async def test_draining(stream: Stream, clock: StoppedClock, retry_ms: int, *, others_play: bool) -> None:
    """Draining ends the subscription, and the bye states when to reconnect."""
    peer = Peer(clock)
    talking = handler_of(stream, peer)
    await talking._handle(subscribe(), 0)
    await talking.drain(others_play=others_play)

    assert wire.Bye(reason="draining", retry_ms=retry_ms) == peer.received()[-1]
    assert (wire.CLOSE_DRAINING, "draining") == (peer.close_code, stream.run.recorded.clients["client-1"].leave_cause)


async def test_the_next_run(stream: Stream, clock: StoppedClock, tmp_path: Path) -> None:
    """The next run is announced on the same connection, and the client may subscribe again."""
    peer = Peer(clock)
    talking: ConnectionHandler = handler_of(stream, peer)
    await talking._handle(subscribe(), 0)
    stream.switch_to(new_run(tmp_path, clock))
    talking.welcome()
    await talking._handle(subscribe(), 0)

    names = [(type(frame).__name__, getattr(frame, "run", None)) for frame in peer.received()]
    assert [("Subscribed", None), ("Welcome", stream.run.name), ("Subscribed", None)] == names


@pytest.mark.parametrize("operator", [True, False])
async def test_only_an_operator_controls(stream: Stream, clock: StoppedClock, *, operator: bool) -> None:
    """A control request of a peer that is no operator closes the connection with 4401."""
    peer = Peer(clock)
    peer.is_operator, peer.script = operator, [CONTROL]
    await handler_of(stream, peer).run()

    assert (None if operator else wire.CLOSE_UNAUTHORIZED) == peer.close_code
    assert ["Welcome", "Controlled" if operator else "Error"] == [type(frame).__name__ for frame in peer.received()]


async def test_a_control_request_is_carried_out(stream: Stream, clock: StoppedClock) -> None:
    """A control request is recorded with its address, carried out and answered with the status."""
    peer = await play(stream, clock, wire.Control(do="pause"), CONTROL)

    assert ["paused", "paused"] == [frame.state for frame in peer.received() if isinstance(frame, wire.Controlled)]
    control = [entry for entry in lines_of(stream.run) if isinstance(entry, ledger.ControlEntry)]
    assert [("pause", "127.0.0.1")] == [(entry.request, entry.peer) for entry in control]


async def test_a_refused_control_request_keeps_the_connection(stream: Stream, clock: StoppedClock) -> None:
    """A refused control request is answered with the reason, and the next one is handled."""
    peer = await play(stream, clock, wire.Control(do="drop", client="nobody"), CONTROL)

    assert ["Welcome", "Error", "Controlled"] == [type(frame).__name__ for frame in peer.received()]
    assert peer.close_code is None


async def test_a_fault_closes_its_connection(
    stream: Stream, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An unexpected exception is counted, logged with its traceback, and closes that connection with 1011."""
    monkeypatch.setattr(operator_control, "apply_request", lambda *_: 1 // 0)
    peer = await play(stream, clock, CONTROL)

    assert (1011, 1) == (peer.close_code, stream.refusals.counts["fault"])
    assert "ZeroDivisionError" in caplog.text


async def test_subscriptions_on_one_connection_are_bounded(stream: Stream, clock: StoppedClock) -> None:
    """A peer that subscribes and leaves repeatedly is closed at the limit."""
    script = [frame for _ in range(50) for frame in (subscribe(), wire.Bye())]
    peer = await play(stream, clock, *script)

    assert [("too_many", wire.CLOSE_PROTOCOL)] == errors(peer)
    assert bounds.SUBSCRIPTIONS.value == kinds_of(stream.run).count("subscribe")
    assert peer.is_reading


async def test_messages_are_bounded(stream: Stream, clock: StoppedClock) -> None:
    """A peer that sends more messages than its limit is sent an error and closed."""
    peer = Peer(clock)
    peer.is_within_limits, peer.script = False, [wire.Ping(t1_us=1)]
    await handler_of(stream, peer).run()

    assert [("too_many", wire.CLOSE_PROTOCOL)] == errors(peer)
    assert 1 == stream.refusals.counts["too_many"]


async def test_receipts_are_bounded(stream: Stream, clock: StoppedClock) -> None:
    """A client cannot record more receipts than its records can need."""
    sent_before(stream)
    script = [receipt(1, 1, block=number) for number in range(1, 2 * bounds.RECEIPTS.value)]
    peer = await play(stream, clock, subscribe(after=10), *script)

    assert [("too_many", wire.CLOSE_PROTOCOL)] == errors(peer)
    assert 20 + bounds.RECEIPTS.value == len(receipts(stream))


async def test_repeated_receipts_are_bounded(stream: Stream, clock: StoppedClock) -> None:
    """A client may send the receipts of all its records again on each connection, but not without end."""
    sent_before(stream)
    every = [receipt(number, number, block=number) for number in range(1, 11)]
    for _ in range(3):
        assert [] == errors(await play(stream, clock, subscribe(after=10), *every))
    peer = await play(stream, clock, subscribe(after=10), *([receipt(1, 1)] * 2 * bounds.RECEIPTS.value))

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
    """A text in a subscription that is too long, or has other characters, is malformed and not recorded."""
    peer = await play(stream, clock, f'{{"type":"subscribe","client":"client-1",{field}}}'.encode())

    assert [("malformed", wire.CLOSE_PROTOCOL)] == errors(peer)
    assert "subscribe" not in kinds_of(stream.run)
