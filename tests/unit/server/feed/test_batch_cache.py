"""Tests of batches: encoded once, shared, never across a change of pace."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contract import wire
from services.contract.scalars import digest, digest_text
from services.server.feed import batch_cache
from services.server.feed.batch_cache import MAX_BODY, STEP, BatchCache, EncodedBatch
from services.server.feed.generator import FeedGenerator
from services.server.feed.schedule import RateSegment, Schedule
from tests.unit.server.fakes import feed

START = 1_000_000_000


def schedule(*firsts: int, rate: float = 100, total: int = 10_000) -> Schedule:
    """Return a schedule that changes its pace at these records."""
    made = Schedule(total)
    for number, first in enumerate(firsts):
        made.enter(RateSegment(first, START + number, rate + number if rate else 0))
    return made


def all_batches(made: Schedule, first: int, head: int) -> list[EncodedBatch]:
    """Return the batches that a client at ``first`` is sent."""
    maker, found = BatchCache(feed()), []
    while first <= head:
        found.append(maker.batch(first, head, made))
        first = found[-1].last + 1
    return found


@given(st.sets(st.integers(2, 3000), max_size=6), st.integers(1, 3000), st.integers(0, 3000))
def test_batches_cover_what_is_due(changes: set[int], first: int, count: int) -> None:
    """From any cursor to any head each record comes once, in order, and no batch spans a change of pace."""
    made = schedule(1, *sorted(changes))
    found = all_batches(made, first, first + count - 1)

    assert feed().lines(first, first + count - 1) == b"".join(batch.body for batch in found)
    for batch in found:
        assert made.stretch_of(batch.first) == made.stretch_of(batch.last)
        assert not set(range(batch.first + 1, batch.last + 1)) & changes
        assert made.due_us(batch.first) == batch.due_us
        assert digest_text(digest(batch.body)) == batch.crc


@given(st.integers(1, 5000))
def test_those_who_lag_are_brought_together(first: int) -> None:
    """A batch of a client that lags ends at a multiple of the step, so that all who lag share the next."""
    batch = BatchCache(feed()).batch(first, 10_000, schedule(1))

    assert 0 == batch.last % STEP
    assert batch.last - first < STEP


def test_a_batch_is_encoded_once() -> None:
    """Two clients at the same cursor are sent the very same bytes."""
    maker, made = BatchCache(feed()), schedule(1)

    assert maker.batch(1, 100, made).body is maker.batch(1, 100, made).body


def test_old_batches_are_forgotten() -> None:
    """What is kept is bounded, however many batches are made."""
    maker, made = BatchCache(feed()), schedule(1)
    for first in range(1, 500):
        maker.batch(first, first, made)

    assert batch_cache._KEPT == len(maker._kept)


def test_a_batch_fits_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """Large records give smaller batches, each within the frame's limit with its header."""
    large = b'{"id":1,"text":"%b"}\n' % (b"x" * 60_000)
    monkeypatch.setattr(FeedGenerator, "lines", lambda _, first, last: large * (last - first + 1))
    batch = BatchCache(feed()).batch(1, 256, schedule(1))

    assert len(batch.body) <= MAX_BODY
    assert 0 < batch.last < 256
    header = wire.Records(first=2**53 - 1, count=256, due_us=2**53 - 1, rate=1e-5, sent_us=2**53 - 1, crc=batch.crc)
    assert wire.MAX_FRAME >= len(wire.records_head(header)) + MAX_BODY


def test_flat_out_nothing_has_a_due_time() -> None:
    """Without a rate the due time is left to the moment of sending."""
    batch = BatchCache(feed()).batch(1, 10, schedule(1, rate=0))

    assert (None, 0) == (batch.due_us, batch.rate)
