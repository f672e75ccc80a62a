"""The value types that all formats share, and how they look in JSON.

Integers stay below 2^53, so that every JSON reader keeps them exact. Epoch times are microseconds
(``_us``), durations nanoseconds (``_ns``). Digests carry a letter, so that no reader takes them for numbers.
"""

from __future__ import annotations

import re
import zlib
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated

from msgspec import Meta

# \Z and not $, which would let a final newline pass.
NAME_PATTERN = r"^[a-z0-9][a-z0-9._~-]{0,62}\Z"
RUN_PATTERN = r"^[0-9]{8}T[0-9]{6}Z(-[0-9]{1,9})?\Z"
MARK_PATTERN = r"^[A-Za-z0-9._:~-]{0,64}\Z"
DIGEST_PATTERN = r"^x[0-9a-f]{8}\Z"
MAX_INTEGER = 2**53 - 1
LEAST_RATE = 1e-6
"""One record in twelve days. With fewer, the time at which a record is due leaves the range of our integers."""

Name = Annotated[str, Meta(pattern=NAME_PATTERN)]
Run = Annotated[str, Meta(pattern=RUN_PATTERN)]
Digest = Annotated[str, Meta(pattern=DIGEST_PATTERN)]
Integer = Annotated[int, Meta(ge=-MAX_INTEGER, le=MAX_INTEGER)]
Count = Annotated[int, Meta(ge=0, le=MAX_INTEGER)]
Positive = Annotated[int, Meta(ge=1, le=MAX_INTEGER)]
LineDigest = Annotated[str, Meta(pattern=MARK_PATTERN)]
"""What tells processes or kernels apart: drawn at random or given by the system, compared and never read."""
Rate = Annotated[float, Meta(ge=0, le=10_000_000)] | Annotated[int, Meta(ge=0, le=10_000_000)]
"""Records per second: 0, or from `LEAST_RATE` on, which `check_rate` holds it to."""
RunOrNone = Annotated[str, Meta(pattern=rf"^(?:{RUN_PATTERN[1:-2]})?\Z")]
"""A run, or the empty text."""
Span = tuple[Count, Count]
"""An inclusive range of sequence numbers, ``[first, last]``."""


def digest(data: bytes | bytearray | memoryview, start: int = 0) -> int:
    """Return the CRC-32 (zlib) of ``data``, continued from ``start``, as an integer."""
    return zlib.crc32(data, start)


def digest_text(value: int) -> str:
    """Return a digest as it stands in every format: ``x`` and eight lower-case hex digits."""
    return f"x{value:08x}"


def check_rate(rate: float | None) -> None:
    """Refuse a rate that is neither 0 nor at least `LEAST_RATE`; None, a pause, passes.

    Raises:
        ValueError: no schedule can be made of it.
    """
    if rate is not None and 0 < rate < LEAST_RATE:
        raise ValueError(f"expected a rate of 0 or from {LEAST_RATE:g} on, got {rate:g}")


def is_run(text: str) -> bool:
    """Tell whether ``text`` is the name of a run (and so of its folder)."""
    return re.match(RUN_PATTERN, text) is not None


def is_name(text: str) -> bool:
    """Tell whether ``text`` can name a client (and so a folder)."""
    return re.match(NAME_PATTERN, text) is not None


def run_order(run: str) -> tuple[str, int]:
    """Return the key by which runs are sorted: when each was opened."""
    opened, _, again = run.partition("-")
    return opened, int(again or 1)


def utc_text(epoch_us: int) -> str:
    """Return epoch microseconds as RFC 3339 UTC with six digits and ``Z``."""
    seconds, micros = divmod(epoch_us, 1_000_000)
    return f"{_second_text(seconds)}.{micros:06d}Z"


@lru_cache(maxsize=8)
def _second_text(seconds: int) -> str:
    # Kept, for many times fall into one second, and this is most of the work.
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def utc_us(text: str) -> int:
    """Return the epoch microseconds of an RFC 3339 UTC time.

    Raises:
        ValueError: ``text`` is no such time.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} names no time zone")
    return int(moment.replace(microsecond=0).timestamp()) * 1_000_000 + moment.microsecond
