"""Tests of one subscription: its cursor, its frames and its ledger entries."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contract import ledger, wire
from services.server.feed.batch_cache import BatchCache
from services.server.streaming.stream import Stream
from services.server.streaming.subscription import FLAT_OUT_STRIDE, MIN_STRIDE, Subscription
from tests.unit.server.fakes import (
    START_US,
    StoppedClock,
    admitted,
    feed,
    kinds_of,
    lines_of,
    new_run,
    replace_disk,
)


@pytest.fixture
def stream(tmp_path: Path) -> Stream:
    """Return a running stream of 100 records a second."""
    clock = StoppedClock()
    run = new_run(tmp_path, clock, rate=100)
    run.set_rate(100)
    return Stream(run, clock)


def batch_to(session: Subscription, last: int) -> bool:
    """Send one batch that ends at ``last`` or before."""
    schedule = session.run.recorded.schedule
    return session.send(BatchCache(feed()).batch(session.cursor, last, schedule), 0)


def strides(session: Subscription) -> list[int]:
    """Return the last seq of each `sent` entry."""
    return [entry.through for entry in lines_of(session.run) if isinstance(entry, ledger.SentEntry)]


def test_the_ledger_is_written_ahead(stream: Stream, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger allows a record to be sent before the frame is sent."""
    session, connection = admitted(stream)
    seen: list[int] = []
    monkeypatch.setattr(connection, "send_pieces", lambda *_: seen.append(strides(session)[-1]))
    for last in range(10, 400, 13):
        batch_to(session, last)
        assert seen[-1] >= session.sent


@given(st.lists(st.integers(1, 300), max_size=20))
def test_never_further_ahead_than_a_stride(steps: list[int]) -> None:
    """The ledger is never further ahead of the sent records than one stride."""
    import tempfile  # noqa: PLC0415 - Hypothesis runs many examples in one test, each in a folder of its own

    with tempfile.TemporaryDirectory() as folder:
        clock = StoppedClock()
        run = new_run(Path(folder), clock, rate=100)
        run.set_rate(100)
        session, _ = admitted(Stream(run, clock))
        for step in steps:
            batch_to(session, min(session.cursor + step - 1, 6000))
            assert session.sent <= session.recorded_through <= session.sent + 100
        run.ledger.close()


@pytest.mark.parametrize(("rate", "stride"), [(1, MIN_STRIDE), (5000, 5000), (0, FLAT_OUT_STRIDE)])
def test_a_stride_is_about_a_second(tmp_path: Path, rate: float, stride: int) -> None:
    """A stride is a second's records, with a minimum and, at rate 0, a fixed size."""
    clock = StoppedClock()
    run = new_run(tmp_path, clock, rate=rate, records=10**6)
    run.set_rate(rate)
    session, _ = admitted(Stream(run, clock))
    batch_to(session, 1)

    assert [1 + stride] == strides(session)


def test_a_stride_ends_with_the_run(stream: Stream) -> None:
    """A stride ends with the last record of the run."""
    session, _ = admitted(stream, after=5990)
    batch_to(session, 5995)

    assert [6000] == strides(session)


def test_a_header_has_due_and_send_time(stream: Stream) -> None:
    """The header has the due time of the first record and the time of this send."""
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


def test_at_rate_0_the_due_time_is_the_send_time(tmp_path: Path) -> None:
    """At rate 0 a record is due when it is sent."""
    clock = StoppedClock()
    run = new_run(tmp_path, clock, rate=0)
    run.set_rate(0)
    session, connection = admitted(Stream(run, clock))
    clock.pass_seconds(7)
    batch_to(session, 10)
    header, _ = wire.decode_from_server(connection.frames[0])

    assert isinstance(header, wire.Records)
    assert (START_US + 7_000_000, 0) == (header.due_us, header.rate)
    assert header.sent_us == header.due_us


