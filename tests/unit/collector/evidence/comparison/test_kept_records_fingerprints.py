"""Tests of the fingerprints of one client's records."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from services.collector.evidence.comparison.kept_records import BIN, ContentFingerprints, conflicts

received = st.lists(st.tuples(st.integers(0, 3 * BIN), st.integers(1, 3)), max_size=40)


def contents(entries: list[tuple[int, int]]) -> ContentFingerprints:
    """Return the fingerprints of records that are added one by one."""
    made = ContentFingerprints()
    for number, digest in entries:
        made.add(None, number, [digest])
    return made


def found(*clients: list[tuple[int, int]]) -> set[int]:
    """Return the numbers under which clients conflict."""
    every = {f"client-{number}": contents(one) for number, one in enumerate(clients, 1)}
    return {number for number, _, _ in conflicts(every, None, {})}


@given(received, received)
def test_exactly_the_numbers_that_differ_are_found(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    """A number conflicts if both clients have one record of it and these differ."""
    first, second = ({number: {d for n, d in every if n == number} for number, _ in every} for every in (one, other))
    shared = {n for n in first.keys() & second.keys() if len(first[n]) == len(second[n]) == 1}

    assert {number for number in shared if first[number] != second[number]} == found(one, other)


@given(received, st.randoms(use_true_random=False))
def test_the_order_of_entry_does_not_matter(entries: list[tuple[int, int]], dice: random.Random) -> None:
    """The fingerprints do not depend on the order in which records are added."""
    shuffled = list(entries)
    dice.shuffle(shuffled)

    assert contents(entries).bins(None) == contents(shuffled).bins(None)


def test_runs_reach_over_bins() -> None:
    """Consecutive numbers are added together, wherever they begin and end."""
    made, single = ContentFingerprints(), [(number, number) for number in range(50, 50 + 3 * BIN)]
    made.add(None, 50, [digest for _, digest in single])

    assert contents(single).bins(None) == made.bins(None)


def test_a_record_that_came_again_is_no_conflict() -> None:
    """A record received twice is compared once; a number with two different records is not compared."""
    assert {7} == found([(5, 1), (5, 1), (6, 1), (6, 2), (7, 1)], [(5, 1), (6, 1), (7, 2)])


def test_the_clients_that_conflict_are_named() -> None:
    """A conflict names the first client with the most frequent record, and each client with another one."""
    every = {name: contents([(70, digest)]) for name, digest in (("a", 9), ("b", 4), ("c", 4), ("d", 5))}

    assert [(70, "b", "a"), (70, "b", "d")] == list(conflicts(every, None, {}))


@given(st.lists(st.tuples(st.integers(1, 3), st.booleans()), min_size=2, max_size=5))
def test_records_of_one_kind_are_compared_whatever_the_others_are(records: list[tuple[int, bool]]) -> None:
    """Different records conflict if both are first ones over a connection, or neither is, with any other clients."""
    every = {f"client-{number}": contents([(7, digest)]) for number, (digest, _) in enumerate(records)}
    openings = {name: {7} for name, (_, is_first) in zip(every, records, strict=True) if is_first}
    pairs = [(one, other) for _, one, other in conflicts(every, None, openings)]

    expected = any(len({digest for digest, kind in records if kind == is_first}) > 1 for is_first in (True, False))
    assert expected == any((one in openings) == (other in openings) for one, other in pairs)
    assert (len({digest for digest, _ in records}) > 1) == bool(pairs)


def test_sequences_are_distinguished() -> None:
    """A sequence with another key is another sequence."""
    made = contents([(5, 1)])

    assert {} == made.bins("key")
