"""Tests of services/collector/evidence/compact_index.py."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from services.collector.evidence.compact_index import CompactIndex, IndexRow

numbers = st.integers(1, 2**53 - 1)
digests = st.integers(0, 2**32 - 1)
notes = st.builds(IndexRow, numbers, numbers, numbers, digests, digests)
entries = st.lists(st.tuples(st.tuples(st.integers(1, 3), st.integers(1, 6) | numbers), notes), max_size=40)


def of(added: list[tuple[tuple[int, int], IndexRow]]) -> CompactIndex:
    """Return an index with these rows."""
    table = CompactIndex()
    for key, note in added:
        table.add(key, note)
    return table


@given(entries, st.randoms(use_true_random=False))
def test_keeps_what_a_dictionary_of_sets_would(
    added: list[tuple[tuple[int, int], IndexRow]], dice: random.Random
) -> None:
    """In any order of adding, and however often, each row is kept once, under its block."""
    expected: dict[tuple[int, int], set[IndexRow]] = {}
    for key, note in added:
        expected.setdefault(key, set()).add(note)
    found = of(dice.sample(added * 2, 2 * len(added)))

    assert expected == {key: set(found.of(key)) for key in found}
    assert sorted(expected) == list(found)
    assert (len(expected), sum(map(len, expected.values()))) == (len(found), found.count)
    assert {key: len(each) for key, each in expected.items() if len(each) > 1} == found.repeated
    assert {session for session, _ in expected} == found.sessions


def test_shows_whether_a_note_is_new() -> None:
    """`add` returns False for a copy of a row, and True for the same block with other content."""
    table, note = CompactIndex(), IndexRow(1, 10, 10, 7, 1)

    assert [True, False, True, False, True] == [
        table.add((1, 1), note),
        table.add((1, 1), note),
        table.add((1, 1), note._replace(mark=0)),
        table.add((1, 1), note._replace(mark=0)),
        table.add((1, 2), note),
    ]
    assert [] == table.of((2, 1)) == table.of((1, 3)) == CompactIndex().of((1, 1))
    assert not CompactIndex()
