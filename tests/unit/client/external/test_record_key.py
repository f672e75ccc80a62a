"""Tests of the text by which a sequence is known."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.client.external.record_key import MAX_KEY_BYTES, key_of
from services.contract import block_text
from services.contract.json_path import ABSENT


@pytest.mark.parametrize(
    ("values", "key"),
    [
        (["BTC"], "BTC"),
        ([5], "5"),
        ([{"a": 1}], '{"a":1}'),
        ([None], None),
        ([ABSENT], None),
        (["x\ud83d"], "x\\ud83d"),
        (["book", "PI_XBTUSD"], "book|PI_XBTUSD"),
        (["book", 5], "book|5"),
        (["a|b", "c\\d"], r"a\|b|c\\d"),
        (["book", ABSENT], r"book|\N"),
        ([ABSENT, None], None),
    ],
)
def test_a_key_is_a_text(values: list[object], key: str | None) -> None:
    """A value of any type gives a text, several are joined, and null or nothing everywhere is no key."""
    assert key == key_of(values)


PARTS = st.lists(
    st.text(max_size=6) | st.sampled_from(["|", "\\", "\\N", "a|", "|a"]) | st.none(), min_size=2, max_size=2
)


@given(PARTS, PARTS)
def test_different_values_give_different_keys(one: list[str | None], other: list[str | None]) -> None:
    """Two lists of values have the same key only if they are the same."""
    if any(part is not None for part in one):
        assert (one == other) == (key_of(one) == key_of(other))


def test_a_key_is_bounded_by_its_json_text() -> None:
    """A key of few characters with a long JSON text is shortened too."""
    assert key_of(["\x01" * 119]) == "\x01" * 119
    assert str(key_of(["\x01" * 121])).startswith("\x01" * 80 + "…#")


def test_long_keys_that_differ_at_the_end_stay_different() -> None:
    """A key is whole up to a bound, and beyond it a beginning and a digest that differ with every character."""
    long = "x" * 700
    longer = [key_of(["x" * 5000 + end]) for end in ("a", "b")]

    assert long == key_of([long])
    assert longer[0] != longer[1]
    assert all(key is not None and key.startswith("x" * 80 + "…#") for key in longer)


@given(st.text(st.characters(codec=None), max_size=900) | st.text(st.sampled_from('\0\x1f"\\é😀'), max_size=900))
def test_the_json_of_a_key_is_bounded(value: str) -> None:
    """The JSON text of a key of any characters fits into what a block's line reserves for it."""
    key = key_of([value])

    assert key is not None
    assert len(msgspec.json.encode(key)) <= MAX_KEY_BYTES <= block_text.BESIDE_KEY - len('"key":,')
