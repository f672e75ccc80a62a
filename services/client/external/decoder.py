"""Decodes the frames of an external feed into records, each with its number, time and key. Pure.

No received byte is dropped: a frame that is not JSON becomes one record with an explanation, and a record without a
usable number is logged without one. A record that is not strict JSON is logged as a text, with the values that a
lenient reader finds in it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgspec

from services.client.external import lenient_json
from services.client.external.record_values import epoch_ns, linked_number, sequence_number, text_of
from services.contract.block_text import longest_record
from services.contract.blocklog import Form
from services.contract.json_path import ABSENT, JsonPath
from services.contract.scalars import utc_text
from services.contract.sequence_text import seq_text

MAX_KEY = 120
"""Characters of a key that are kept: the key is part of every message."""
# A shorter record is logged as text however much of it is escaped.
_ESCAPED_BYTES = 64 * 1024
# A log line must not contain newlines. In JSON they occur only between tokens, where a space means the same.
_NEWLINES = bytes.maketrans(b"\r\n", b"  ")
# JSON that is nested more deeply is logged as text: readers of logs give up at depths from 256 on.
_MAX_DEPTH = 100


class _NotStrict:
    pass


_NOT_STRICT: Final = _NotStrict()


class DecodedRecord(NamedTuple):
    """One record of a frame.

    Attributes:
        record: its bytes if they are JSON, else a JSON text that contains them.
        form: how they are contained, None for JSON.
        seq: sequence number, None without a usable one.
        key: key of its sequence, None without one.
        sent_ns: the sender's time, epoch nanoseconds, None without one.
        remark: why the number cannot be used, or how the record is unusual; None for a usual record.
        first_seq: the first number that the record covers, None if it covers its own alone.
        prev_seq: the number that it names as its predecessor's, -1 for a negative one; None without one.
    """

    record: bytes
    form: Form | None = None
    seq: int | None = None
    key: str | None = None
    sent_ns: int | None = None
    remark: str | None = None
    first_seq: int | None = None
    prev_seq: int | None = None


@dataclass(frozen=True)
class RecordPaths:
    """Where the values are in a message. Without ``match`` a frame is one JSON value: a record, or a list of records.

    Attributes:
        seq, first, previous, time, key: paths in a record, None for a feed without such a value.
        unit: unit of the time, None to derive it from the size of the number.
        records: path of the list of records in a message, None when the message itself is a record or a list of them.
        match: finds the JSON texts in a frame: the group of each match is one.
    """

    seq: JsonPath | None = None
    first: JsonPath | None = None
    previous: JsonPath | None = None
    time: JsonPath | None = None
    unit: str | None = None
    key: JsonPath | None = None
    records: JsonPath | None = None
    match: re.Pattern[bytes] | None = None

    def read(self, frame: bytes, *, binary: bool) -> list[DecodedRecord]:
        """Return the records of a frame, at least one: a frame that cannot be decoded is one record itself.

        Args:
            frame: payload of the message.
            binary: whether it came in a binary frame, so that it is not shown as text.
        """
        if self.match is None:
            return self._records_in(frame, binary=binary)
        texts = [match[1] for match in self.match.finditer(frame) if match[1] is not None]
        if not texts:
            return [_opaque(frame, binary=binary, remark="the frame does not match")]
        return [record for text in texts for record in self._records_in(text, binary=binary)]

    @property
    def _wants_json(self) -> bool:
        return any((self.seq, self.time, self.key, self.records))

    def _records_in(self, text: bytes, *, binary: bool) -> list[DecodedRecord]:
        value = _decode_strictly(text)
        is_strict = value is not _NOT_STRICT
        raws: list[bytes] = []
        try:
            if not is_strict:
                value = lenient_json.decode(text)
            rows = value if self.records is None else self.records.find(value)
            if isinstance(rows, list):
                raws = self._row_texts(text) if is_strict else self._lenient_row_texts(text, len(rows))
        except (ValueError, RecursionError):
            return [_opaque(text, binary=binary, remark="not JSON" if self._wants_json else None)]
        # A frame without a list is one record; this is the usual case.
        if self.records is None and not isinstance(value, list):
            return [self._record(value, text, binary=binary, is_json=is_strict)]
        if not raws:
            problem = "an empty list" if isinstance(rows, list) else "no list"
            where = "" if self.records is None else f" at {self.records.text}"
            is_json = is_strict and not _is_deep(value, text)
            record = DecodedRecord(text.translate(_NEWLINES)) if is_json else _opaque(text, binary=binary)
            return [record._replace(remark=problem + where)]
        return [
            self._record(row, raw, binary=binary, is_json=is_strict or _decode_strictly(raw) is not _NOT_STRICT)
            for row, raw in zip(rows, raws, strict=True)
        ]

    def _lenient_row_texts(self, text: bytes, count: int) -> list[bytes]:
        texts = lenient_json.rows(text, self.records.steps if self.records else ())
        if len(texts) != count:
            raise ValueError("the list cannot be split into its items")
        return texts

    def _row_texts(self, text: bytes) -> list[bytes]:
        raw = msgspec.Raw(text)
        for step in self.records.steps if self.records else ():
            if isinstance(step, str):
                raw = msgspec.json.decode(raw, type=dict[str, msgspec.Raw])[step]
            else:
                raw = msgspec.json.decode(raw, type=list[msgspec.Raw])[step]
        return [bytes(row) for row in msgspec.json.decode(raw, type=list[msgspec.Raw])]

    def _record(self, value: Any, text: bytes, *, binary: bool, is_json: bool) -> DecodedRecord:
        """Return a record with its values, as JSON if the text is strict JSON, else as a text."""
        seq, remark = self._number(value)
        key = self.key.find(value) if self.key is not None else None
        sent = self.time.find(value) if self.time is not None else None
        record = DecodedRecord(
            record=text.translate(_NEWLINES),
            seq=seq,
            first_seq=None if self.first is None else linked_number(self.first.find(value)),
            prev_seq=None if self.previous is None else linked_number(self.previous.find(value)),
            key=_key(key),
            sent_ns=epoch_ns(sent, self.unit),
            remark=remark,
        )
        if is_json and not _is_deep(value, text):
            return record
        opaque = _opaque(text, binary=binary)
        remark = remark or ("not strict JSON" if self._wants_json else None)
        return record._replace(record=opaque.record, form=opaque.form, remark=remark)

    def _number(self, value: Any) -> tuple[int | None, str | None]:
        if self.seq is None:
            return None, None
        number = self.seq.find(value)
        if number is ABSENT:
            return None, f"nothing at {self.seq.text}"
        return sequence_number(number, self.seq.text)


def _decode_strictly(text: bytes) -> Any:
    """Return the value of a JSON text, `_NOT_STRICT` for any other text."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _NOT_STRICT


