"""Tests of services/collector/publish/terminal/text_table.py."""

import re

from hypothesis import given
from hypothesis import strategies as st

from services.collector.publish.terminal import text_table

STYLES: list[text_table.Style] = ["good", "bad", "doubt", "title", "value", "faint", ""]
lines = st.lists(st.tuples(st.text(st.characters(categories=["L", "N", "Zs"])), st.sampled_from(STYLES)))


def test_a_span_is_painted_in_its_style() -> None:
    """A code before it, the end of it behind; what has no style has no code."""
    assert "a\x1b[31mb\x1b[0m" == text_table.line(("a", ""), ("b", "bad"), colour=True)
    assert "\x1b[1;32ma\x1b[0m" == text_table.line(("a", "good"), colour=True, bold=True)


@given(lines)
def test_colours_change_nothing_else(spans: list[text_table.StyledSpan]) -> None:
    """Without its codes a coloured line is the plain one, which ends without blanks and holds no code."""
    plain = text_table.line(*spans)

    assert plain == re.sub(r"\x1b\[[0-9;]+m", "", text_table.line(*spans, colour=True, bold=True))
    assert plain == plain.rstrip()
    assert "\x1b" not in plain


def test_what_is_cut_is_marked() -> None:
    """A text that fits stays."""
    assert "abc" == text_table.cut("abc", 3)
    assert "ab…" == text_table.cut("abcd", 3)
