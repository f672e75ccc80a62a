"""Records without the time at which they were sent: the same record sent twice has the same text."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import lru_cache

import msgspec

from services.contract.json_path import MalformedPath, Path

_VALUE = rb'"\s*:\s*(?:"(?:[^"\\]|\\.)*"|-?[0-9][-+.0-9eE]*)'
"""What follows a member's name: a text or a number, the only two forms that a time can have."""
_DATE = rb"[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9]{2}:[0-9]{2}[-0-9:.,+]*Z?"
_EPOCH = rb"(?<![0-9])(?:%d|%d)[0-9]{6,15}(?![0-9])(?:\.[0-9]+)?"
"""A number that begins with the first digits of the seconds since 1970 and is as long as these, or as milliseconds to
nanoseconds."""
_EPOCH_STEP = 1_000_000
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Mask:
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
        """Return the text of each record without its time; each stands in one line of a log, so none has a newline."""
        if self._names is not None:
            texts = self._names.sub(b'""', b"\n".join(records)).split(b"\n")
            # A record with a newline comes from no log; what it would shift is compared whole instead.
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
        return Path(time).steps if time else ()
    except MalformedPath:
        return ()


def _member(value: object, step: str | int) -> object:
    if isinstance(step, str):
        return value.get(step) if isinstance(value, dict) else None
    return value[step] if isinstance(value, list) and step < len(value) else None
