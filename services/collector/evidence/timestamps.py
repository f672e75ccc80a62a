"""Timestamps: epoch microseconds on the server's clock, within the range that JSON readers keep exact."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import msgspec

from services.contract.scalars import MAX_INTEGER, utc_text, utc_us


def bounded(at_us: int) -> int:
    """Clamp a timestamp to the years 1970 to 2255: a wrong clock may give any time."""
    return min(max(at_us, 0), MAX_INTEGER)


def corrected(stamps: Mapping[str, int], offset_us: int) -> tuple[Mapping[str, int], list[int]]:
    """Return a client's timestamps by the server's clock, which is ahead by ``offset_us``, and a sorted list."""
    ordered = sorted(stamps.values())
    # Two comparisons instead of a limit for each time: only a wrong clock gives times beyond the range.
    if ordered[0] + offset_us < 0 or ordered[-1] + offset_us > MAX_INTEGER:
        bound = {text: bounded(at_us + offset_us) for text, at_us in stamps.items()}
        return bound, sorted(bound.values())
    # Processes on one kernel share a clock, and an external feed has no offset: these cases need no copy.
    if not offset_us:
        return stamps, ordered
    return {text: at_us + offset_us for text, at_us in stamps.items()}, [at_us + offset_us for at_us in ordered]


def moment(text: str) -> int | None:
    """Return the timestamp of an RFC 3339 text, None if it is not a time."""
    try:
        return bounded(utc_us(text))
    except ValueError:
        return None


class TimestampReader:
    """Parses times of messages. Most are in the same second as the time before, so only their fraction is parsed."""

    def __init__(self) -> None:
        self._second = ""
        self._second_us = 0

    def read(self, texts: Iterable[str]) -> dict[str, int]:
        """Return the epoch microseconds of each text.

        Raises:
            ValueError: one of them is not a time.
        """
        times = {}
        for text in texts:
            is_usual = len(text) == 27 and text[19] == "." and text[20:26].isdecimal() and text[26] == "Z"
            if is_usual and text[:20] == self._second and text.isascii():
                times[text] = self._second_us + int(text[20:26])
                continue
            times[text] = at_us = utc_us(text)
            if is_usual:
                self._second, self._second_us = text[:20], at_us - at_us % 1_000_000
        return times


_FRACTIONS = msgspec.json.Decoder(list[int])


def ascending_us(texts: Sequence[str]) -> list[int] | None:
    """Return the epoch microseconds of times that ascend; None if they do not, or if one is in an unusual form.

    The usual form is that of `utc_text`. All times of a second are parsed together, at a quarter of the cost of parsing
    each.
    """
    times: list[int] = []
    while len(times) < len(texts):
        begin = len(times)
        second = texts[begin][:20]
        # If the texts do not ascend, this may be any index, and the texts up to there are not of one second.
        end = bisect_right(texts, f"{second}999999Z", begin)
        part = _of_one_second(second, texts[begin:end])
        if part is None:
            return None
        times += part
    return times if times == sorted(times) else None


def _of_one_second(second: str, texts: Sequence[str]) -> list[int] | None:
    """Return the times of texts that all consist of ``second``, six digits and ``Z``; None if any does not."""
    count, second_us = len(texts), _second_us(second)
    joined = "\n" + "\n".join(texts)
    # Newlines at these places and nowhere else: each text has 27 characters, and the last one is Z.
    has_newlines = len(joined) == 28 * count and joined[::28] == "\n" * count == "\n" * joined.count("\n")
    if not count or second_us is None or not has_newlines or joined[27::28] != "Z" * count:
        return None
    # Only digits and commas are left if each newline was followed by the second. The length shows that each text had
    # one Z. The digit 1 keeps the zeros in front: JSON has none.
    digits = joined.replace(f"\n{second}", ",1").replace("Z", "")
    if len(digits) != 8 * count or not digits.isascii() or not digits.replace(",", "").isdecimal():
        return None
    try:
        fractions = _FRACTIONS.decode(f"[{digits[1:]}]")
    except msgspec.MsgspecError:
        return None
    # A comma within a text gives one number more.
    if len(fractions) != count:
        return None
    shift_us = second_us - 1_000_000
    return [shift_us + fraction for fraction in fractions]


@lru_cache(maxsize=8)
def _second_us(second: str) -> int | None:
    """Return the epoch microseconds of the beginning of a time in the usual form, None for another form."""
    try:
        at_us = utc_us(f"{second}000000Z")
        return at_us if utc_text(at_us) == f"{second}000000Z" else None
    except (ValueError, OverflowError, OSError):
        return None
