"""Tests of services/collector/evidence/time_buckets.py."""

from __future__ import annotations

from services.collector.evidence.time_buckets import NOTHING, BucketPart, ClientDurations, TimeBucket


def part(*latencies: int) -> BucketPart:
    """Return messages that were half as long on their way as they were late."""
    made = BucketPart(ClientDurations(0))
    transits = [latency // 2 for latency in latencies]
    made.add(latencies, transits, len(latencies), 10 * len(latencies))
    return made


def slot(*parts: BucketPart) -> TimeBucket:
    """Return a slot in which clients 0, 1, 2 … received these messages."""
    made = TimeBucket()
    for number, some in enumerate(parts):
        made.add_part(number, some)
        made.add_pending(some.latency, some.transit)
    made.count_pending()
    return made


def test_a_part_adds_up_what_it_takes() -> None:
    """Messages, bytes and durations of several blocks are together."""
    made = part(5, 9)
    made.add([700], [], 1, 3)

    assert (3, 23, 3, 2) == (made.messages, made.bytes, len(made.latency.buckets), len(made.transit.buckets))


def test_what_waits_is_counted_once() -> None:
    """Durations are in the tally when the slot was settled, and settling again adds nothing."""
    made, some = TimeBucket(), part(5, 9)
    made.add_pending(some.latency, some.transit)
    before = made.latency.count
    first, _ = made.count_pending()
    again, _ = made.count_pending()

    assert (0, 2, 0, 2) == (before, first.total, again.total, made.latency.count)


def test_the_longest_of_each_client_is_kept() -> None:
    """By its number; a client whose clock made all durations negative received something all the same."""
    made = slot(part(5, 9), part(-3), part())

    assert [9.0, 0.0, NOTHING] == list(made.worst[0])
    assert [4.0, 0.0, NOTHING] == list(made.worst[1])


def test_two_slots_become_one() -> None:
    """A wider slot holds all that the narrower ones held, of clients that are in one of them only, too."""
    made, other = slot(part(5, 9)), slot(part(7), part(800, 900))
    made.merge(other)
    told = made.slot(0, scheduled=True)

    assert (5, 50, 5) == (told.messages, told.bytes, sum(count for _, count in told.heat))
    assert [9.0, 900.0] == list(made.worst[0])
    assert told.latency is not None
    assert 900 == told.latency[2]
