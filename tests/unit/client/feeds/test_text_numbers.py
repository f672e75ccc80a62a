"""Tests of finding numbers in texts that no path leads into."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.client.feeds.text_numbers import find_text_numbers


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        ("T,{n},1795961230220,BTC-EUR,106.25", "^T,([0-9]+)"),
        ("8=FIX.4.4\x0135=X\x0134={n}\x0152=20261129\x01", r"\x0134=([0-9]+)"),
        ('<tick seq="{n}"/>', ' seq="([0-9]+)'),
        ("evt-{n:08d}", "^evt-0*([0-9]+)"),
    ],
)
def test_a_number_in_a_text(text: str, pattern: str) -> None:
    """The number that rises is found by the word before it."""
    found = find_text_numbers([text.format(n=at) for at in range(95, 120)])

    assert found is not None
    assert pattern == found.pattern
    assert 1 == found.step


def test_a_step() -> None:
    """Numbers that rise by another step are found with it."""
    found = find_text_numbers([f"n {at}" for at in range(0, 200, 10)])

    assert found is not None
    assert ("^n ([0-9]+)", 10, "0") == found


@pytest.mark.parametrize("text", ["price {n}", "{n}", "none"])
def test_texts_without_a_number_that_rises(text: str) -> None:
    """Digits that do not rise, or that no word tells from others, are no numbers."""
    assert find_text_numbers([text.format(n=at * 7 % 5) for at in range(20)]) is None


def test_a_number_without_a_word() -> None:
    """A number that no word is before is not proposed."""
    assert find_text_numbers([f"{'x' * (at % 3)}|{at}" for at in range(20)]) is None


@given(st.lists(st.text(), max_size=8))
def test_any_text_is_read(texts: list[str]) -> None:
    """No text is an error."""
    find_text_numbers(texts)
