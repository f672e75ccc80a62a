"""Decides whether two clients of an external feed received one sequence, or each its own with the same numbers.

A server that counts per connection gives the number 17 to a different record on each connection. The records under the
same numbers show which it is. Their content differs, or it is the same at times that differ by as much as the times of
connecting, from the first shared number to the last. For a stream that both receive live, the times of sending are
equal or nearly equal.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from statistics import median
from typing import Literal, NamedTuple

import msgspec

from services.contract.blocklog import ExternalMessage
from services.contract.json_path import JsonPath, MalformedPath

_VALUE = rb'"\s*:\s*(?:"(?:[^"\\]|\\.)*"|-?[0-9][-+.0-9eE]*)'
"""The value after a member's name: a text or a number, the two forms of a time."""
_DATE = rb"[0-9]{3}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}[-0-9:.,+]*Z?"
"""What follows the first digit of a date."""
_EPOCH = rb"(?<![0-9][0-9])(?:%b)[0-9]{6,15}(?![0-9])(?:\.[0-9]+)?"
"""What follows the first digit of a number with the first digits of the current epoch time, as long as seconds,
milliseconds, microseconds or nanoseconds."""
_EPOCH_STEP = 1_000_000
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class TimeMask:
    """Removes the time of sending from records; ``time`` is its path, None for a feed without one.

    A path that ends in a member's name removes all members of this name in the record: one search over all records of
    a block costs half as much as decoding and encoding each. A path that ends in an index is followed exactly. A record
    without such a time is compared as it is.
    """

    def __init__(self, time: str | None) -> None:
        steps = _steps(time)
        self._names: re.Pattern[bytes] | None = None
        self._steps: tuple[str | int, ...] = ()
        if steps and isinstance(steps[-1], str):
            # A server may write a name with or without escapes.
            forms = {json.dumps(steps[-1], ensure_ascii=escaped)[1:-1].encode() for escaped in (True, False)}
            names = b"|".join(re.escape(form) for form in sorted(forms))
            self._names = re.compile(b'"(?:' + names + b")" + _VALUE)
        else:
            self._steps = steps

    def texts(self, records: Sequence[msgspec.Raw]) -> Sequence[bytes | msgspec.Raw]:
        """Return the text of each record without its time. Records are from lines of a log, so none has a newline."""
        if self._names is not None:
            texts = self._names.sub(b'""', b"\n".join(records)).split(b"\n")
            # A record with a newline is from no log. It would shift the others, so all are compared with their times.
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


def received_text(message: ExternalMessage) -> msgspec.Raw:
    """Return the text of a record that is no strict JSON, as it was received but in one line."""
    # A time is found neither in base64 nor beside the escaped quotation marks of a JSON string.
    try:
        text = msgspec.json.decode(message.record, type=str)
        data = base64.b64decode(text) if message.form == "binary" else text.encode()
    except (*_UNREADABLE, ValueError):
        return message.record
    return msgspec.Raw(data.replace(b"\n", b" "))


