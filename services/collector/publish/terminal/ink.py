"""Lines of a terminal, with colours or without: the text is the same, and a colour never says anything alone."""

from __future__ import annotations

from typing import Literal, TypeAlias

Style: TypeAlias = Literal["good", "bad", "doubt", "title", "value", "faint", ""]
Span: TypeAlias = tuple[str, Style]

WIDTH = 100
"""No line is longer: what stands beside a log's prefix must still fit."""

_CODES: dict[Style, str] = {"good": "32", "bad": "31", "doubt": "33", "title": "1", "value": "36", "faint": "2"}


def line(*spans: Span, colour: bool = False, bold: bool = False) -> str:
    """Return spans side by side, without blanks at the end.

    Args:
        spans: texts, each with its style.
        colour: use the terminal's colours.
        bold: in all of the line, if there are colours.
    """
    parts = list(spans)
    while parts and not parts[-1][0].rstrip():
        parts.pop()
    if parts:
        parts[-1] = (parts[-1][0].rstrip(), parts[-1][1])
    return "".join(_painted(text, style, bold=bold) if colour else text for text, style in parts)


def _painted(text: str, style: Style, *, bold: bool) -> str:
    code = ";".join(filter(None, ("1" if bold else "", _CODES.get(style, ""))))
    return f"\x1b[{code}m{text}\x1b[0m" if code and text.strip() else text


def cut(text: str, width: int) -> str:
    """Return a text that is no longer than ``width``; what was cut off is marked."""
    return text if len(text) <= width else text[: width - 1] + "…"
