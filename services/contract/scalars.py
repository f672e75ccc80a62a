"""The value types of all formats, and their form in JSON.

Integers are below 2^53, so that all JSON readers keep them exact. Epoch times are in microseconds (``_us``), durations
in nanoseconds (``_ns``). Digests begin with a letter, so that no reader converts them to numbers.
"""

from __future__ import annotations

import re
import zlib
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated

from msgspec import Meta

from services.contract.bounds import MARK_CHARACTERS, TEXT_CHARACTERS

# Names of clients and runs are names of folders: they must not leave their parent, be hidden in it, or break a line.
# Not $ instead of \Z, since it accepts a final newline.
NAME_PATTERN = r"^[a-z0-9][a-z0-9._~-]{0,62}\Z"
RUN_PATTERN = r"^[0-9]{8}T[0-9]{6}Z(-[0-9]{1,9})?\Z"
MARK_PATTERN = rf"^[A-Za-z0-9._:~-]{{0,{MARK_CHARACTERS.value}}}\Z"
DIGEST_PATTERN = r"^x[0-9a-f]{8}\Z"
MAX_INTEGER = 2**53 - 1
LEAST_RATE = 1e-6
"""One record in twelve days. With a lower rate, due times would exceed `MAX_INTEGER`."""

Name = Annotated[str, Meta(pattern=NAME_PATTERN)]
Run = Annotated[str, Meta(pattern=RUN_PATTERN)]
Digest = Annotated[str, Meta(pattern=DIGEST_PATTERN)]
Integer = Annotated[int, Meta(ge=-MAX_INTEGER, le=MAX_INTEGER)]
Count = Annotated[int, Meta(ge=0, le=MAX_INTEGER)]
Positive = Annotated[int, Meta(ge=1, le=MAX_INTEGER)]
Nanoseconds = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
"""A duration that may exceed `MAX_INTEGER`, 104 days: an external feed may send its times in an unexpected unit."""
ProcessMark = Annotated[str, Meta(pattern=MARK_PATTERN)]
"""Identifies a process or a kernel: random or given by the system. It is only compared."""
Text = Annotated[str, Meta(max_length=TEXT_CHARACTERS.value)]
"""A text in a frame, for people or to be compared."""
Rate = Annotated[float, Meta(ge=0, le=10_000_000)] | Annotated[int, Meta(ge=0, le=10_000_000)]
"""Records per second: 0, or at least `LEAST_RATE`, which `check_rate` checks."""
# The slice cuts off the anchors, since this pattern has its own around the optional part.
RunOrNone = Annotated[str, Meta(pattern=rf"^(?:{RUN_PATTERN[1:-2]})?\Z")]
"""The name of a run, or an empty text."""
Span = tuple[Count, Count]
"""An inclusive range of sequence numbers, ``[first, last]``."""


def digest(data: bytes | bytearray | memoryview, start: int = 0) -> int:
    """Return the CRC-32 (zlib) of ``data``, continued from ``start``, as an integer."""
    return zlib.crc32(data, start)


def digest_text(value: int) -> str:
    """Return a digest in the form of all formats: ``x`` and eight lower-case hex digits."""
    return f"x{value:08x}"


def check_rate(rate: float | None) -> None:
    """Raise an error for a rate that is neither 0 nor at least `LEAST_RATE`; None means a pause, and passes.

    Raises:
        ValueError: the rate gives no schedule.
    """
    # The type cannot express this: 0 is allowed, and the numbers just above it are not.
    if rate is not None and 0 < rate < LEAST_RATE:
        raise ValueError(f"expected a rate of 0 or from {LEAST_RATE:g} on, got {rate:g}")


def is_run(text: str) -> bool:
    """Return whether ``text`` is a valid name of a run (and so of its folder)."""
    return re.match(RUN_PATTERN, text) is not None


def is_name(text: str) -> bool:
    """Return whether ``text`` is a valid name of a client (and so of its folder)."""
    return re.match(NAME_PATTERN, text) is not None


def run_order(run: str) -> tuple[str, int]:
    """Return the key by which runs are sorted: the time of opening, then the number of the run in that second."""
    opened, _, again = run.partition("-")
    return opened, int(again or 1)


def utc_text(epoch_us: int) -> str:
    """Return epoch microseconds as RFC 3339 UTC with six digits and ``Z``."""
    seconds, micros = divmod(epoch_us, 1_000_000)
    return f"{_second_text(seconds)}.{micros:06d}Z"


@lru_cache(maxsize=8)
def _second_text(seconds: int) -> str:
    # Cached, since many times are in the same second and this is most of the work.
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def utc_us(text: str) -> int:
    """Return the epoch microseconds of an RFC 3339 UTC time.

    Raises:
        ValueError: ``text`` is not such a time.
    """
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(f"{text!r} names no time zone")
    # `timestamp` returns a float, which is exact for whole seconds only.
    return int(time.replace(microsecond=0).timestamp()) * 1_000_000 + time.microsecond
