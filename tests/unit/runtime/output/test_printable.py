"""Tests of services/runtime/output/printable.py."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.runtime.output import printable

ACTIVE = "\x00\x07\x08\r\x1b\x7f\x85\x9b\u061c\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069\ufff9"


@pytest.mark.parametrize("character", ACTIVE)
def test_active_characters_are_escaped(character: str) -> None:
    """Every character on which a terminal acts is shown by its code."""
    for shown in (printable.one_line(f"a{character}b"), printable.lines(f"a{character}b")):
        assert character not in shown
        assert shown.startswith("a\\")
        assert shown.endswith("b")


def test_a_newline_is_escaped_only_within_a_line() -> None:
    """A text of one line has no newline left; a text of several keeps them."""
    assert "a\\nb" == printable.one_line("a\nb")
    assert "a\nb" == printable.lines("a\nb")


@pytest.mark.parametrize("text", ["client-1 ✓ 0,5 µs", "Müller", "日本語", "می‌خواهم", "👩‍🚀", "a b c", "עברית"])
def test_texts_of_all_languages_stay(text: str) -> None:
    """Letters, blanks and the joiners of other writing systems stay as they are."""
    assert text == printable.one_line(text) == printable.lines(text)


@given(st.text())
def test_no_control_character_is_left(text: str) -> None:
    """Of any text, no control character or separator of lines is left in its line."""
    shown = printable.one_line(text)

    assert not {unicodedata.category(character) for character in shown} & {"Cc", "Zl", "Zp", "Cs"}
    assert 1 >= len(shown.splitlines())


@given(
    st.recursive(
        st.text() | st.integers() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_json_keeps_its_value(value: object) -> None:
    """JSON with escapes has the same value, in its compact and in its indented form."""
    for indent in (None, 2):
        text = json.dumps(value, ensure_ascii=False, indent=indent)
        shown = printable.json_text(text)

        assert value == json.loads(shown)
        assert not set(ACTIVE) & set(shown)
