"""Compares clients of a feed without numbers whose few contents recur, so that no record shows which part is the same.

Two things can be compared: how many records each received over the same time, and in which turn the contents recur.
Records of two timers, such as heartbeats that each connection has of its own, differ in both by chance.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import sqrt
from statistics import median

from services.collector.evidence.comparison.unnumbered_records import ConnectionContents
from services.collector.results.client_result import IN_FLIGHT_US
from services.collector.results.run_result import RecurringDifference

LEAST, DEVIATIONS = 10, 4
"""Counts that differ by no more than this, and so many times the root of the count, may differ by chance."""
LEAST_US = 2_000_000
"""Shortest time over which counts are compared."""
LOOKS, PART = 16, 8
"""How often the counts are looked at in each eighth at the beginning and at the end of the common time."""
TURNS, USUAL = 8, 0.9
"""A content that another one followed this often and always, at the other client, and nearly always at this one, has a
turn."""


def chance(count: int) -> int:
    """Return by how many records two counts of about this size may differ by chance."""
    return LEAST + round(DEVIATIONS * sqrt(count))


def compared(
    one: ConnectionContents, other: ConnectionContents, until_us: int, names: tuple[str, str]
) -> RecurringDifference:
    """Return what the first connection lacks beside the second one.

    Args:
        one: the first connection.
        other: the second one.
        until_us: until when both were open, and nothing was in flight; epoch microseconds.
        names: of their clients.
    """
    since_us = max(one.first_us, other.first_us)
    count, fewer = _fewer(one, other, since_us, until_us)
    return RecurringDifference(
        client=names[0],
        other=names[1],
        records=count,
        fewer=fewer if fewer > chance(count) else 0,
        out_of_turn=_out_of_turn(_later(one), _later(other)),
        chance=chance(count),
    )


def _fewer(one: ConnectionContents, other: ConnectionContents, since_us: int, until_us: int) -> tuple[int, int]:
    """Return how many records the second connection brought in a time, and how many fewer the first one did."""
    if until_us - since_us < LEAST_US:
        return 0, 0
    step = (until_us - since_us) / PART / LOOKS
    early = [since_us + step * at for at in range(LOOKS)]
    late = [until_us - step * at for at in range(LOOKS)]
    ahead = [median(_count(other, at) - _count(one, at) for at in part) for part in (early, late)]
    return round(_count(other, until_us) - _count(other, since_us)), round(ahead[1] - ahead[0])


def _count(connection: ConnectionContents, at_us: float) -> float:
    """Return how many records had come at a time, in between two blocks in proportion to the time."""
    blocks = connection.blocks
    after = bisect_left(blocks, at_us, key=lambda block: block[2])
    if after == len(blocks):
        return len(connection.digests)
    begin, begin_us = (blocks[after - 1][1], blocks[after - 1][2]) if after else (0, connection.first_us)
    _, end, end_us = blocks[after]
    return begin + (end - begin) * max(at_us - begin_us, 0) / max(end_us - begin_us, 1)


def _later(connection: ConnectionContents) -> array[int]:
    """Return the records after those with which the connection began, which may be earlier ones sent again."""
    return connection.digests[connection.count_until(connection.first_us + IN_FLIGHT_US) :]


def _out_of_turn(one: Sequence[int], other: Sequence[int]) -> int:
    """Return how many records of one connection came after another one than they always did on the other connection."""
    both = set(one) & set(other)
    turns, usual = _followers(one, both), _followers(other, both)
    found = 0
    for digest, followers in usual.items():
        (following, often) = followers.most_common(1)[0]
        here = turns.get(digest, Counter())
        is_regular = len(followers) == 1 and often >= TURNS and here[following] >= USUAL * here.total()
        found += here.total() - here[following] if is_regular else 0
    return found


def _followers(digests: Sequence[int], both: set[int]) -> Mapping[int, Counter[int]]:
    """Return how often each content followed each, of those that both connections have."""
    found: dict[int, Counter[int]] = {}
    for (before, after), count in Counter(pairwise(digest for digest in digests if digest in both)).items():
        found.setdefault(before, Counter())[after] += count
    return found
