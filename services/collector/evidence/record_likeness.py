"""Whether two clients of an external feed received one sequence, or each a sequence of its own with the same numbers.

A server that counts per connection gives the number 17 to another record on every connection. What two clients received
under the same numbers shows which it is: other contents, or the same contents at times that are apart by as much as
their connections are, from the first shared number to the last. A stream that both receive live is never apart for
long: the times of sending of a record are equal, or those of two sends in a row.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import lru_cache
from statistics import median
from typing import Literal, NamedTuple

import msgspec

from services.contract.json_path import JsonPath, MalformedPath

_VALUE = rb'"\s*:\s*(?:"(?:[^"\\]|\\.)*"|-?[0-9][-+.0-9eE]*)'
"""What follows a member's name: a text or a number, the only two forms that a time can have."""
_DATE = rb"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}[-0-9:.,+]*Z?"
_EPOCH = rb"(?<![0-9])(?:%d|%d)[0-9]{6,15}(?![0-9])(?:\.[0-9]+)?"
"""A number that begins with the first digits of the seconds since 1970 and is as long as these, or as milliseconds to
nanoseconds."""
_EPOCH_STEP = 1_000_000
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class TimeMask:
    """Takes the time of sending out of records; ``time`` is `Feed.time`, None for a feed without a sender's time.

    A path that ends in a member's name masks every member of this name in the record: one search over all records of a
    block costs half of what decoding and encoding each of them costs. A path that ends in an index is followed exactly.
    What cannot be masked is compared whole.
    """

    def __init__(self, time: str | None) -> None:
        steps = _steps(time)
        self._names: re.Pattern[bytes] | None = None
        self._steps: tuple[str | int, ...] = ()
        if steps and isinstance(steps[-1], str):
            # A server may write a name as it is, or with escapes.
            forms = {json.dumps(steps[-1], ensure_ascii=escaped)[1:-1].encode() for escaped in (True, False)}
            names = b"|".join(re.escape(form) for form in sorted(forms))
            self._names = re.compile(b'"(?:' + names + b")" + _VALUE)
        else:
            self._steps = steps

    def texts(self, records: Sequence[msgspec.Raw]) -> Sequence[bytes | msgspec.Raw]:
        """Return the text of each record without its time; each is in one line of a log, so none has a newline."""
        if self._names is not None:
            texts = self._names.sub(b'""', b"\n".join(records)).split(b"\n")
            # A record with a newline comes from no log. It would shift the others, so all are compared whole instead.
            return texts if len(texts) == len(records) else records
        return [self._without(record) for record in records] if self._steps else records

    def _without(self, record: msgspec.Raw) -> bytes | msgspec.Raw:
        try:
            value = msgspec.json.decode(record)
        except _UNREADABLE:
            return record
        parent, last = value, self._steps[-1]
        for step in self._steps[:-1]:
            parent = _member(parent, step)
        if _member(parent, last) is None:
            return record
        parent[last] = None
        return msgspec.json.encode(value)


