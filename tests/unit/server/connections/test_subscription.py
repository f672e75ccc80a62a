"""Tests of one subscription's cursor, and of what the ledger says of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contract import ledger, wire
from services.server.connections.subscription import _STRIDE_AT_LEAST, _STRIDE_FLAT_OUT, Subscription
from services.server.feed.batch_cache import BatchCache
from services.server.stream import Stream
from tests.unit.server.fakes import (
    START_US,
    StoppedClock,
    admitted,
    feed,
    kinds_of,
    lines_of,
    new_run,
    refuse,
)


@pytest.fixture
def stream(tmp_path: Path) -> Stream:
    """Return a running stream of 100 records a second."""
    clock = StoppedClock()
    run = new_run(tmp_path, clock, rate=100)
    run.pace(100)
    return Stream(run, clock)


def batch_to(session: Subscription, last: int) -> bool:
    """Send one batch that ends at ``last`` or before."""
    schedule = session.run.book.schedule
    return session.send(BatchCache(feed()).batch(session.cursor, last, schedule), 0)


def strides(session: Subscription) -> list[int]:
    """Return the strides in the ledger."""
    return [entry.through for entry in lines_of(session.run) if isinstance(entry, ledger.SentEntry)]


def test_the_ledger_is_written_ahead(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a frame goes out, the line that says it may have been sent stands in the ledger already."""
    session, connection = admitted(stream)
    seen: list[int] = []
    monkeypatch.setattr(connection, "hand_over", lambda *_: seen.append(strides(session)[-1]))
    for last in range(10, 400, 13):
        batch_to(session, last)
        assert seen[-1] >= session.sent


@given(st.lists(st.integers(1, 300), max_size=20))
def test_never_further_ahead_than_a_stride(steps: list[int]) -> None:
    """What may have been sent is never more than about a second beyond what was."""
    import tempfile  # noqa: PLC0415 - Hypothesis runs many examples in one test, each in a folder of its own

    with tempfile.TemporaryDirectory() as folder:
        clock = StoppedClock()
        run = new_run(Path(folder), clock, rate=100)
        run.pace(100)
        session, _ = admitted(Stream(run, clock))
        for step in steps:
            batch_to(session, min(session.cursor + step - 1, 6000))
            assert session.sent <= session.through <= session.sent + 100
        run.ledger.close()


@pytest.mark.parametrize(("rate", "stride"), [(1, _STRIDE_AT_LEAST), (5000, 5000), (0, _STRIDE_FLAT_OUT)])
def test_a_stride_is_about_a_second(tmp_path: Path, rate: float, stride: int) -> None:
    """A stride is a second's records, with a floor for slow runs and a fixed size flat out."""
    clock = StoppedClock()
    run = new_run(tmp_path, clock, rate=rate, records=10**6)
    run.pace(rate)
    session, _ = admitted(Stream(run, clock))
    batch_to(session, 1)

    assert [1 + stride] == strides(session)


def test_a_stride_ends_with_the_run(stream: Stream) -> None:
    """No stride claims records that the run does not have."""
    session, _ = admitted(stream, after=5990)
    batch_to(session, 5995)

    assert [6000] == strides(session)


def test_header_tells_due_and_sent(stream: Stream) -> None:
    """The header has the due time of the first record and the time of this very send."""
    session, connection = admitted(stream, after=100)
    batch_to(session, 110)
    (frame,) = connection.frames
    header, body = wire.decode_from_server(frame)

    assert isinstance(header, wire.Records)
    assert (101, 10, START_US + 1_000_000, 100, START_US) == (
        *(header.first, header.count, header.due_us, header.rate, header.sent_us),
    )
    assert wire.records_of(header, body)
    assert feed().lines(101, 110) == body
    assert (111, 110) == (session.cursor, session.sent)


def test_flat_out_due_is_sent(tmp_path: Path) -> None:
    """Without a schedule a record is due when it is sent."""
    clock = StoppedClock()
    run = new_run(tmp_path, clock, rate=0)
    run.pace(0)
    session, connection = admitted(Stream(run, clock))
    clock.pass_seconds(7)
    batch_to(session, 10)
    header, _ = wire.decode_from_server(connection.frames[0])

    assert isinstance(header, wire.Records)
    assert (START_US + 7_000_000, 0) == (header.due_us, header.rate)
    assert header.sent_us == header.due_us


def test_without_a_ledger_nothing_goes(stream: Stream) -> None:
    """While the ledger refuses the line, the frame is not sent and the cursor stands."""
    session, connection = admitted(stream)
    disk = refuse(stream.run)
    disk.full = True

    assert not batch_to(session, 10)
    assert ([], 1, 0) == (connection.frames, session.cursor, session.sent)
    disk.full = False
    stream.run.ledger.flush()
    assert batch_to(session, 10)
    assert 10 == session.sent


def test_observers_leave_no_trace(stream: Stream) -> None:
    """An observer is sent the same records, and the ledger does not know it."""
    session, connection = admitted(stream, observe=True)
    batch_to(session, 10)
    session.leave()

    assert 1 == len(connection.frames)
    assert ["open", "pace"] == kinds_of(stream.run)


def test_leaving_is_entered_once(stream: Stream) -> None:
    """A departure tells what was sent and receipted, and why; a second one is none."""
    session, _ = admitted(stream)
    batch_to(session, 10)
    session.cause = "bye"
    session.leave()
    session.leave()
    leaves = [entry for entry in lines_of(stream.run) if isinstance(entry, ledger.LeaveEntry)]

    assert [("client-1", 1, 10, 0, "bye")] == [(it.client, it.fence, it.sent, it.receipted, it.cause) for it in leaves]
    assert not session.ready


def test_end_and_idle_are_said(stream: Stream) -> None:
    """The end names the run's last record, an idle the one that comes next."""
    session, connection = admitted(stream, after=7)
    session.send_idle(3)
    session.send_end(4)

    assert [wire.Idle(next=8, now_us=START_US), wire.End(last=6000, count=6000)] == connection.said()
    assert (4, True) == (session.spoke, session.ended)


def test_a_stall_is_time_without_progress(stream: Stream) -> None:
    """A peer stalls while bytes wait and none are taken; taking some begins the count anew."""
    session, connection = admitted(stream)
    assert 0 == session.stalled_seconds(5)
    connection.blocked, connection.buffered = True, 1000
    assert 0 == session.stalled_seconds(6)
    assert 4 == session.stalled_seconds(10)
    connection.buffered = 999
    assert 0 == session.stalled_seconds(11)
    assert 2 == session.stalled_seconds(13)
    connection.blocked = False
    assert 0 == session.stalled_seconds(20)


def test_a_blocked_peer_is_not_ready(stream: Stream) -> None:
    """Who does not read is not sent to."""
    session, peer = admitted(stream)
    assert session.ready
    peer.blocked = True

    assert not session.ready


def test_a_fast_peer_does_not_stall(stream: Stream) -> None:
    """A peer that is found with as much waiting as before, but was sent more in between, has taken some."""
    session, connection = admitted(stream)
    connection.blocked, connection.buffered = True, 1000
    for now in range(60):
        batch_to(session, session.cursor)
        assert 0 == session.stalled_seconds(now)
    session.stalled_seconds(60)

    assert 5 == session.stalled_seconds(64)
