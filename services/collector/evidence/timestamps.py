"""Timestamps: epoch microseconds on the server's clock, within the range that JSON readers keep exact."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from services.contract.scalars import MAX_INTEGER, utc_us


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
            if text[:20] == self._second and len(text) == 27 and text[20:26].isdecimal() and text[26] == "Z":
                times[text] = self._second_us + int(text[20:26])
            else:
                times[text] = at_us = utc_us(text)
                self._second, self._second_us = text[:20], at_us - at_us % 1_000_000
        return times
