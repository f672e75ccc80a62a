"""Reads what a foreign server sent: which records a frame holds, and of each its number, its time and its key. Pure.

Nothing that came is dropped: what is not JSON becomes a record that says so, and what has no number is logged without.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec

from services.client.foreign.moment import epoch_ns
from services.contract.fields import MAX_INTEGER
from services.contract.foreign import Form
from services.contract.path import ABSENT, Path

MAX_KEY = 120
"""Characters of a key that are kept: it stands in every message."""
_NEWLINES = bytes.maketrans(b"\r\n", b"  ")
"""Outside of its strings, where none can be, a newline in JSON is as good as a space."""


class Heard(NamedTuple):
    """One record: its JSON text, what came where that was none, its facts, and why its number cannot be used."""

    record: bytes
    form: Form | None = None
    seq: int | None = None
    key: str | None = None
    sent_ns: int | None = None
    trouble: str | None = None


@dataclass(frozen=True)
class Reading:
    """Where in a message the facts are. Without ``match`` a message is one JSON value, or a list of records.

    Attributes:
        seq, time, key: paths in a record, None for a feed that has no such thing.
        unit: of the time, None to tell it by its size.
        records: path of the list of records in a message, None when the message itself is a record or a list of them.
        match: finds the JSON texts in a frame: the group of each match is one.
    """

    seq: Path | None = None
    time: Path | None = None
    unit: str | None = None
    key: Path | None = None
    records: Path | None = None
    match: re.Pattern[bytes] | None = None

    def read(self, frame: bytes, *, binary: bool) -> list[Heard]:
        """Return the records of a frame, one at least: what it is not made for is a record of itself."""
        if self.match is None:
            return self._texts(frame, binary=binary)
        parts = [found[1] for found in self.match.finditer(frame) if found[1] is not None]
        if not parts:
            return [_opaque(frame, binary=binary, trouble="the frame does not match")]
        return [heard for part in parts for heard in self._texts(part, binary=binary)]

    @property
    def _wants_json(self) -> bool:
        return any((self.seq, self.time, self.key, self.records))

    def _texts(self, text: bytes, *, binary: bool) -> list[Heard]:
        try:
            value = msgspec.json.decode(text)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return [_opaque(text, binary=binary, trouble="not JSON" if self._wants_json else None)]
        if self.records is None and not isinstance(value, list):
            return [self._record(value, text)]
        rows = value if self.records is None else self.records.find(value)
        if not isinstance(rows, list) or not rows:
            what = "an empty list" if isinstance(rows, list) else "no list"
            where = "" if self.records is None else f" at {self.records.text}"
            return [Heard(text.translate(_NEWLINES), trouble=what + where)]
        return [self._record(row, raw) for row, raw in zip(rows, self._rows(text), strict=True)]

    def _rows(self, text: bytes) -> list[bytes]:
        raw = msgspec.Raw(text)
        for step in self.records.steps if self.records else ():
            if isinstance(step, str):
                raw = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])[step]
            else:
                raw = msgspec.json.decode(raw, type=list[msgspec.Raw])[step]
        return [bytes(row) for row in msgspec.json.decode(raw, type=list[msgspec.Raw])]

    def _record(self, value: Any, text: bytes) -> Heard:
        seq, trouble = self._number(value)
        found = self.key.find(value) if self.key is not None else None
        sent = self.time.find(value) if self.time is not None else None
        return Heard(
            record=text.translate(_NEWLINES),
            seq=seq,
            key=_key(found),
            sent_ns=epoch_ns(sent, self.unit),
            trouble=trouble,
        )

    def _number(self, value: Any) -> tuple[int | None, str | None]:
        if self.seq is None:
            return None, None
        found = self.seq.find(value)
        if found is ABSENT:
            return None, f"nothing at {self.seq.text}"
        trouble = None
        if isinstance(found, str) and re.fullmatch(r"[0-9]{1,16}", found):
            found, trouble = int(found), "a number written as a text"
        if isinstance(found, float) and found.is_integer():
            found = int(found)
        if isinstance(found, bool) or not isinstance(found, int):
            return None, f"{_shown(found)} at {self.seq.text} is no whole number"
        if not 0 <= found <= MAX_INTEGER:
            return None, f"{found} at {self.seq.text} is no number from 0 to 2^53 - 1"
        return found, trouble


def _opaque(data: bytes, *, binary: bool, trouble: str | None) -> Heard:
    try:
        text = None if binary else data.decode()
    except UnicodeDecodeError:
        text = None
    if text is None:
        return Heard(b'"%b"' % base64.b64encode(data), form="binary", trouble=trouble)
    return Heard(msgspec.json.encode(text), form="text", trouble=trouble)


def _key(found: Any) -> str | None:
    if found is None or found is ABSENT:
        return None
    return (found if isinstance(found, str) else msgspec.json.encode(found).decode())[:MAX_KEY]


def _shown(found: Any) -> str:
    return msgspec.json.encode(found).decode()[:40]
