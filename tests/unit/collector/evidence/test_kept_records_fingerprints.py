"""Tests of what one client received under every number."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from services.collector.evidence.kept_records import BIN, ContentFingerprints, conflicts

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
    return {number for number, _, _ in conflicts(every, None)}


@given(received, received)
def test_exactly_the_numbers_that_differ_are_found(one: list[tuple[int, int]], other: list[tuple[int, int]]) -> None:
    """Numbers that both clients hold, each with one record, and these are different."""
    first, second = ({number: {d for n, d in every if n == number} for number, _ in every} for every in (one, other))
    shared = {n for n in first.keys() & second.keys() if len(first[n]) == len(second[n]) == 1}

    assert {number for number in shared if first[number] != second[number]} == found(one, other)


@given(received, st.randoms(use_true_random=False))
def test_the_order_of_entry_does_not_matter(entries: list[tuple[int, int]], dice: random.Random) -> None:
    """The same records entered in another order leave the same."""
    shuffled = list(entries)
    dice.shuffle(shuffled)

    assert contents(entries).bins(None) == contents(shuffled).bins(None)


def test_runs_reach_over_bins() -> None:
    """Consecutive numbers are entered together, wherever they begin and end."""
    made, single = ContentFingerprints(), [(number, number) for number in range(50, 50 + 3 * BIN)]
    made.add(None, 50, [digest for _, digest in single])

    assert contents(single).bins(None) == made.bins(None)


def test_a_record_that_came_again_is_no_conflict() -> None:
    """A number that a client received twice counts once; with two different records it is not compared."""
    assert {7} == found([(5, 1), (5, 1), (6, 1), (6, 2), (7, 1)], [(5, 1), (6, 1), (7, 2)])


def test_the_clients_that_conflict_are_named() -> None:
    """The first of those that hold what most hold, and each that holds something else."""
    every = {name: contents([(70, digest)]) for name, digest in (("a", 9), ("b", 4), ("c", 4), ("d", 5))}

    assert [(70, "b", "a"), (70, "b", "d")] == list(conflicts(every, None))


def test_sequences_are_told_apart() -> None:
    """A sequence with another key is another one."""
    made = contents([(5, 1)])

    assert {} == made.bins("key")
