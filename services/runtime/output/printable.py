"""Texts as terminals, logs and the pages of CI systems can show them without acting on them. Pure.

Texts of peers and files may contain control characters, which move a cursor, erase a line or begin another one, and
characters that change the writing direction, so that a line reads as something else.
"""

from __future__ import annotations

import re

# Control characters (C0, DEL, C1), line and paragraph separators, marks and overrides of the writing direction,
# annotations, and halves of surrogate pairs. Others, such as the joiners of Persian and of emoji, belong to a text.
_ACTIVE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufff9-\ufffb\ud800-\udfff]")
_ACTIVE_BUT_NEWLINE = re.compile(_ACTIVE.pattern.replace("\x00-\x1f", "\x00-\x09\x0b-\x1f"))


def one_line(text: str) -> str:
    r"""Return a text in which every active character is an escape (``\x1b``, ``\u202e``), newlines included."""
    return _ACTIVE.sub(_escape, text)


def lines(text: str) -> str:
    """Return a text in which every active character but the newline is an escape."""
    return _ACTIVE_BUT_NEWLINE.sub(_escape, text)


def json_text(text: str) -> str:
    """Return the same JSON with active characters as JSON's own escapes; newlines between values stay."""
    # Outside of strings, JSON has none but newlines.
    return _ACTIVE_BUT_NEWLINE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
