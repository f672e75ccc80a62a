"""Tests of reading a record's sequence number."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.client.external.record_values import MAX_NUMBER, linked_number, sequence_number, text_of


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (0, 0), (2**53, 2**53), (MAX_NUMBER, MAX_NUMBER), (4.0, 4), (float(2**53 - 1), 2**53 - 1),
        ("17", 17), ("00000000000004000001", 4_000_001), (str(MAX_NUMBER), MAX_NUMBER), ("0" * 30 + "5", 5),
        ("17.0", 17), ("0x1b4", 436), ("0X00ff", 255), ("0xffffffffffffffff", MAX_NUMBER), ("0", 0), ("0x0", 0),
        ("1700000000000000001", 1_700_000_000_000_000_001), (1.7e15, 1_700_000_000_000_000),
    ],
)  # fmt: skip
def test_the_usual_forms_are_numbers(found: object, expected: int) -> None:
    """A 64-bit integer, a text of digits with leading zeros, and an exact float are valid numbers."""
    assert expected == sequence_number(found, "$.seq")[0]


@pytest.mark.parametrize(
    "found",
    [
        -1, MAX_NUMBER + 1, str(MAX_NUMBER + 1), "0" * 65, "0x", "0x1g", "0x1ffffffffffffffff",
        "17.5", "1e3", "x", "", "-1", " 1", "１", True, None, 4.5,
        float(2**53), 1.7e18, float("nan"), float("inf"), [1], {"a": 1}, "\ud83d",
    ],
)  # fmt: skip
def test_a_value_that_is_no_number_is_refused_with_its_path(found: object) -> None:
    """Any other value is refused with a remark that is short and can be encoded."""
    seq, remark = sequence_number(found, "$.seq")

    assert seq is None
    assert remark is not None
    assert " at $.seq is no " in remark
    assert len(remark.encode()) < 200


@given(st.integers(0, MAX_NUMBER))
def test_a_number_and_its_text_are_the_same(number: int) -> None:
    """A number is read the same whether its record has it as a number or as a text."""
    assert (number, None) == sequence_number(number, "$.seq")
    assert number == sequence_number(str(number), "$.seq")[0]
    assert number == sequence_number(f"{number:030d}", "$.seq")[0]
    assert number == sequence_number(hex(number), "$.seq")[0]


def test_a_value_nested_too_deeply_is_shown_by_its_kind() -> None:
    """A value that cannot be encoded as JSON raises no error."""
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]

    assert "something too long (list)" == text_of(deep)


def test_a_number_of_too_many_digits_is_shown_by_its_kind() -> None:
    """An integer with more digits than Python prints raises no error."""
    assert (None, "something too long (int) at $.seq is no number from 0 to 2^64 - 1") == sequence_number(
        10**5000, "$.seq"
    )


@pytest.mark.parametrize(
    ("value", "number"),
    [(17, 17), ("17", 17), (0, 0), (-1, -1), (-5, -1), ("-1", -1), (-1.0, -1), (None, None), ("", None), (True, None)],
)
def test_a_number_beside_the_sequence_number_may_name_none(value: Any, number: int | None) -> None:
    """A negative number names no record before and is -1; a value that is no number is none."""
    assert number == linked_number(value)
