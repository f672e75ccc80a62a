"""Tests of the loop that sends, one turn at a time."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from services.contract import wire
from services.server.batches import STEP
from services.server.stream import _BATCHES_A_TURN, _LEAST_REST_SECONDS, Stream
from tests.unit.server.stand import StoppedClock, admitted, feed, new_run, refuse


@pytest.fixture
def clock() -> StoppedClock:
    """Return a clock at the start."""
    return StoppedClock()


def stream(folder: Path, clock: StoppedClock, rate: float = 100, **changed: Any) -> Stream:
    """Return a running stream."""
    run = new_run(folder, clock, rate=rate, **changed)
    run.pace(rate)
    return Stream(run, clock)


def received(connection: Any) -> bytes:
    """Return the records that a peer was sent, and forget the frames."""
    frames, connection.frames = connection.frames, []
    return b"".join(wire.decode_from_server(frame)[1] for frame in frames)


def test_what_is_due_goes_to_everybody(tmp_path: Path, clock: StoppedClock) -> None:
    """Every client at the head is sent what is due, the very same bytes of records."""
    made = stream(tmp_path, clock)
    peers = [admitted(made, f"client-{number}")[1] for number in (1, 2)]
    clock.pass_seconds(0.095)
    made.turn(0)

    assert [feed().lines(1, 10)] * 2 == [received(peer) for peer in peers]
    assert (20, 2 * len(feed().lines(1, 10))) == (made.delivered, made.sent_bytes)


def test_a_cursor_is_all_that_differs(tmp_path: Path, clock: StoppedClock) -> None:
    """A client that resumes is sent from its own cursor on, until it is at the head with the others."""
    made = stream(tmp_path, clock)
    _, old = admitted(made, "client-1", after=3)
    _, new = admitted(made, "client-2", after=8)
    clock.pass_seconds(0.095)
    made.turn(0)

    assert (feed().lines(4, 10), feed().lines(9, 10)) == (received(old), received(new))


def test_turns_are_timed_by_the_schedule(tmp_path: Path, clock: StoppedClock) -> None:
    """A turn says when the next record is due, within the tick and half a second."""
    assert 0.01 == pytest.approx(stream(tmp_path, clock).turn(0))
    assert _LEAST_REST_SECONDS == stream(tmp_path, clock, rate=100_000).turn(0)
    assert 0.5 == stream(tmp_path, clock, rate=0.1).turn(0)
    waiting = Stream(new_run(tmp_path, clock), clock)
    assert 0.5 == waiting.turn(0)


def test_catching_up_takes_turns(tmp_path: Path, clock: StoppedClock) -> None:
    """Who is far behind gets a few batches a turn, and the next turn follows at once."""
    made = stream(tmp_path, clock)
    session, peer = admitted(made)
    clock.pass_seconds(60)

    assert 0 == made.turn(0)
    assert _BATCHES_A_TURN * STEP == session.sent
    while made.turn(0) == 0:
        pass
    assert feed().lines(1, 6000) == received(peer)


def test_a_blocked_client_is_skipped(tmp_path: Path, clock: StoppedClock) -> None:
    """A client that does not read is sent nothing and holds nobody up; unblocked, it gets all it lacks."""
    made = stream(tmp_path, clock)
    _, blocked = admitted(made, "client-1")
    _, reading = admitted(made, "client-2")
    blocked.blocked = True
    clock.pass_seconds(0.095)

    assert 0 < made.turn(0)
    assert (b"", feed().lines(1, 10)) == (received(blocked), received(reading))
    blocked.blocked = False
    made.turn(0)
    assert feed().lines(1, 10) == received(blocked)


def test_an_unwritable_ledger_sends_nothing(tmp_path: Path, clock: StoppedClock) -> None:
    """While the ledger refuses, no client is sent a record, and the loop does not spin."""
    made = stream(tmp_path, clock)
    peers = [admitted(made, f"client-{number}")[1] for number in (1, 2)]
    disk = refuse(made.run)
    disk.full = True
    clock.pass_seconds(0.095)

    assert 0 < made.turn(0)
    assert [b"", b""] == [received(peer) for peer in peers]
    disk.full = False
    made.run.ledger.flush()
    made.turn(0)
    assert [feed().lines(1, 10)] * 2 == [received(peer) for peer in peers]


def test_the_end_is_said_once(tmp_path: Path, clock: StoppedClock) -> None:
    """After the last record the end is said, once, and silence follows."""
    made = stream(tmp_path, clock, records=10)
    _, peer = admitted(made)
    clock.pass_seconds(5)
    for now in range(5):
        made.turn(now)

    assert ["Records", "End"] == [type(frame).__name__ for frame in peer.said()]


def test_idle_is_said_every_second(tmp_path: Path, clock: StoppedClock) -> None:
    """When nothing is due for a second the client is told what comes next, also before the start."""
    made = Stream(new_run(tmp_path, clock), clock)
    _, peer = admitted(made)
    for now in (0.5, 0.9, 1.0, 1.5, 2.0):
        made.turn(now)

    assert [1, 1] == [frame.next for frame in peer.said() if isinstance(frame, wire.Idle)]


def test_observers_are_served_too(tmp_path: Path, clock: StoppedClock) -> None:
    """An observer gets the feed like a client."""
    made = stream(tmp_path, clock)
    _, peer = admitted(made, observe=True)
    clock.pass_seconds(0.095)
    made.turn(0)

    assert feed().lines(1, 10) == received(peer)


def test_a_stalled_client_is_cut(tmp_path: Path, clock: StoppedClock) -> None:
    """Who takes no byte for too long is cut off as slow; who reads, however slowly, is not."""
    made = stream(tmp_path, clock)
    stalled, stuck = admitted(made, "client-1")
    slow, trickle = admitted(made, "client-2")
    for peer in (stuck, trickle):
        peer.blocked, peer.buffered = True, 10_000
    for now in range(13):
        trickle.buffered -= 1
        made.cut_stalled(now, 10)

    assert (True, "slow") == (stuck.aborted, stalled.cause)
    assert (False, "lost") == (trickle.aborted, slow.cause)


def test_lateness_is_the_servers_own(tmp_path: Path, clock: StoppedClock) -> None:
    """A turn that comes late shows in the lateness by as much, whether or not anybody was served."""
    made = stream(tmp_path, clock)
    made.turn(0)
    clock.pass_seconds(0.025)
    made.turn(0)

    assert 15_000_000 == made.run.lateness.max


def test_the_next_run_starts_afresh(tmp_path: Path, clock: StoppedClock) -> None:
    """With a new run the sessions of the old one are forgotten."""
    made = stream(tmp_path, clock)
    _, peer = admitted(made)
    made.begin(new_run(tmp_path, clock))
    clock.pass_seconds(60)
    made.turn(0)

    assert ({}, []) == (made.sessions, peer.frames)


async def test_a_wake_ends_the_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop turns again as soon as something has changed, and ends when it is cancelled."""
    clock = StoppedClock()
    made = Stream(new_run(tmp_path, clock), clock)
    turns: asyncio.Queue[float] = asyncio.Queue()

    def counted(now: float) -> float:
        turns.put_nowait(now)
        return 3600.0

    monkeypatch.setattr(made, "turn", counted)
    task = asyncio.create_task(made.play())
    async with asyncio.timeout(5):
        await turns.get()
        made.run.pace(100)
        await turns.get()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_call_serves_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is called is sent all it lacks, over as many looks as it takes, and nobody else is looked at."""
    clock = StoppedClock()
    made = stream(tmp_path, clock)
    session, peer = admitted(made, "client-1")
    _, other = admitted(made, "client-2")
    turns: asyncio.Queue[float] = asyncio.Queue()

    def counted(now: float) -> float:
        turns.put_nowait(now)
        return 3600.0

    monkeypatch.setattr(made, "turn", counted)
    task = asyncio.create_task(made.play())
    async with asyncio.timeout(5):
        await turns.get()
        clock.pass_seconds(60)
        made.call(session)
        for _ in range(100):
            await asyncio.sleep(0)
    task.cancel()

    assert (feed().lines(1, 6000), []) == (received(peer), other.frames)
    assert turns.empty()


def test_a_call_in_the_run_before_is_void(tmp_path: Path, clock: StoppedClock) -> None:
    """A session whose run is over is sent nothing of the next one."""
    made = stream(tmp_path, clock)
    session, peer = admitted(made)
    made.begin(new_run(tmp_path, clock))
    made.run.pace(100)
    clock.pass_seconds(60)
    made.call(session)
    made.serve_called(0)

    assert [] == peer.frames


def test_a_call_waits_for_the_ledger(tmp_path: Path, clock: StoppedClock) -> None:
    """While the ledger refuses, who is called is sent nothing; the turn after that serves it."""
    made = stream(tmp_path, clock)
    session, peer = admitted(made)
    disk = refuse(made.run)
    disk.full = True
    clock.pass_seconds(0.095)
    made.call(session)
    made.serve_called(0)

    assert [] == peer.frames
    disk.full = False
    made.run.ledger.flush()
    made.turn(0)
    assert feed().lines(1, 10) == received(peer)