def test_nothing_is_sent_without_a_ledger(stream: Stream) -> None:
    """While the ledger refuses, no frame is sent and the cursor does not move."""
    session, connection = admitted(stream)
    disk = replace_disk(stream.run)
    disk.is_full = True

    assert not batch_to(session, 10)
    assert ([], 1, 0) == (connection.frames, session.cursor, session.sent)
    disk.is_full = False
    stream.run.ledger.flush()
    assert batch_to(session, 10)
    assert 10 == session.sent


def test_observers_are_not_recorded(stream: Stream) -> None:
    """An observer is sent the same records and is not in the ledger."""
    session, connection = admitted(stream, observe=True)
    batch_to(session, 10)
    session.leave()

    assert 1 == len(connection.frames)
    assert ["open", "pace"] == kinds_of(stream.run)


def test_a_leave_is_recorded_once(stream: Stream) -> None:
    """The end is recorded once, with the records sent and receipted and the cause."""
    session, _ = admitted(stream)
    batch_to(session, 10)
    session.cause = "bye"
    session.leave()
    session.leave()
    leaves = [entry for entry in lines_of(stream.run) if isinstance(entry, ledger.LeaveEntry)]

    assert [("client-1", 1, 10, 0, "bye")] == [(it.client, it.fence, it.sent, it.receipted, it.cause) for it in leaves]
    assert not session.is_ready


def test_end_and_idle_frames(stream: Stream) -> None:
    """The end frame has the last record of the run, an idle frame the next record."""
    session, connection = admitted(stream, after=7)
    session.send_idle(3)
    session.send_end(4)

    assert [wire.Idle(next=8, now_us=START_US), wire.End(last=6000, count=6000)] == connection.received()
    assert (4, True) == (session.last_frame_at, session.end_was_sent)


def stalled_at(session: Subscription, now: float) -> float:
    """Let the subscription look at its peer at a time; return for how long the peer has stalled then."""
    session.update_progress(now)
    return session.stalled_seconds(now)


def test_a_stall_is_time_without_progress(stream: Stream) -> None:
    """A peer stalls while bytes wait and none are read; reading some resets the time."""
    session, connection = admitted(stream)
    assert 0 == stalled_at(session, 5)
    connection.is_blocked, connection.buffered = True, 1000
    assert 0 == stalled_at(session, 6)
    assert 4 == stalled_at(session, 10)
    connection.buffered = 999
    assert 0 == stalled_at(session, 11)
    assert 2 == stalled_at(session, 13)
    connection.is_blocked = False
    assert 0 == stalled_at(session, 20)


def test_asking_for_the_stall_changes_nothing(stream: Stream) -> None:
    """The time of a stall counts from the last update, however often it is asked for in between."""
    session, connection = admitted(stream)
    connection.is_blocked, connection.buffered = True, 1000
    session.update_progress(5)
    session.update_progress(6)

    assert [3, 94, 3] == [session.stalled_seconds(now) for now in (8, 99, 8)]


def test_a_blocked_peer_is_not_ready(stream: Stream) -> None:
    """A blocked peer is not ready."""
    session, peer = admitted(stream)
    assert session.is_ready
    peer.is_blocked = True

    assert not session.is_ready


def test_a_fast_peer_does_not_stall(stream: Stream) -> None:
    """A peer for which the same number of bytes wait, but that was sent more meanwhile, does not stall."""
    session, connection = admitted(stream)
    connection.is_blocked, connection.buffered = True, 1000
    for now in range(60):
        batch_to(session, session.cursor)
        assert 0 == stalled_at(session, now)
    stalled_at(session, 60)

    assert 5 == stalled_at(session, 64)


def test_a_cut_disconnects_the_client(stream: Stream) -> None:
    """A cut disconnects the client at once, and its cause is recorded when the subscription ends."""
    subscription, connection = admitted(stream)
    subscription.cut("slow")
    assert (True, True) == (connection.was_aborted, subscription.is_open)
    subscription.leave()

    assert "slow" == stream.run.recorded.clients["client-1"].leave_cause
