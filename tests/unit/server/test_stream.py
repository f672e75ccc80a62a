"""Tests of the loop that sends, one turn at a time."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contract import wire
from services.runtime.rate_plan import Plan, Stage
from services.server.feed.batch_cache import STEP
from services.server.stream import _BATCHES_A_TURN, _LEAST_REST_SECONDS, Stream
from tests.unit.server.fakes import StoppedClock, admitted, feed, new_run, refuse


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


stages = st.builds(
    Stage,
    st.none() | st.integers(1, 1000) | st.floats(0.5, 100),
    st.integers(1, 3000).map(lambda milliseconds: milliseconds * 1000),
)


def due_by(plan: Plan, start_us: int, total: int) -> list[int]:
    """Return when each record is due by a plan: told record by record, as the plan reads."""
    due: list[int] = []
    begin_us = start_us
    for place, stage in enumerate(plan.stages):
        last, end_us = place == len(plan.stages) - 1, begin_us + (stage.us or 0)
        for number in range(total if stage.rate else 0):
            at_us = begin_us + int(number * 1_000_000 // (stage.rate or 1))
            if len(due) == total or (at_us >= end_us and not last):
                break
            due.append(at_us)
        begin_us = end_us
    return due


@given(
    st.integers(1, 500), st.lists(stages, max_size=4), st.integers(1, 500), st.lists(st.integers(0, 10**6), max_size=30)
)
def test_every_record_says_when_it_was_due(first: int, more: list[Stage], last: int, looks: list[int]) -> None:
    """Whatever the plan, and whenever the server looks, each record is sent once it is due, with its own due time."""
    plan = Plan((Stage(first, 500_000), *more, Stage(last, None)))
    clock, total = StoppedClock(), 1000
    with TemporaryDirectory() as folder:
        made = Stream(new_run(Path(folder), clock, rate=plan.text, records=total), clock)
        made.run.start()
        _, peer = admitted(made)
        expected = due_by(plan, made.run.book.schedule.stretches[0].due_us, total)
        for look in looks:
            clock.us += look
            while made.turn(0) == 0:
                pass
            found = [due for frame in peer.frames for due in due_of(frame)]

            # Rounded down twice, once for the batch and once within it.
            assert found == pytest.approx(expected[: bisect_right(expected, clock.us)], abs=1, rel=0)
            next_us = made.run.next_us(len(found))
            assert len(found) == total or next_us is not None
            assert next_us is None or clock.us < next_us <= expected[len(found)]
        made.run.ledger.close()


def due_of(frame: bytes) -> list[int]:
    """Return when the records of a frame were due, as a client works it out."""
    header, _ = wire.decode_from_server(frame)
    if not isinstance(header, wire.Records):
        return []
    return [wire.due_us(header.due_us, place, header.rate) for place in range(header.count)]