def timeless(text: bytes, at_us: int) -> bytes:
    """Return the text of a record without any current time; ``at_us`` is when it was received, epoch microseconds.

    A record may contain more times of sending than the one that the operator named.
    """
    return _times(at_us // 1_000_000 // _EPOCH_STEP).sub(b"", text)


@lru_cache(maxsize=8)
def _times(period: int) -> re.Pattern[bytes]:
    # Also the period before and the next one: a sender's clock may be ahead, and another client may receive the record
    # earlier or later.
    digits = [b"%d" % one for one in range(max(period - 1, 0), period + 2)]
    epochs = b"|".join(b"(?<=%b)%b" % (one[:1], one[1:]) for one in digits)
    # Both begin with a digit: a pattern that says so at its beginning is searched for eight times as fast.
    return re.compile(b"[0-9](?:" + _EPOCH % epochs + b"|" + _DATE + b")")


def _steps(time: str | None) -> tuple[str | int, ...]:
    try:
        path = JsonPath(time) if time else None
    except MalformedPath:
        return ()
    # A time beside the records is not in a record.
    return () if path is None or path.is_of_message else path.steps


def _member(value: object, step: str | int) -> object:
    if isinstance(step, str):
        return value.get(step) if isinstance(value, dict) else None
    return value[step] if isinstance(value, list) and -len(value) <= step < len(value) else None


Relation = Literal["equal", "alike", "own", "different", "unknown"]
"""How the records of two clients under the same numbers compare.

``equal``: the same records, sent at the same times. ``alike``: the same records, and nothing contradicts one sequence.
``own``: the same records with a constant time between them: each connection is numbered for itself. ``different``:
different records under most numbers. ``unknown``: both have no sampled number in common.
"""
Begin = Literal["first", "same", "other"]
"""How both sequences begin: ``first`` each with 0 or 1, ``same`` with another common number, ``other`` differently."""

ENOUGH = 4
"""Fewest shared records whose times are compared."""
STAMP_US = 2
"""Most difference of equal times of sending: they are known to a microsecond and rounded twice."""
FIRST_LOOK, LOOK = 8, 64
"""Most records that are compared without their times, at first and in all: each costs some microseconds."""
APART_US = 100_000
"""Sequences are different if the times of sending, or without these of arrival, differ by more than this in nearly all
records. When a server sends one stream to many clients, sending and scheduling make less of a difference. Connections
that begin closer together are compared, since a client this little behind misses nothing at its end."""
DRIFT, DRIFT_US = 0.2, 20_000
"""A constant difference changes by at most this part of the elapsed time, and these microseconds. If a stream is
replayed to one client and was live for the other, the difference changes by as much as time passes."""
COARSE_US = 1_000_000
"""Times of sending in whole seconds are too coarse to distinguish sequences."""


class RecordFact(NamedTuple):
    """One record as one client received it; times are epoch microseconds.

    Attributes:
        digest: of the record without its time of sending.
        text: the record without its time of sending; of a long record a digest.
        sent_us: when it was sent, None for not known.
        at_us: when it was received.
    """

    digest: int
    text: bytes
    sent_us: int | None
    at_us: int


Pair = tuple[RecordFact, RecordFact]


def relation(pairs: Sequence[Pair], begin: Begin) -> Relation:
    """Compare the records of two clients; ``pairs`` has the records of both under each shared number."""
    if not pairs:
        return "unknown"
    alike = [pair for pair in pairs if pair[0].digest == pair[1].digest]
    if 2 * len(alike) < len(pairs):
        # The server may add a time to each send that the operator did not name.
        alike = _without_times(pairs)
        if not alike:
            return "different"
    return _by_time(sorted(alike, key=lambda pair: pair[0].at_us), begin) if len(alike) >= ENOUGH else "alike"


def _without_times(pairs: Sequence[Pair]) -> list[Pair]:
    """Return some pairs that differ only in times, none if most of the first pairs differ in more."""
    alike: list[Pair] = []
    for count in (FIRST_LOOK, LOOK):
        compared = pairs[:count]
        alike = [pair for pair in compared if not differ(*pair)]
        # A few records show already that the content differs, so the costly comparison of the others is saved.
        if 2 * len(alike) < len(compared):
            return []
    return alike


def differ(one: RecordFact, other: RecordFact) -> bool:
    """Return whether two records differ in more than current times."""
    # The digests are compared first: equal ones spare two searches in the texts.
    return one.digest != other.digest and timeless(one.text, one.at_us) != timeless(other.text, other.at_us)


def _by_time(pairs: Sequence[Pair], begin: Begin) -> Relation:
    sent = _sent(pairs)
    received = [other.at_us - one.at_us for one, other in pairs]
    if sent is not None and 2 * sum(abs(offset) <= STAMP_US for offset in sent) > len(sent):
        return "equal"
    limit = _limit(begin, is_sent=sent is not None)
    if limit is None:
        return "alike"
    offsets = received if sent is None else sent
    # Either client may be the one behind; with the sign, one limit is enough for both cases.
    sign = 1 if median(offsets) >= 0 else -1
    # Two servers whose clocks differ send one record with different times, but it is received at the same time.
    if 2 * sign * median(received) <= limit:
        return "alike"
    parts = _parts(pairs, [sign * offset for offset in offsets])
    # The lower quartile: jitter may bring some records of two sequences close together, and must not make them one.
    is_apart = all(sorted(part)[len(part) // 4] > limit for part in parts)
    span_us = min(pairs[-1][which].at_us - pairs[0][which].at_us for which in (0, 1))
    drift_us = abs(median(parts[-1]) - median(parts[0]))
    return "own" if is_apart and drift_us <= DRIFT * max(span_us, 0) + DRIFT_US else "alike"


def _limit(begin: Begin, *, is_sent: bool) -> int | None:
    # With different beginnings only times of sending count: a client that always lags receives the same stream later.
    return APART_US if begin != "other" or is_sent else None


def _sent(pairs: Sequence[Pair]) -> list[int] | None:
    """Return by how much the times of sending differ, None if there are none, or only whole seconds."""
    sent = [(one.sent_us, other.sent_us) for one, other in pairs]
    known = [(one, other) for one, other in sent if one is not None and other is not None]
    if len(known) < len(pairs) or all((one + STAMP_US) % COARSE_US <= 2 * STAMP_US for one, _ in known):
        return None
    return [other - one for one, other in known]


def _parts(pairs: Sequence[Pair], offsets: Sequence[int]) -> list[Sequence[int]]:
    """Return the offsets in parts by time: a stream that was replayed at first is live in the last part."""
    # A part with fewer records than `ENOUGH` has too few times to judge by.
    count = 4 if len(offsets) >= 4 * ENOUGH else 2
    bounds = [len(offsets) * part // count for part in range(count + 1)]
    parts = [offsets[begin:end] for begin, end in pairwise(bounds)]
    begin_us, end_us = pairs[0][0].at_us, pairs[-1][0].at_us
    late = [index for index, (one, _) in enumerate(pairs) if one.at_us > end_us - (end_us - begin_us) / 4]
    if len(late) >= ENOUGH:
        parts.append(offsets[late[0] :])
    return parts
