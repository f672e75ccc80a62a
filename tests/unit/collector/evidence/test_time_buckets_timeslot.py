"""Tests of services/collector/evidence/time_buckets.py."""

from __future__ import annotations

from services.collector.evidence.time_buckets import NOTHING, BucketPart, ClientDurations, TimeBucket


def part(*latencies: int) -> BucketPart:
    """Return messages whose transit is half of their latency."""
    made = BucketPart(ClientDurations(0))
    transits = [latency // 2 for latency in latencies]
    made.add(latencies, transits, len(latencies), 10 * len(latencies))
    return made


def slot(*parts: BucketPart) -> TimeBucket:
    """Return a bucket in which clients 0, 1, 2 … received these messages."""
    made = TimeBucket()
    for number, some in enumerate(parts):
        made.add_part(number, some)
        made.add_pending(some.latency, some.transit)
    made.count_pending()
    return made


def test_a_part_adds_up_what_it_takes() -> None:
    """A bucket has the sums of messages and bytes, and all durations, of several blocks."""
    made = part(5, 9)
    made.add([700], [], 1, 3)

    assert (3, 23, 3, 2) == (made.messages, made.bytes, len(made.latency.buckets), len(made.transit.buckets))


def test_what_waits_is_counted_once() -> None:
    """Pending durations are counted once, however often they are counted."""
    made, some = TimeBucket(), part(5, 9)
    made.add_pending(some.latency, some.transit)
    before = made.latency.count
    first, _ = made.count_pending()
    again, _ = made.count_pending()

    assert (0, 2, 0, 2) == (before, first.total, again.total, made.latency.count)


def test_the_longest_of_each_client_is_kept() -> None:
    """A bucket has the longest duration of each client; negative durations count as 0, not as silence."""
    made = slot(part(5, 9), part(-3), part())

    assert [9.0, 0.0, NOTHING] == list(made.worst[0])
    assert [4.0, 0.0, NOTHING] == list(made.worst[1])


def test_two_slots_become_one() -> None:
    """A widened bucket has everything that its parts had, also of clients that are in only one of them."""
    made, other = slot(part(5, 9)), slot(part(7), part(800, 900))
    made.merge(other)
    result = made.slot(0, scheduled=True)

    assert (5, 50, 5) == (result.messages, result.bytes, sum(count for _, count in result.heat))
    assert [9.0, 900.0] == list(made.worst[0])
    assert result.latency is not None
    assert 900 == result.latency[2]
