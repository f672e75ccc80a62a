"""Moments as they are drawn: epoch microseconds on the server's clock, within what any reader of JSON can take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from services.contract.scalars import MAX_INTEGER, utc_us


def bounded(at_us: int) -> int:
    """Return a moment that is neither before 1970 nor after 2255, whatever a clock gone wild may have said."""
    return min(max(at_us, 0), MAX_INTEGER)


def corrected(stamps: Mapping[str, int], offset_us: int) -> tuple[Mapping[str, int], list[int]]:
    """Return moments of a client's clock as moments of the server's, which is ahead by so much, and all in order."""
    ordered = sorted(stamps.values())
    if ordered[0] + offset_us < 0 or ordered[-1] + offset_us > MAX_INTEGER:
        bound = {text: bounded(at_us + offset_us) for text, at_us in stamps.items()}
        return bound, sorted(bound.values())
    if not offset_us:
        return stamps, ordered
    return {text: at_us + offset_us for text, at_us in stamps.items()}, [at_us + offset_us for at_us in ordered]


def moment(text: str) -> int | None:
    """Return the moment that a line names, None when it is no time."""
    try:
        return bounded(utc_us(text))
    except ValueError:
        return None


class TimestampReader:
    """Reads the times of messages, of which most fall into the second of the one before: it is not read again."""

    def __init__(self) -> None:
        self._second = ""
        self._second_us = 0

    def read(self, texts: Iterable[str]) -> dict[str, int]:
        """Return the epoch microseconds that each text names.

        Raises:
            ValueError: one of them is no time.
        """
        found = {}
        for text in texts:
            if text[:20] == self._second and len(text) == 27 and text[20:26].isdecimal() and text[26] == "Z":
                found[text] = self._second_us + int(text[20:26])
            else:
                found[text] = at_us = utc_us(text)
                self._second, self._second_us = text[:20], at_us - at_us % 1_000_000
        return found