def _is_deep(value: Any, text: bytes) -> bool:
    """Return whether JSON is nested so deeply that some readers give up."""
    # A text with few brackets cannot be deep; that decides nearly every record without a walk through its value.
    if text.count(b"[") + text.count(b"{") <= _MAX_DEPTH:
        return False
    level = [value]
    for _ in range(_MAX_DEPTH):
        contents = (outer.values() if isinstance(outer, dict) else outer for outer in level)
        level = [inner for content in contents for inner in content if isinstance(inner, dict | list)]
        if not level:
            return False
    return True


def _opaque(data: bytes, *, binary: bool, remark: str | None = None) -> DecodedRecord:
    """Return a record that contains bytes as a JSON text, or as base64 if they are not UTF-8."""
    try:
        text = None if binary else data.decode()
    except UnicodeDecodeError:
        text = None
    if text is None:
        return _binary(data, remark)
    record = msgspec.json.encode(text)
    # Each escaped control character takes six bytes; the line could become longer than readers accept.
    if len(record) > _ESCAPED_BYTES and len(record) > longest_record(len(data)):
        return _binary(data, remark)
    return DecodedRecord(record, form="text", remark=remark)


def _binary(data: bytes, remark: str | None) -> DecodedRecord:
    return DecodedRecord(b'"%b"' % base64.b64encode(data), form="binary", remark=remark)


def _key(value: Any) -> str | None:
    if value is None or value is ABSENT:
        return None
    # Half a surrogate pair, which lenient reading accepts, cannot be encoded in UTF-8.
    text = value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else text_of(value)
    return text[:MAX_KEY]


class ExternalBatch(NamedTuple):
    """Records that arrived together.

    Attributes:
        first: position of the first record among all that this session received, from 1.
        decoded: the records, at least one.
        received_ns: arrival time, epoch nanoseconds.
    """

    first: int
    decoded: Sequence[DecodedRecord]
    received_ns: int

    @property
    def last(self) -> int:
        """Position of the last record."""
        return self.first + len(self.decoded) - 1

    @property
    def records(self) -> list[bytes]:
        """The records' bytes as they are logged."""
        return [record.record for record in self.decoded]

    @property
    def size(self) -> int:
        """Bytes of all records."""
        return sum(len(record.record) for record in self.decoded)

    def part(self, start: int, stop: int) -> ExternalBatch:
        """Return the records from index ``start`` up to, not including, ``stop``."""
        return self._replace(first=self.first + start, decoded=self.decoded[start:stop])

    def lines(self) -> bytes:
        """Return the bytes that the block's digest covers: each record followed by a newline."""
        return b"\n".join(self.records) + b"\n"

    def text(self) -> bytes:
        """Return the messages as JSON objects, each followed by a comma."""
        received_at = utc_text(self.received_ns // 1000).encode()
        return b"".join(self._message(record, received_at) for record in self.decoded)

    def _message(self, record: DecodedRecord, received_at: bytes) -> bytes:
        # Formatted and not encoded from a struct: the record must stay byte for byte as it was received.
        latency = b"null" if record.sent_ns is None else b"%d" % (self.received_ns - record.sent_ns)
        seq = b"null" if record.seq is None else _number(record.seq)
        key = b"" if record.key is None else b'"key":%b,' % msgspec.json.encode(record.key)
        form = b"" if record.form is None else b'"form":"%b",' % record.form.encode()
        first = b"" if record.first_seq is None else b'"first_seq":%b,' % _number(record.first_seq)
        link = b"" if record.prev_seq is None else b'"prev_seq":%b,' % _number(record.prev_seq)
        return b'{"seq":%b,"received_at":"%b","latency_ns":%b,"transit_ns":null,%b%b%b%b"record":%b},' % (
            seq, received_at, latency, key, form, first, link, record.record,
        )  # fmt: skip


def _number(seq: int) -> bytes:
    text = seq_text(seq)
    return b"%d" % text if isinstance(text, int) else b'"%b"' % text.encode()