def timeless(text: bytes, at_us: int) -> bytes:
    """Return the text of a record without any time of these days; ``at_us`` is when it came, epoch us.

    A record may hold further times of sending than the one that the operator named.
    """
    return _times(at_us // 1_000_000 // _EPOCH_STEP).sub(b"", text)


@lru_cache(maxsize=8)
def _times(period: int) -> re.Pattern[bytes]:
    # The period after this one too: a sender's clock may be ahead, and another client may receive the record later.
    return re.compile(_DATE + b"|" + _EPOCH % (period, period + 1))


def _steps(time: str | None) -> tuple[str | int, ...]:
    try:
        return JsonPath(time).steps if time else ()
    except MalformedPath:
        return ()


def _member(value: object, step: str | int) -> object:
    if isinstance(step, str):
        return value.get(step) if isinstance(value, dict) else None
    return value[step] if isinstance(value, list) and step < len(value) else None


Relation = Literal["equal", "alike", "own", "different", "unknown"]
"""What two clients hold under the same numbers.

``equal``: the same records, sent at the same times. ``alike``: the same records, and nothing speaks against one
sequence. ``own``: the same records, always apart by the same time: numbers of a connection. ``different``: other
records under most numbers. ``unknown``: no number of the sample is on both.
"""
Begin = Literal["first", "same", "other"]
"""Where both sequences begin: each with 0 or 1, both with the same other number, or with different numbers."""

ENOUGH = 4
"""Of fewer records under the same numbers the times say nothing."""
STAMP_US = 2
"""Times of sending that differ by no more are the same: they are known to a microsecond, from two roundings."""
FIRST_LOOK, LOOK = 8, 64
"""Records that are compared without the times in them, at most: each costs some microseconds."""
APART_US = 100_000
"""Sequences are apart when the times of sending, or of arrival where there are none, differ by more than this in nearly
every record. A server that sends one stream to many clients, and the scheduling of their processes, make less of it.
Connections that begin closer together are compared: a client that is so little behind lacks nothing at its end."""
DRIFT, DRIFT_US = 0.2, 20_000
"""A steady difference changes by no more than this part of the time that passes, and these microseconds. Where a stream
is replayed to one client and came live to the other, it changes by as much as time passes."""
COARSE_US = 1_000_000
"""Times of sending in whole seconds are too coarse to tell sequences apart."""


class RecordFact(NamedTuple):
    """One record as one client received it; times are epoch microseconds.

    Attributes:
        digest: of the record without its time of sending.
        text: the record without its time of sending, or what stands for a long one.
        sent_us: when it was sent, None for a feed that does not say so.
        at_us: when it came.
    """

    digest: int
    text: bytes
    sent_us: int | None
    at_us: int


Pair = tuple[RecordFact, RecordFact]


def relation(pairs: Sequence[Pair], begin: Begin) -> Relation:
    """Return what two clients hold under the same numbers; ``pairs`` has both facts of every shared number."""
    if not pairs:
        return "unknown"
    alike = [pair for pair in pairs if pair[0].digest == pair[1].digest]
    if 2 * len(alike) < len(pairs):
        # The server may stamp every send, and the operator may not have named the stamp.
        alike = _without_times(pairs)
        if not alike:
            return "different"
    return _by_time(sorted(alike, key=lambda pair: pair[0].at_us), begin) if len(alike) >= ENOUGH else "alike"


def _without_times(pairs: Sequence[Pair]) -> list[Pair]:
    """Return some pairs that differ in times alone, none where most of the first ones differ in more."""
    alike: list[Pair] = []
    for count in (FIRST_LOOK, LOOK):
        some = pairs[:count]
        alike = [pair for pair in some if not differ(*pair)]
        if 2 * len(alike) < len(some):
            return []
    return alike


def differ(one: RecordFact, other: RecordFact) -> bool:
    """Tell whether two records differ in more than times of these days."""
    return one.digest != other.digest and timeless(one.text, one.at_us) != timeless(other.text, other.at_us)


def _by_time(pairs: Sequence[Pair], begin: Begin) -> Relation:
    sent = _sent(pairs)
    came = [other.at_us - one.at_us for one, other in pairs]
    if sent is not None and 2 * sum(abs(offset) <= STAMP_US for offset in sent) > len(sent):
        return "equal"
    limit = _limit(begin, is_sent=sent is not None)
    if limit is None:
        return "alike"
    offsets = came if sent is None else sent
    sign = 1 if median(offsets) >= 0 else -1
    # Two servers whose clocks differ send one record at times that are apart, and it comes at one time.
    if 2 * sign * median(came) <= limit:
        return "alike"
    parts = _parts(pairs, [sign * offset for offset in offsets])
    is_apart = all(sorted(part)[len(part) // 4] > limit for part in parts)
    span_us = min(pairs[-1][which].at_us - pairs[0][which].at_us for which in (0, 1))
    drift_us = abs(median(parts[-1]) - median(parts[0]))
    return "own" if is_apart and drift_us <= DRIFT * max(span_us, 0) + DRIFT_US else "alike"


def _limit(begin: Begin, *, is_sent: bool) -> int | None:
    # Of different beginnings only the server's stamps tell: a client that always lags receives the same stream.
    return APART_US if begin != "other" or is_sent else None


def _sent(pairs: Sequence[Pair]) -> list[int] | None:
    """Return by how much the times of sending differ, None where there are none that could tell."""
    stamps = [(one.sent_us, other.sent_us) for one, other in pairs]
    known = [(one, other) for one, other in stamps if one is not None and other is not None]
    if len(known) < len(pairs) or all((one + STAMP_US) % COARSE_US <= 2 * STAMP_US for one, _ in known):
        return None
    return [other - one for one, other in known]


def _parts(pairs: Sequence[Pair], offsets: Sequence[int]) -> list[Sequence[int]]:
    """Return the offsets in parts, in the order of time: a stream that was replayed first is live in the last one."""
    count = 4 if len(offsets) >= 4 * ENOUGH else 2
    bounds = [len(offsets) * at // count for at in range(count + 1)]
    parts = [offsets[bounds[at] : bounds[at + 1]] for at in range(count)]
    begin_us, end_us = pairs[0][0].at_us, pairs[-1][0].at_us
    late = [place for place, (one, _) in enumerate(pairs) if one.at_us > end_us - (end_us - begin_us) / 4]
    if len(late) >= ENOUGH:
        parts.append(offsets[late[0] :])
    return parts
