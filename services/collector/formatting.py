"""Numbers, durations, ranges and faults as text: every number with its unit and about three digits."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable

from services.contract.rangeset import RangeSet
from services.contract.summary import Fault

CAUSE_WORDS = {
    "never_sent": "never sent",
    "sent_not_logged": "sent, not logged",
    "corrupt_in_flight": "corrupt in flight",
    "receipted_not_logged": "receipted, not logged",
    "corrupt_block": "damaged line in the log",
    "foreign": "another's line in its place",
    "not_seen": "seen by no client",
}

UNREADABLE = "unreadable"
"""Label of sequence numbers that may be in records that cannot be read."""


def displayable(text: str) -> str:
    r"""Return a path or name in a form that is safe in JSON, in a log line and on a terminal.

    Bytes that are not UTF-8, control characters, line separators and characters that change the writing direction are
    escaped (``\xff``, ``\u202e``), by the rule of `str.isprintable`.
    """
    # Nearly every path is plain text and stays as it is.
    if text.isprintable():
        return text
    valid = os.fsencode(text).decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in valid)


MARKS = {True: "✓", False: "✗", None: "-"}
"""Symbols of a result: passed, failed, not known."""


def number(value: float) -> str:
    """Return a number with thousands separators: ``30,000``, ``0.5``."""
    # From 100 on a decimal would be a fourth digit.
    return f"{value:,.1f}" if value % 1 and abs(value) < 100 else f"{round(value):,}"


NOT_KNOWN = "not known"


def count(value: int | None) -> str:
    """Return a count with thousands separators, or ``not known``."""
    return NOT_KNOWN if value is None else f"{value:,}"


def several(count: int, noun: str) -> str:
    """Return a count with its noun: ``1 client``, ``5 clients``."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def duration(value_ns: float | None) -> str:
    """Return a duration in a suitable unit, ``-`` for None: ``1.9 ms``."""
    if value_ns is None:
        return "-"
    for unit, size in (("s", 1_000_000_000), ("ms", 1_000_000), ("µs", 1_000)):
        # Milliseconds from 0.1 ms on, as is usual for latencies. 0.99995: the text 1,000.0 would need the next unit.
        if abs(value_ns) >= 0.99995 * size or (unit == "ms" and abs(value_ns) >= size / 10):
            return f"{value_ns / size:,.1f} {unit}"
    return f"{value_ns:,.0f} ns"


IN_ONE_READ = "1 read"
"""As short as a duration: a longer text makes the tables leave out a column of percentiles on a terminal."""


def block_duration(value_ns: float | None) -> str:
    """Return the time from the first message of a block to its last.

    0 is shown as ``1 read``: one read from the socket returned the whole block, so all its messages have the same
    arrival time. That is not a measured duration of 0 ns.
    """
    return IN_ONE_READ if value_ns == 0 else duration(value_ns)


def plain_seconds(value_ns: int | None) -> str:
    """Return a duration in seconds for machines: ``4.001``, ``0.000`` for None."""
    return f"{(value_ns or 0) / 1e9:.3f}"


def size(count: float | None) -> str:
    """Return a number of bytes in a suitable unit: ``30.6 MB``."""
    if count is None:
        return "-"
    for unit, unit_bytes in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= 0.99995 * unit_bytes:
            return f"{count / unit_bytes:,.1f} {unit}"
    return f"{count:,.0f} B"


def span(first: int, last: int) -> str:
    """Return a range of seqs: ``4,102–4,115``, or the one seq."""
    return f"{first:,}" if first == last else f"{first:,}–{last:,}"


def ranges(spans: RangeSet | Iterable[tuple[int, int]], most: int = 3) -> str:
    """Return the first ``most`` ranges and the number of further ones."""
    known = spans.spans() if isinstance(spans, RangeSet) else list(spans)
    text = ", ".join(span(first, last) for first, last in known[:most])
    return text if len(known) <= most else f"{text} and {several(len(known) - most, 'more range')}"


def names(every: Iterable[str], most: int = 5) -> str:
    """Return the first ``most`` names and the number of further ones."""
    known = list(every)
    text = ", ".join(known[:most])
    return text if len(known) <= most else f"{text} and {len(known) - most:,} more"


_LONGEST_SEQUENCE = 60


def sequence(key: str) -> str:
    """Return the key of a sequence, a long one by its beginning and its end: long keys often differ at the end."""
    text = displayable(key)
    half = _LONGEST_SEQUENCE // 2
    return text if len(text) <= _LONGEST_SEQUENCE else f"{text[: half - 1]}…{text[-half:]}"


def percent(part: float, whole: float) -> str:
    """Return a percentage, rounded down so that only a complete part is ``100.0 %``; ``-`` if ``whole`` is 0."""
    return f"{math.floor(1000 * part / whole) / 10:.1f} %" if whole else "-"


def rate(per_second: float | None) -> str:
    """Return a rate, ``-`` if unknown: ``1,000 msg/s``."""
    return "-" if per_second is None else f"{number(per_second)} msg/s"


def pace(per_second: float | None) -> str:
    """Return the rate at which records are due: ``200 msg/s``; empty for a pause."""
    if per_second is None:
        return ""
    return rate(per_second) if per_second else "as fast as clients take them"


def moment(at: str) -> str:
    """Return the time of day of an RFC 3339 time: ``07:04:21.350 UTC``."""
    return f"{at[11:23]} UTC"


def fault(found: Fault) -> str:
    """Return a fault as ``file:line  kind  client  seq a-b  detail``."""
    seqs = f"seq {found.missing[0]}-{found.missing[1]}" if found.missing else "seq -"
    return f"{displayable(found.file)}:{found.line}  {found.kind}  {found.client or '-'}  {seqs}  {found.detail}"
