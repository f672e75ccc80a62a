"""Reads what a foreign server sent: which records a frame holds, and of each its number, its time and its key. Pure.

Nothing that came is dropped: what is not JSON becomes a record that says so, and what has no number is logged without.
A record that is not strict JSON is logged as a text, with the facts that a lenient reader finds in it.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgspec

from services.client.external import lenient_json
from services.client.external.record_values import epoch_ns, sequence_number, text_of
from services.contract.block_text import longest_record
from services.contract.blocklog import Form
from services.contract.json_path import ABSENT, JsonPath
from services.contract.scalars import utc_text
from services.contract.sequence_text import seq_text

MAX_KEY = 120
"""Characters of a key that are kept: it stands in every message."""
_ESCAPED_BYTES = 64 * 1024
"""A shorter record is logged as text however much of it is escaped."""
_NEWLINES = bytes.maketrans(b"\r\n", b"  ")
"""Outside of its strings, where none can be, a newline in JSON is as good as a space."""
_MOST_DEPTH = 100
"""JSON that is nested more deeply is no strict JSON: readers of logs give up at depths from 256 on."""


class _NotStrict:
    pass


_NOT_STRICT: Final = _NotStrict()


class DecodedRecord(NamedTuple):
    """One record: its JSON text, what came where that was none, its facts, and why its number cannot be used."""

    record: bytes
    form: Form | None = None
    seq: int | None = None
    key: str | None = None
    sent_ns: int | None = None
    trouble: str | None = None


@dataclass(frozen=True)
class RecordPaths:
    """Where in a message the facts are. Without ``match`` a message is one JSON value, or a list of records.

    Attributes:
        seq, time, key: paths in a record, None for a feed that has no such thing.
        unit: of the time, None to tell it by its size.
        records: path of the list of records in a message, None when the message itself is a record or a list of them.
        match: finds the JSON texts in a frame: the group of each match is one.
    """

    seq: JsonPath | None = None
    time: JsonPath | None = None
    unit: str | None = None
    key: JsonPath | None = None
    records: JsonPath | None = None
    match: re.Pattern[bytes] | None = None

    def read(self, frame: bytes, *, binary: bool) -> list[DecodedRecord]:
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

    def _texts(self, text: bytes, *, binary: bool) -> list[DecodedRecord]:
        value = strict = _decoded(text)
        raws: list[bytes] = []
        try:
            if value is _NOT_STRICT:
                value = lenient_json.decode(text)
            rows = value if self.records is None else self.records.find(value)
            if isinstance(rows, list):
                raws = self._rows(text) if strict is not _NOT_STRICT else self._lenient_rows(text, len(rows))
        except (ValueError, RecursionError):
            return [_opaque(text, binary=binary, trouble="not JSON" if self._wants_json else None)]
        if self.records is None and not isinstance(value, list):
            return [self._logged(value, text, binary=binary, is_json=strict is not _NOT_STRICT)]
        if not raws:
            what = "an empty list" if isinstance(rows, list) else "no list"
            where = "" if self.records is None else f" at {self.records.text}"
            is_strict = strict is not _NOT_STRICT and not _is_deep(value, text)
            made = DecodedRecord(text.translate(_NEWLINES)) if is_strict else _opaque(text, binary=binary)
            return [made._replace(trouble=what + where)]
        return [
            self._logged(row, raw, binary=binary, is_json=strict is not _NOT_STRICT or _decoded(raw) is not _NOT_STRICT)
            for row, raw in zip(rows, raws, strict=True)
        ]

    def _lenient_rows(self, text: bytes, count: int) -> list[bytes]:
        found = lenient_json.rows(text, self.records.steps if self.records else ())
        if len(found) != count:
            raise ValueError("the list cannot be taken apart")
        return found

    def _rows(self, text: bytes) -> list[bytes]:
        raw = msgspec.Raw(text)
        for step in self.records.steps if self.records else ():
            if isinstance(step, str):
                raw = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])[step]
            else:
                raw = msgspec.json.decode(raw, type=list[msgspec.Raw])[step]
        return [bytes(row) for row in msgspec.json.decode(raw, type=list[msgspec.Raw])]

    def _logged(self, value: Any, text: bytes, *, binary: bool, is_json: bool) -> DecodedRecord:
        """Return a record with its facts, as JSON if that is strict JSON, else as a text."""
        found = self._record(value, text)
        if is_json and not _is_deep(value, text):
            return found
        shown = _opaque(text, binary=binary)
        trouble = found.trouble or ("not strict JSON" if self._wants_json else None)
        return found._replace(record=shown.record, form=shown.form, trouble=trouble)

    def _record(self, value: Any, text: bytes) -> DecodedRecord:
        seq, trouble = self._number(value)
        found = self.key.find(value) if self.key is not None else None
        sent = self.time.find(value) if self.time is not None else None
        return DecodedRecord(
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
        return sequence_number(found, self.seq.text)


def _decoded(text: bytes) -> Any:
    """Return the value of JSON, `_NOT_STRICT` for a text that is none by the letter."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _NOT_STRICT


