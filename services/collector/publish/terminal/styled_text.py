"""Styles of text on a terminal. The text is complete without them. Pure."""

from __future__ import annotations

from typing import Literal, TypeAlias

Style: TypeAlias = Literal["good", "bad", "doubt", "title", "value", "faint", ""]
StyledSpan: TypeAlias = tuple[str, Style]

WIDTH = 100
"""Columns of the longest line: it must still fit beside the prefix that a log viewer adds."""

_CODES: dict[Style, str] = {"good": "32", "bad": "31", "doubt": "33", "title": "1", "value": "36", "faint": "2"}


def styled_line(*spans: StyledSpan, colour: bool = False, bold: bool = False) -> str:
    """Return spans side by side, without blanks at the end.

    Args:
        spans: texts, each with its style.
        colour: use ANSI colours.
        bold: make the whole line bold, if colours are used.
    """
    parts = list(spans)
    while parts and not parts[-1][0].rstrip():
        parts.pop()
    if parts:
        parts[-1] = (parts[-1][0].rstrip(), parts[-1][1])
    # Each part has its own codes and resets them, so a line that is cut off colours nothing else.
    return "".join(_with_codes(text, style, bold=bold) if colour else text for text, style in parts)


def truncated(text: str, width: int) -> str:
    """Return a text of at most ``width`` characters, with an ellipsis where it was cut off."""
    return text if len(text) <= width else text[: width - 1] + "…"


def _with_codes(text: str, style: Style, *, bold: bool) -> str:
    code = ";".join(filter(None, ("1" if bold else "", _CODES.get(style, ""))))
    return f"\x1b[{code}m{text}\x1b[0m" if code and text.strip() else text
