"""Moments as they are drawn: epoch microseconds on the server's clock, within what any reader of JSON can take."""

from __future__ import annotations

from services.contract.fields import MAX_INTEGER, utc_us


def bounded(at_us: int) -> int:
    """Return a moment that is neither before 1970 nor after 2255, whatever a clock gone wild may have said."""
    return min(max(at_us, 0), MAX_INTEGER)


def moment(text: str) -> int | None:
    """Return the moment that a line names, None when it is no time."""
    try:
        return bounded(utc_us(text))
    except ValueError:
        return None