def _is_deep(value: Any, text: bytes) -> bool:
    """Tell whether JSON is nested so deeply that some readers give up."""
    if text.count(b"[") + text.count(b"{") <= _MOST_DEPTH:
        return False
    level = [value]
    for _ in range(_MOST_DEPTH):
        within = (one.values() if isinstance(one, dict) else one for one in level)
        level = [inner for every in within for inner in every if isinstance(inner, dict | list)]
        if not level:
            return False
    return True


def _opaque(data: bytes, *, binary: bool, trouble: str | None = None) -> DecodedRecord:
    try:
        text = None if binary else data.decode()
    except UnicodeDecodeError:
        text = None
    if text is None:
        return _binary(data, trouble)
    record = msgspec.json.encode(text)
    # A text of control characters alone would be six times as long, and the line longer than a reader takes.
    if len(record) > _ESCAPED_BYTES and len(record) > longest_record(len(data)):
        return _binary(data, trouble)
    return DecodedRecord(record, form="text", trouble=trouble)


def _binary(data: bytes, trouble: str | None) -> DecodedRecord:
    return DecodedRecord(b'"%b"' % base64.b64encode(data), form="binary", trouble=trouble)


def _key(found: Any) -> str | None:
    if found is None or found is ABSENT:
        return None
    # Half a surrogate pair, which lenient reading lets in, cannot stand in UTF-8.
    text = found.encode("utf-8", "backslashreplace").decode() if isinstance(found, str) else text_of(found)
    return text[:MAX_KEY]


class ExternalBatch(NamedTuple):
    """Records that arrived together. ``first`` is the place of the first one among all that this session received."""

    first: int
    heard: list[DecodedRecord]
    received_ns: int

    @property
    def last(self) -> int:
        """The place of the last."""
        return self.first + len(self.heard) - 1

    @property
    def records(self) -> list[bytes]:
        """The records' texts."""
        return [one.record for one in self.heard]

    @property
    def size(self) -> int:
        """Bytes of the records."""
        return sum(len(one.record) for one in self.heard)

    def part(self, start: int, stop: int) -> ExternalBatch:
        """Return those from index ``start`` up to, not including, ``stop``."""
        return self._replace(first=self.first + start, heard=self.heard[start:stop])

    def lines(self) -> bytes:
        """Return the records as their digest covers them, each followed by a newline."""
        return b"\n".join(self.records) + b"\n"

    def text(self) -> bytes:
        """Return the messages as they stand in a block, each followed by a comma."""
        at = utc_text(self.received_ns // 1000).encode()
        return b"".join(self._message(one, at) for one in self.heard)

    def _message(self, one: DecodedRecord, at: bytes) -> bytes:
        latency = b"null" if one.sent_ns is None else b"%d" % (self.received_ns - one.sent_ns)
        seq = b"null" if one.seq is None else _number(one.seq)
        key = b"" if one.key is None else b'"key":%b,' % msgspec.json.encode(one.key)
        form = b"" if one.form is None else b'"form":"%b",' % one.form.encode()
        return b'{"seq":%b,"received_at":"%b","latency_ns":%b,"transit_ns":null,%b%b"record":%b},' % (
            seq, at, latency, key, form, one.record,
        )  # fmt: skip


def _number(seq: int) -> bytes:
    text = seq_text(seq)
    return b"%d" % text if isinstance(text, int) else b'"%b"' % text.encode()
