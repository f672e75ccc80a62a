"""The sender's time of a record, in whichever of the usual forms it comes. Pure."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from services.contract.scalars import MAX_INTEGER, utc_us

UNITS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
_MOST = 10**19
# An epoch time of these days has 10, 13, 16 or 19 digits before the point, so its size tells its unit.
_BY_SIZE = ((10**17, 1), (10**14, 1_000), (10**11, 1_000_000), (0, 1_000_000_000))


def epoch_ns(value: Any, unit: str | None = None) -> int | None:
    """Return a time as epoch nanoseconds, None when it is none.

    Args:
        value: an RFC 3339 text, or a number (also written as a text) of the unit.
        unit: one of `UNITS`; without one the size of the number tells.
    """
    if isinstance(value, str):
        try:
            value = int(value) if value.strip("-").isdecimal() else float(value)
        except ValueError:
            return _of_text(value)
    # Bounded first: an integer may be too large to be compared as a float.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _MOST or math.isnan(value):
        return None
    size = UNITS[unit] if unit else next(size for least, size in _BY_SIZE if value >= least)
    found = value * size if isinstance(value, int) else round(value * size)
    # Later than the year 2200 is no time of a sender.
    return found if found < 7_258_118_400_000_000_000 else None


def _of_text(text: str) -> int | None:
    try:
        return utc_us(text) * 1000
    except (ValueError, OverflowError):
        return None


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
