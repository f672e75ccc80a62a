"""Tests of lines of styled spans."""

import re

from hypothesis import given
from hypothesis import strategies as st

from services.collector.publish.terminal.text_layout import Style, StyledSpan, styled_line, truncated

STYLES: list[Style] = ["good", "bad", "doubt", "title", "value", "faint", ""]
lines = st.lists(st.tuples(st.text(st.characters(categories=["L", "N", "Zs"])), st.sampled_from(STYLES)))


def test_a_span_gets_the_code_of_its_style() -> None:
    """A styled span is enclosed by its code and the reset code; others have no codes."""
    assert "a\x1b[31mb\x1b[0m" == styled_line(("a", ""), ("b", "bad"), colour=True)
    assert "\x1b[1;32ma\x1b[0m" == styled_line(("a", "good"), colour=True, bold=True)


@given(lines)
def test_colours_do_not_change_the_text(spans: list[StyledSpan]) -> None:
    """A coloured line without its codes equals the plain line, which has no codes and no trailing blanks."""
    plain = styled_line(*spans)

    assert plain == re.sub(r"\x1b\[[0-9;]+m", "", styled_line(*spans, colour=True, bold=True))
    assert plain == plain.rstrip()
    assert "\x1b" not in plain


def test_a_truncated_text_ends_with_an_ellipsis() -> None:
    """A text that fits is unchanged."""
    assert "abc" == truncated("abc", 3)
    assert "ab…" == truncated("abcd", 3)
