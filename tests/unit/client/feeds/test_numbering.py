"""Tests of finding the sequence numbers of a feed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.client.feeds.json_columns import columns_of
from services.client.feeds.numbering import Numbering, describe, find_numbering


def found(records: list[Any], *without: str) -> Numbering | None:
    """Return the numbering of records."""
    return find_numbering(columns_of(records), without)


def ranges(*steps: int, previous: bool = False) -> list[dict[str, Any]]:
    """Return records that each cover this many numbers."""
    records, last = [], 1000
    for step in steps:
        records.append({"U": last + 1, "u": last + step, "x": "y"} | ({"pu": last} if previous else {}))
        last += step
    return records


def test_numbers_that_rise_by_one() -> None:
    """A number that is one more in each record is the sequence number, also with a few losses."""
    seqs = [*range(1, 50), *range(52, 100)]
    numbering = found([{"id": 7, "data": {"seq": seq, "price": 100 + seq % 7}} for seq in seqs])

    assert numbering is not None
    assert ("one", "$.data.seq", (), 97) == (numbering.kind, numbering.number, numbering.key, numbering.numbered)
    assert "numbers found at $.data.seq; those rise by one" == describe(numbering)


def test_ranges() -> None:
    """Where each record begins one above the end of the record before, the numbers come as ranges."""
    numbering = found(ranges(3, 1, 40, 7, 2, 9, 1, 5))

    assert numbering is not None
    assert ("range", "$.u", "$.U") == (numbering.kind, numbering.number, numbering.first)
    assert "come as ranges from $.U" in describe(numbering)


def test_links() -> None:
    """Where each record names the number before, the numbers are linked; a repeated one is a sign of life."""
    numbers = [10, 17, 17, 30, 31, 90, 200, 201, 240, 250]
    records = [{"prev": before, "next": now} for before, now in zip([-1, *numbers], numbers, strict=False)]
    numbering = found(records)

    assert numbering is not None
    assert ("link", "$.next", "$.prev") == (numbering.kind, numbering.number, numbering.previous)
    assert "each names the one before at $.prev" in describe(numbering)


@pytest.mark.parametrize(("names", "key"), [(("s",), ("$.s",)), (("s", "c"), ("$.s", "$.c"))])
def test_several_sequences(names: tuple[str, ...], key: tuple[str, ...]) -> None:
    """Numbers that rise by one only within a key have that key, of one value or of two."""
    order = "abbcabcacbaccbabacbbcabcbacacb" * 4
    counts: dict[tuple[str, ...], int] = {}
    records = []
    for turn, letter in enumerate(order):
        place = (letter, "xyy"[turn % 3])[: len(names)]
        counts[place] = counts.get(place, 100 * (ord(letter) + turn % 3 * 7)) + 1
        records.append({**dict(zip(names, place, strict=True)), "n": counts[place], "price": turn * 37 % 101})
    numbering = found(records)

    assert numbering is not None
    assert ("one", "$.n", key) == (numbering.kind, numbering.number, numbering.key)


def test_the_simplest_explanation_counts() -> None:
    """Of several numbers in all records the one that needs no key and no range is proposed."""
    numbering = found(
        [{**record, "seq": 5 + number, "k": "ab"[number % 2]} for number, record in enumerate(ranges(*range(1, 20)))]
    )

    assert numbering is not None
    assert ("one", "$.seq") == (numbering.kind, numbering.number)


def test_numbers_of_a_few_records_do_not_count() -> None:
    """A counter in a few acknowledgements is not taken for the feed's number."""
    records: list[dict[str, Any]] = [{"id": number} for number in range(4)]
    numbering = found(records + [{"seq": 50 + number} for number in range(40)])

    assert numbering is not None
    assert "$.seq" == numbering.number


def test_numbers_that_rise_by_another_step() -> None:
    """Numbers that rise by the same step, other than one, have that step; ranges of one width stay ranges."""
    numbering, as_ranges = found([{"n": 17 * number} for number in range(9)]), found(ranges(*[5] * 9))

    assert numbering is not None
    assert ("one", 17) == (numbering.kind, numbering.step)
    assert "those rise by 17" in describe(numbering)
    assert as_ranges is not None
    assert ("range", "$.u") == (as_ranges.kind, as_ranges.number)


def test_numbers_that_merely_rise() -> None:
    """Numbers that rise by any steps are named as such."""
    numbering = found([{"id": number * number} for number in range(2, 30)])

    assert numbering is not None
    assert "rising" == numbering.kind
    assert "do not show what is missing" in describe(numbering)


@pytest.mark.parametrize(
    "records",
    [[], [{"a": 1}, {"a": 2}], [{"a": "x"}] * 9, [{"a": value} for value in (5, 1, 4, 2, 8, 3)], [{"a": 7}] * 9],
)
def test_without_numbers_there_is_nothing(records: list[Any]) -> None:
    """Too few records, constants and values that go up and down are no numbers."""
    assert found(records) is None


def test_times_are_left_out() -> None:
    """Paths that are known to be times are no numbers."""
    assert found([{"t": number} for number in range(10)], "$.t") is None


@given(st.integers(0, 2**63), st.integers(4, 60), st.booleans())
def test_any_counter_is_found(first: int, count: int, as_text: bool) -> None:
    """A counter from any number on, as number or as text, is found."""
    numbering = found([{"n": str(first + at) if as_text else first + at} for at in range(count)])

    assert numbering is not None
    assert ("one", count, 1.0) == (numbering.kind, numbering.numbered, numbering.share)


@given(st.lists(st.integers(1, 50), min_size=6, max_size=40))
def test_any_ranges_are_found(steps: list[int]) -> None:
    """Ranges of any widths are found as ranges, unless nearly all are one wide."""
    assume(sum(step == 1 for step in steps[1:]) < 0.9 * (len(steps) - 1))
    numbering = found(ranges(*steps))
    assume(numbering is None or numbering.number == "$.u")  # the ends before may rise by one by chance

    assert numbering is not None
    assert ("range", "$.U") == (numbering.kind, numbering.first)
