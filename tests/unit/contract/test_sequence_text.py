"""Tests of the JSON form of sequence numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contract.sequence_text import has_text, integer, seq_text, span_text


@given(st.integers(0, 2**64 - 1))
def test_a_number_survives_being_written(number: int) -> None:
    """A number in its JSON form is read as the same number."""
    assert number == integer(seq_text(number))


@pytest.mark.parametrize(("number", "text"), [(0, 0), (2**53 - 1, 2**53 - 1), (2**53, str(2**53))])
def test_large_numbers_are_texts(number: int, text: int | str) -> None:
    """A number is a text from 2^53 on, since JSON readers may round an integer."""
    assert text == seq_text(number)
    assert (text, text) == span_text((number, number))


def test_texts_are_found_among_numbers() -> None:
    """`has_text` distinguishes texts from integers and from None."""
    assert has_text([1, None, "2"])
    assert not has_text([1, None])
    assert integer(None) is None
