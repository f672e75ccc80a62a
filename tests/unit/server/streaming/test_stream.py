"""Tests of the send loop, one round at a time."""

from __future__ import annotations

import asyncio
from bisect import bisect_right
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contract import wire
from services.runtime.rate_plan import Plan, Stage
from services.server.feed.batch_cache import STEP
from services.server.feed.feed import Feed
from services.server.streaming.stream import BATCHES_PER_ROUND, MIN_REST_SECONDS, Stream
from tests.unit.server.fakes import StoppedClock, admitted, feed, new_run, replace_disk


def stream(folder: Path, clock: StoppedClock, rate: float = 100, **changed: Any) -> Stream:
    """Return a running stream."""
    run = new_run(folder, clock, rate=rate, **changed)
    run.set_rate(rate)
    return Stream(run, clock)


@asynccontextmanager
async def played(made: Stream, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[asyncio.Queue[float]]:
    """Run the loop of a stream whose rounds send nothing; yield the times of the rounds, and cancel it at the end."""
    rounds: asyncio.Queue[float] = asyncio.Queue()

    def serve_nobody(now: float) -> float:
        rounds.put_nowait(now)
        return 3600.0

    monkeypatch.setattr(made, "serve_all", serve_nobody)
    task = asyncio.create_task(made.play())
    async with asyncio.timeout(5):
        yield rounds
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def received(connection: Any) -> bytes:
    """Return the records that a peer was sent since the last call."""
    frames, connection.frames = connection.frames, []
    return b"".join(wire.decode_from_server(frame)[1] for frame in frames)


def test_due_records_are_sent_to_all(tmp_path: Path, clock: StoppedClock) -> None:
    """Every client at the head is sent the same due records."""
    made = stream(tmp_path, clock)
    peers = [admitted(made, f"client-{number}")[1] for number in (1, 2)]
    clock.pass_seconds(0.095)
    made.serve_all(0)

    assert [feed().lines(1, 10)] * 2 == [received(peer) for peer in peers]
    assert (20, 2 * len(feed().lines(1, 10))) == (made.sent_records, made.sent_bytes)


def test_a_resumed_client_is_sent_from_its_cursor(tmp_path: Path, clock: StoppedClock) -> None:
    """A client that resumes is sent the records from its cursor to the head."""
    made = stream(tmp_path, clock)
    _, old = admitted(made, "client-1", after=3)
    _, new = admitted(made, "client-2", after=8)
    clock.pass_seconds(0.095)
    made.serve_all(0)

    assert (feed().lines(4, 10), feed().lines(9, 10)) == (received(old), received(new))


def test_rounds_follow_the_schedule(tmp_path: Path, clock: StoppedClock) -> None:
    """A round returns the time until the next record is due, within its bounds."""
    assert 0.01 == pytest.approx(stream(tmp_path, clock).serve_all(0))
    assert MIN_REST_SECONDS == stream(tmp_path, clock, rate=100_000).serve_all(0)
    assert 0.5 == stream(tmp_path, clock, rate=0.1).serve_all(0)
    waiting = Stream(new_run(tmp_path, clock), clock)
    assert 0.5 == waiting.serve_all(0)


def test_catching_up_takes_several_rounds(tmp_path: Path, clock: StoppedClock) -> None:
    """A client far behind is sent a few batches per round, and the next round follows at once."""
    made = stream(tmp_path, clock)
    session, peer = admitted(made)
    clock.pass_seconds(60)

    assert 0 == made.serve_all(0)
    assert BATCHES_PER_ROUND * STEP == session.sent
    while made.serve_all(0) == 0:
        pass
    assert feed().lines(1, 6000) == received(peer)


def test_a_blocked_client_is_skipped(tmp_path: Path, clock: StoppedClock) -> None:
    """A blocked client is sent nothing and delays no other; once it reads again it is sent everything."""
    made = stream(tmp_path, clock)
    _, blocked = admitted(made, "client-1")
    _, reading = admitted(made, "client-2")
    blocked.is_blocked = True
    clock.pass_seconds(0.095)

    assert 0 < made.serve_all(0)
    assert (b"", feed().lines(1, 10)) == (received(blocked), received(reading))
    blocked.is_blocked = False
    made.serve_all(0)
    assert feed().lines(1, 10) == received(blocked)


def test_nothing_is_sent_without_a_ledger(tmp_path: Path, clock: StoppedClock) -> None:
    """While the ledger is not writable no record is sent, and the loop does not spin."""
    made = stream(tmp_path, clock)
    peers = [admitted(made, f"client-{number}")[1] for number in (1, 2)]
    disk = replace_disk(made.run)
    disk.is_full = True
    clock.pass_seconds(0.095)

    assert 0 < made.serve_all(0)
    assert [b"", b""] == [received(peer) for peer in peers]
    disk.is_full = False
    made.run.ledger.flush()
    made.serve_all(0)
    assert [feed().lines(1, 10)] * 2 == [received(peer) for peer in peers]


def test_the_end_is_sent_once(tmp_path: Path, clock: StoppedClock) -> None:
    """After the last record the end is sent once."""
    made = stream(tmp_path, clock, records=10)
    _, peer = admitted(made)
    clock.pass_seconds(5)
    for now in range(5):
        made.serve_all(now)

    assert ["Records", "End"] == [type(frame).__name__ for frame in peer.received()]


def test_idle_is_sent_every_second(tmp_path: Path, clock: StoppedClock) -> None:
    """A client is sent an idle frame after a second without records, also before the start."""
    made = Stream(new_run(tmp_path, clock), clock)
    _, peer = admitted(made)
    for now in (0.5, 0.9, 1.0, 1.5, 2.0):
        made.serve_all(now)

    assert [1, 1] == [frame.next for frame in peer.received() if isinstance(frame, wire.Idle)]


def test_observers_are_served_too(tmp_path: Path, clock: StoppedClock) -> None:
    """An observer is sent the feed as a client is."""
    made = stream(tmp_path, clock)
    _, peer = admitted(made, observe=True)
    clock.pass_seconds(0.095)
    made.serve_all(0)

    assert feed().lines(1, 10) == received(peer)


def test_a_stalled_client_is_cut(tmp_path: Path, clock: StoppedClock) -> None:
    """A client that reads nothing for too long is cut off as slow; one that reads slowly is not."""
    made = stream(tmp_path, clock)
    stalled, stuck = admitted(made, "client-1")
    slow, trickle = admitted(made, "client-2")
    for peer in (stuck, trickle):
        peer.is_blocked, peer.buffered = True, 10_000
    for now in range(13):
        trickle.buffered -= 1
        made.cut_stalled(now, 10)

    assert (True, "slow") == (stuck.was_aborted, stalled.cause)
    assert (False, "lost") == (trickle.was_aborted, slow.cause)


def test_lateness_of_a_late_round(tmp_path: Path, clock: StoppedClock) -> None:
    """A late round is recorded as lateness, whether or not a client was served."""
    made = stream(tmp_path, clock)
    made.serve_all(0)
    clock.pass_seconds(0.025)
    made.serve_all(0)

    assert 15_000_000 == made.run.lateness.max


def test_the_next_run_has_no_subscriptions(tmp_path: Path, clock: StoppedClock) -> None:
    """With a new run the subscriptions to the old one are dropped."""
    made = stream(tmp_path, clock)
    _, peer = admitted(made)
    made.switch_to(new_run(tmp_path, clock))
    clock.pass_seconds(60)
    made.serve_all(0)

    assert ({}, []) == (made.subscriptions, peer.frames)


async def test_a_wake_ends_the_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop begins a round as soon as it is woken, and ends when it is cancelled."""
    clock = StoppedClock()
    made = Stream(new_run(tmp_path, clock), clock)
    async with played(made, monkeypatch) as rounds:
        await rounds.get()
        made.run.set_rate(100)
        await rounds.get()


async def test_a_requested_subscription_is_served_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A requested subscription is sent all due records without a round for the others."""
    clock = StoppedClock()
    made = stream(tmp_path, clock)
    session, peer = admitted(made, "client-1")
    _, other = admitted(made, "client-2")
    async with played(made, monkeypatch) as rounds:
        await rounds.get()
        clock.pass_seconds(60)
        made.serve_soon(session)
        for _ in range(100):
            await asyncio.sleep(0)

    assert (feed().lines(1, 6000), []) == (received(peer), other.frames)
    assert rounds.empty()


def test_a_requested_subscription_to_an_old_run_is_dropped(tmp_path: Path, clock: StoppedClock) -> None:
    """A subscription to the run before is sent nothing of the next one."""
    made = stream(tmp_path, clock)
    session, peer = admitted(made)
    made.switch_to(new_run(tmp_path, clock))
    made.run.set_rate(100)
    clock.pass_seconds(60)
    made.serve_soon(session)
    made.serve_requested(0)

    assert [] == peer.frames


def test_a_requested_subscription_waits_for_the_ledger(tmp_path: Path, clock: StoppedClock) -> None:
    """A requested subscription is sent nothing while the ledger refuses; the next round serves it."""
    made = stream(tmp_path, clock)
    session, peer = admitted(made)
    disk = replace_disk(made.run)
    disk.is_full = True
    clock.pass_seconds(0.095)
    made.serve_soon(session)
    made.serve_requested(0)

    assert [] == peer.frames
    disk.is_full = False
    made.run.ledger.flush()
    made.serve_all(0)
    assert feed().lines(1, 10) == received(peer)


stages = st.builds(
    Stage,
    st.none() | st.integers(1, 1000) | st.floats(0.5, 100),
    st.integers(1, 3000).map(lambda milliseconds: milliseconds * 1000),
)


def due_by(plan: Plan, start_us: int, total: int) -> list[int]:
    """Return when each record is due by a plan, computed record by record."""
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
def test_every_record_has_its_due_time(first: int, more: list[Stage], last: int, looks: list[int]) -> None:
    """With any plan and any times of the rounds, each record is sent once it is due, with its own due time."""
    plan = Plan((Stage(first, 500_000), *more, Stage(last, None)))
    clock, total = StoppedClock(), 1000
    with TemporaryDirectory() as folder:
        made = Stream(new_run(Path(folder), clock, rate=plan.text, records=total), clock)
        made.run.start()
        _, peer = admitted(made)
        expected = due_by(plan, made.run.recorded.schedule.segments[0].due_us, total)
        found: list[int] = []
        for look in looks:
            clock.us += look
            while made.serve_all(0) == 0:
                pass
            frames, peer.frames = peer.frames, []
            found += [due for frame in frames for due in due_of(frame)]
            due = expected[: bisect_right(expected, clock.us)]

            # Rounded down twice, once for the batch and once within it.
            assert len(due) == len(found)
            assert {-1, 0, 1} >= {one - other for one, other in zip(found, due, strict=True)}
            next_us = made.run.next_due_us(len(found))
            assert len(found) == total or next_us is not None
            assert next_us is None or clock.us < next_us <= expected[len(found)]
        made.run.ledger.close()


def due_of(frame: bytes) -> list[int]:
    """Return the due times of the records of a frame, computed as a client does."""
    header, _ = wire.decode_from_server(frame)
    if not isinstance(header, wire.Records):
        return []
    return [wire.due_us(header.due_us, place, header.rate) for place in range(header.count)]


def test_what_is_not_published_yet_is_awaited(tmp_path: Path, clock: StoppedClock) -> None:
    """Records that are due and that the feed does not have yet are not sent, and count as late when they come."""

    class Published:
        identity, schema, locale, seed, available = "published", "stream:x", "", 0, 3
        lines, digest = staticmethod(feed().lines), staticmethod(feed().digest)

    made, published = stream(tmp_path, clock), Published()
    replaced: Feed = published
    made.run.feed = replaced
    made.switch_to(made.run)
    peer = admitted(made)[1]
    clock.pass_seconds(1)
    assert 0 < made.serve_all(0) < 0.1
    assert feed().lines(1, 3) == received(peer)
    published.available = 5
    clock.pass_seconds(1)
    made.serve_all(1)

    assert feed().lines(4, 5) == received(peer)
    assert (made.run.lateness.max or 0) > 1_000_000_000
