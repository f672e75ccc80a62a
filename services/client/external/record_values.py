"""Reads the sender's time and the sequence number of a record, in any of the usual notations. Pure."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from services.contract.json_path import ABSENT
from services.contract.scalars import MAX_INTEGER, utc_us

UNITS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
"""Nanoseconds of each unit of time."""
MAX_NUMBER = 2**64 - 1
"""The highest usable sequence number, which is that of an unsigned 64-bit counter."""
# Above every epoch time in nanoseconds until 2286.
_MAX_TIME = 10**19
_YEAR_2200_NS = 7_258_118_400_000_000_000
# A present epoch time has 10, 13, 16 or 19 digits before the point, so its size shows its unit.
_NS_BY_SIZE = ((10**17, 1), (10**14, 1_000), (10**11, 1_000_000), (0, 1_000_000_000))
# Characters of a value that a message shows.
_MAX_SHOWN_LENGTH = 40


def epoch_ns(value: Any, unit: str | None = None) -> int | None:
    """Return a time as epoch nanoseconds, None for a value that is no time.

    Args:
        value: an RFC 3339 text, or a number of units, which may be written as a text.
        unit: one of `UNITS`; None to derive it from the size of the number.
    """
    if isinstance(value, str):
        try:
            value = int(value) if value.strip("-").isdecimal() else float(value)
        except ValueError:
            return _of_text(value)
    # Bounded first: an integer may be too large to be compared as a float.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _MAX_TIME or math.isnan(value):
        return None
    size = UNITS[unit] if unit else next(size for least, size in _NS_BY_SIZE if value >= least)
    time_ns = value * size if isinstance(value, int) else round(value * size)
    return time_ns if time_ns < _YEAR_2200_NS else None


def _of_text(text: str) -> int | None:
    try:
        return utc_us(text) * 1000
    except (ValueError, OverflowError):
        return None


def sequence_number(value: Any, where: str) -> tuple[int | None, str | None]:
    """Return a sequence number, and a remark if its notation is odd; or None, and why the value cannot be used.

    Args:
        value: an integer, which may be written as a text of up to 20 digits or as a whole float.
        where: path of the value.
    """
    remark = None
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,20}", value):
        value, remark = int(value), "a number written as a text"
    if isinstance(value, float) and value.is_integer() and abs(value) <= MAX_INTEGER:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None, f"{text_of(value)[:_MAX_SHOWN_LENGTH]} at {where} is no whole number"
    if not 0 <= value <= MAX_NUMBER:
        return None, f"{text_of(value)[:_MAX_SHOWN_LENGTH]} at {where} is no number from 0 to 2^64 - 1"
    return value, remark


def linked_number(value: Any) -> int | None:
    """Return a number beside the sequence number, -1 for any negative one; None for a value that is no number."""
    if value is ABSENT or value is None:
        return None
    if isinstance(value, str) and re.fullmatch(r"-[0-9]{1,20}", value):
        return -1
    if isinstance(value, int | float) and not isinstance(value, bool) and value < 0:
        return -1
    return sequence_number(value, "")[0]


def text_of(value: Any) -> str:
    """Return any value that was read from JSON as one line of text that can be encoded as UTF-8."""
    try:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    except (RecursionError, ValueError):  # nested too deeply, too many digits
        return f"something too long ({type(value).__name__})"
    return text.encode("utf-8", "backslashreplace").decode()
