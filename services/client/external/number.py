"""The sequence number of a record, in whichever of the usual forms it comes. Pure."""

from __future__ import annotations

import json
import re
from typing import Any

from services.contract.scalars import MAX_INTEGER

MAX_NUMBER = 2**64 - 1
"""The highest number that is used: what an unsigned counter of 64 bits holds."""
_SHOWN = 40
"""Characters of a value that a line shows."""


def sequence_number(found: Any, where: str) -> tuple[int | None, str | None]:
    """Return the number and what is odd about it; None and why where it cannot be used.

    Args:
        found: what stands at the place of the number: an integer, also as a text of up to 20 digits.
        where: the path of that place.
    """
    trouble = None
    if isinstance(found, str) and re.fullmatch(r"[0-9]{1,20}", found):
        found, trouble = int(found), "a number written as a text"
    if isinstance(found, float) and found.is_integer() and abs(found) <= MAX_INTEGER:
        found = int(found)
    if isinstance(found, bool) or not isinstance(found, int):
        return None, f"{text_of(found)[:_SHOWN]} at {where} is no whole number"
    if not 0 <= found <= MAX_NUMBER:
        return None, f"{text_of(found)[:_SHOWN]} at {where} is no number from 0 to 2^64 - 1"
    return found, trouble


def text_of(value: Any) -> str:
    """Return what was read from JSON as one line of text that can be encoded, whatever it is."""
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (RecursionError, ValueError):  # nested too deeply, too many digits
        return f"something too long ({type(value).__name__})"
    return text.encode("utf-8", "backslashreplace").decode()
