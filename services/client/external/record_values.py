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
UTC = "utc"
"""In place of a unit: a date and time without a zone is in UTC."""
MAX_NUMBER = 2**64 - 1
"""The highest usable sequence number, which is that of an unsigned 64-bit counter."""
# Above every epoch time in nanoseconds until 2286.
_MAX_TIME = 10**19
# Of a clock that was never set, or a time since the start of something: no feed sends records of before March 1973.
_MIN_TIME_NS = 10**17
_YEAR_2200_NS = 7_258_118_400_000_000_000
# A present epoch time has 10, 13, 16 or 19 digits before the point, so its size shows its unit.
_NS_BY_SIZE = ((10**17, 1), (10**14, 1_000), (10**11, 1_000_000), (0, 1_000_000_000))
# Characters of a value that a message shows.
_MAX_SHOWN_LENGTH = 40
_EXPONENT_TEXT = re.compile(r"[0-9]{1,19}(?:\.[0-9]{1,18})?[eE]\+?[0-9]{1,2}")
_EPOCH_TEXT = re.compile(r"([0-9]{1,19})(?:\.([0-9]{1,18}))?")
# RFC 3339 and ISO 8601, with a space as RFC 3339 permits, any number of decimals, and an offset with or without colon.
_DATE_TEXT = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T t]([0-9]{2}:[0-9]{2}:[0-9]{2})(?:[.,]([0-9]{1,18}))? ?"
    r"([Zz]|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?)?"
)
# As FIX writes it, in UTC.
_FIX_TEXT = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})-([0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,18})?)")
_WHOLE_NUMBER = re.compile(r"0*([0-9]{1,20})(?:\.0+)?")
_HEXADECIMAL = re.compile(r"0[xX]0*([0-9a-fA-F]{1,16})")
# More characters are no number in any notation.
_MAX_NUMBER_LENGTH = 64


def epoch_ns(value: Any, unit: str | None = None) -> int | None:
    """Return a time as epoch nanoseconds, None for a value that is no time.

    Args:
        value: an RFC 3339 text, or a number of units, which may be written as a text.
        unit: one of `UNITS`; None to derive it from the size of the number. `UTC`: a text without a zone is in UTC.
    """
    if isinstance(value, str):
        return _of_text(value.strip(), unit)
    # Bounded first: an integer may be too large to be compared as a float.
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < _MAX_TIME or math.isnan(value):
        return None
    size = _unit_ns(value, unit)
    time_ns = value * size if isinstance(value, int) else round(value * size)
    return time_ns if _MIN_TIME_NS <= time_ns < _YEAR_2200_NS else None


class IntegerTimes:
    """Reads many times as `epoch_ns` does: those that are integers of one size have one unit, which is found once."""

    def __init__(self, unit: str | None) -> None:
        self._unit = unit
        # Integers of this range are times, of this number of nanoseconds a unit.
        self._low = self._high = self._size = 0

    def read(self, value: Any) -> int | None:
        """Return a time as epoch nanoseconds, None for a value that is no time."""
        if type(value) is not int:
            return epoch_ns(value, self._unit)
        if not self._low <= value < self._high:
            time_ns = epoch_ns(value, self._unit)
            if time_ns is not None:
                self._size, digits = time_ns // value, len(str(value))
                # A number with more or fewer digits may have another unit.
                self._low, self._high = 10 ** (digits - 1), min(10**digits, -(-_YEAR_2200_NS // self._size))
            return time_ns
        return value * self._size


def _unit_ns(value: float, unit: str | None) -> int:
    """Return the nanoseconds of a unit, or without one of the unit that follows from the size of a number."""
    if unit is None or unit == UTC:
        for least, size in _NS_BY_SIZE:
            if value >= least:
                return size
    return UNITS[unit or "s"]


def _of_text(text: str, unit: str | None) -> int | None:
    if match := _EPOCH_TEXT.fullmatch(text):
        # By whole numbers and not as a float: that has 16 digits, and nanoseconds of an epoch time have 19.
        whole, decimals = int(match[1]), match[2] or ""
        size = _unit_ns(whole, unit)
        time_ns = whole * size + (int(decimals) * size // 10 ** len(decimals) if decimals else 0)
    elif _EXPONENT_TEXT.fullmatch(text):
        return epoch_ns(float(text), unit)
    elif match := _DATE_TEXT.fullmatch(_iso_text(text)):
        date, clock, decimals, zone = match.groups()
        zone = "Z" if zone is None and unit == UTC else zone
        if zone is None:
            return None
        try:
            seconds_us = utc_us(f"{date}T{clock}{'+00:00' if zone.isalpha() else zone}")
        except (ValueError, OverflowError):
            return None
        time_ns = seconds_us * 1000 + int((decimals or "0")[:9].ljust(9, "0"))
    else:
        return None
    return time_ns if _MIN_TIME_NS <= time_ns < _YEAR_2200_NS else None


def _iso_text(text: str) -> str:
    return _FIX_TEXT.sub(r"\1-\2-\3T\4Z", text, count=1) if _FIX_TEXT.fullmatch(text) else text


def why_no_time(value: Any, where: str) -> str:
    """Return the reason why a value at the path ``where`` is no time."""
    shown = f"{text_of(value)[:_MAX_SHOWN_LENGTH]} at {where} is no time"
    match = _DATE_TEXT.fullmatch(value.strip()) if isinstance(value, str) else None
    is_zoneless = match is not None and match[4] is None
    return f"{shown} without a zone; FEED_TIME='{where} utc' reads it in UTC" if is_zoneless else shown


def sequence_number(value: Any, where: str) -> tuple[int | None, str | None]:
    """Return a sequence number, and a remark if its notation is odd; or None, and why the value cannot be used.

    Args:
        value: an integer, which may be written as a whole float, or as a text: of up to 20 digits with any number of
            zeros before them, or hexadecimal after ``0x``.
        where: path of the value.
    """
    if type(value) is int:
        if 0 <= value <= MAX_NUMBER:
            return value, None
        return None, f"{text_of(value)[:_MAX_SHOWN_LENGTH]} at {where} is no number from 0 to 2^64 - 1"
    remark = None
    if isinstance(value, str) and len(value) <= _MAX_NUMBER_LENGTH:
        if match := _WHOLE_NUMBER.fullmatch(value):
            value, remark = int(match[1]), "a number written as a text"
        elif match := _HEXADECIMAL.fullmatch(value):
            value, remark = int(match[1], 16), "a hexadecimal number"
    # A larger float is not exact, so another number may have been meant.
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
