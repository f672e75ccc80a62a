"""Decodes the messages of an external feed into records, each with its number, time and key. Pure.

No received byte is dropped: a message that is not JSON becomes one record with an explanation, and a record without a
usable number is logged without one. A record that is not strict JSON is logged as a text, with the values that a
lenient reader finds in it.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

import msgspec

from services.client.external import lenient_json
from services.client.external.record_key import SHORT_KEY, key_of
from services.client.external.record_values import (
    MAX_NUMBER,
    IntegerTimes,
    epoch_ns,
    linked_number,
    sequence_number,
    why_no_time,
)
from services.contract.block_text import longest_record
from services.contract.blocklog import Form
from services.contract.json_path import ABSENT, JsonPath
from services.contract.unread_data import probable_encoding

# A shorter record is logged as text however much of it is escaped.
_ESCAPED_BYTES = 64 * 1024
# A log line must not contain newlines. In JSON they occur only between tokens, where a space means the same.
_NEWLINES = bytes.maketrans(b"\r\n", b"  ")
_WHITE_SPACE = b" \t\r\n"
# JSON that is nested more deeply is logged as text: readers of logs give up at depths from 256 on.
_MAX_DEPTH = 100
_NOT_JSON = "not JSON"
# All bytes but the brackets of which the depth is made, and the zero between texts.
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in b"[{\0")


_Finder = Callable[[dict[str, Any]], Any]


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
    """Where the values are in a message, which is a record, or a list of records, or contains such a list.

    Attributes:
        seq, first, previous, time: paths of these values, None for a feed without such a value.
        unit: unit of the time, None to derive it from the size of the number.
        key: paths of the values that together are the key, none for a feed without keys.
        records: path of the list of records in a message, None when the message itself is a record or a list of them.
        match: finds the JSON texts in a message: the group of each match is one.
        list_is_record: whether a message that is a list is one record instead of a list of records.
    """

    seq: JsonPath | None = None
    first: JsonPath | None = None
    previous: JsonPath | None = None
    time: JsonPath | None = None
    unit: str | None = None
    key: tuple[JsonPath, ...] = ()
    records: JsonPath | None = None
    match: re.Pattern[bytes] | None = None
    list_is_record: bool = False

    def read(self, message: bytes, *, binary: bool) -> list[DecodedRecord]:
        """Return the records of a message, at least one: one that cannot be decoded is one record itself.

        Args:
            message: its bytes.
            binary: whether it came in a binary frame, so that it is not shown as text.
        """
        if self.match is None:
            return self.records_in(message, binary=binary)
        texts = [match[1] for match in self.match.finditer(message) if match[1] is not None]
        if not texts:
            return [unmatched(message, binary=binary)]
        return [record for text in texts for record in self.records_in(text, binary=binary)]

    @property
    def wants_json(self) -> bool:
        """Whether any value is looked for in a record, so that a text that is not JSON is remarkable."""
        return any((self.seq, self.time, self.key, self.records))

    def records_of(self, texts: Sequence[bytes], *, binary: bool) -> list[DecodedRecord]:
        """Return the records of several messages, as `records_in` does of one.

        Usual records, nearly all, are read in one loop, in a third of the time; `records_in` reads the others.
        """
        if self.records is not None or self.first is not None or self.previous is not None or not _is_flat(texts):
            return [record for text in texts for record in self.records_in(text, binary=binary)]
        records: list[DecodedRecord] = []
        find_seq, find_key, find_time, times = self._places
        seq = sent_ns = key = absent = None
        for text in texts:
            value = _decode_strictly(text)
            if type(value) is not dict:
                records += self.records_in(text, binary=binary)
                continue
            is_usual = True
            if find_seq is not None:
                seq = find_seq(value)
                is_usual = type(seq) is int and 0 <= seq <= MAX_NUMBER
            if is_usual and self.key:
                key, absent = (find_key(value), None) if find_key is not None else self._key(value, value)
                is_usual = type(key) is str and len(key) <= SHORT_KEY and absent is None
            if is_usual and find_time is not None:
                sent_ns = times.read(find_time(value))
                is_usual = sent_ns is not None
            if is_usual:
                record = text.strip(_WHITE_SPACE)
                records.append(_new(DecodedRecord, (record, None, seq, key, sent_ns, None, None, None)))
            else:
                records.append(self._record(value, value, text, binary=binary, is_json=True))
        return records

    @cached_property
    def _places(self) -> tuple[_Finder | None, _Finder | None, _Finder | None, IntegerTimes]:
        """What finds number, key and time in a usual record; the key only if it is one value."""
        key = self.key[0] if len(self.key) == 1 else None
        return _finder(self.seq), _finder(key), _finder(self.time), IntegerTimes(self.unit)

    def records_in(self, text: bytes, *, binary: bool) -> list[DecodedRecord]:
        """Return the records of a message without regard to ``match``, as `read` does."""
        value = _decode_strictly(text)
        is_strict = value is not _NOT_STRICT
        if not is_strict:
            try:
                value = lenient_json.decode(text)
            except (ValueError, RecursionError):
                return [opaque(text, binary=binary, remark=_why_not_json(text) if self.wants_json else None)]
        # A message without a list is one record; this is the usual case.
        if self.records is None and (self.list_is_record or not isinstance(value, list)):
            return [self._record(value, value, text, binary=binary, is_json=is_strict)]
        return self._listed_records(value, text, binary=binary, is_strict=is_strict)

    def _listed_records(self, value: Any, text: bytes, *, binary: bool, is_strict: bool) -> list[DecodedRecord]:
        rows = value if self.records is None else self.records.find(value)
        rows = _decode_strictly(rows.encode("utf-8", "surrogatepass")) if isinstance(rows, str) else rows
        if not isinstance(rows, list) or not rows:
            problem = "an empty list" if isinstance(rows, list) else "no list"
            where = "" if self.records is None else f" at {self.records.text}"
            is_json = is_strict and not _is_deep(value, text)
            record = DecodedRecord(_on_one_line(text)) if is_json else opaque(text, binary=binary)
            return [record._replace(remark=problem + where)]
        try:
            raws = self._row_texts(text) if is_strict else self._lenient_row_texts(text, len(rows))
        except (ValueError, LookupError, RecursionError):
            return [opaque(text, binary=binary, remark=_NOT_JSON)]
        return [
            self._record(row, value, raw, binary=binary, is_json=is_strict or _decode_strictly(raw) is not _NOT_STRICT)
            for row, raw in zip(rows, raws, strict=True)
        ]

    def _lenient_row_texts(self, text: bytes, count: int) -> list[bytes]:
        texts = lenient_json.rows(text, self.records.steps if self.records else ())
        if len(texts) != count:
            raise ValueError("the list cannot be split into its items")
        return texts

    def _row_texts(self, text: bytes) -> list[bytes]:
        raw = _opened(text)
        for step in self.records.steps if self.records else ():
            if isinstance(step, str):
                raw = _opened(msgspec.json.decode(raw, type=dict[str, msgspec.Raw])[step])
            else:
                raw = _opened(msgspec.json.decode(raw, type=list[msgspec.Raw])[step])
        return [bytes(row) for row in msgspec.json.decode(raw, type=list[msgspec.Raw])]

    def _record(self, value: Any, message: Any, text: bytes, *, binary: bool, is_json: bool) -> DecodedRecord:
        """Return a record with its values, as JSON if the text is strict JSON, else as a text.

        Args:
            value: of the record.
            message: value of the message that contains it.
            text: of the record.
            binary: whether it came in a binary frame.
            is_json: whether the text is strict JSON.
        """
        seq = key = sent_ns = remark = None
        if (path := self.seq) is not None:
            found = path.find(message if path.is_of_message else value)
            seq, remark = sequence_number(found, path.text) if found is not ABSENT else (None, _nothing_at(path))
        if self.key:
            key, absent = self._key(value, message)
            remark = remark or absent
        if (path := self.time) is not None:
            found = path.find(message if path.is_of_message else value)
            sent_ns = epoch_ns(found, self.unit)
            if sent_ns is None and remark is None:
                remark = _nothing_at(path) if found is ABSENT else why_no_time(found, path.text)
        if is_json and not _is_deep(value, text):
            record = DecodedRecord(_on_one_line(text), None, seq, key, sent_ns, remark)
        else:
            shown = opaque(text, binary=binary)
            remark = remark or ("not strict JSON" if self.wants_json else None)
            record = DecodedRecord(shown.record, shown.form, seq, key, sent_ns, remark)
        return record if self.first is None and self.previous is None else self._linked(record, value, message)

    def _linked(self, record: DecodedRecord, value: Any, message: Any) -> DecodedRecord:
        """Return a record with the first number of its range, and the number of the record before."""
        first, previous = (
            None if path is None else linked_number(path.find(message if path.is_of_message else value))
            for path in (self.first, self.previous)
        )
        return record._replace(first_seq=first, prev_seq=previous)

    def _key(self, value: Any, message: Any) -> tuple[str | None, str | None]:
        """Return the key of a record, and a remark if a part of it is not there."""
        found = [path.find(message if path.is_of_message else value) for path in self.key]
        absent = [path for path, part in zip(self.key, found, strict=True) if part is ABSENT or part is None]
        return key_of(found), _nothing_at(absent[0]) if absent else None


_new = tuple.__new__
"""Makes a `DecodedRecord` in half the time of its own constructor."""


def _finder(path: JsonPath | None) -> _Finder | None:
    """Return a function that finds the value of a path in an object; None without a path."""
    if path is None:
        return None
    if len(path.steps) == 1 and isinstance(name := path.steps[0], str):
        # Most paths are one name.
        return lambda value: value.get(name, ABSENT)
    return path.find


def _is_flat(texts: Sequence[bytes]) -> bool:
    """Return whether no text needs a look for its depth, or has a newline between tokens."""
    joined = b"\0".join(texts)
    if b"\n" in joined or b"\r" in joined:
        return False
    brackets = joined.translate(None, _NO_BRACKETS)
    return len(brackets) <= _MAX_DEPTH or max(map(len, brackets.split(b"\0"))) <= _MAX_DEPTH


def _why_not_json(text: bytes) -> str:
    encoding = probable_encoding(text)
    return _NOT_JSON if encoding is None else f"{_NOT_JSON}, but probably {encoding}: set FEED_ENCODING={encoding}"


def _nothing_at(path: JsonPath) -> str:
    return f"nothing at {path.text}"


def _on_one_line(text: bytes) -> bytes:
    # Readers of the log take a JSON value without the white space around it, and so does the digest of the block.
    text = text.strip(_WHITE_SPACE)
    # Nearly no record has a newline, and two searches cost less than a translation.
    return text.translate(_NEWLINES) if b"\n" in text or b"\r" in text else text


def _opened(text: bytes | msgspec.Raw) -> bytes:
    """Return a JSON text, or where it is a string the JSON text that the string contains."""
    opened = bytes(text).lstrip()
    return _opened(msgspec.json.decode(opened, type=str).encode()) if opened[:1] == b'"' else opened


def _decode_strictly(text: bytes) -> Any:
    """Return the value of a JSON text, `_NOT_STRICT` for any other text."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _NOT_STRICT


def _is_deep(value: Any, text: bytes) -> bool:
    """Return whether JSON is nested so deeply that some readers give up."""
    # A short text or one with few brackets cannot be deep; that decides nearly every record without a walk through it.
    if len(text) <= 2 * _MAX_DEPTH or text.count(b"[") + text.count(b"{") <= _MAX_DEPTH:
        return False
    level = [value]
    for _ in range(_MAX_DEPTH):
        contents = (outer.values() if isinstance(outer, dict) else outer for outer in level)
        level = [inner for content in contents for inner in content if isinstance(inner, dict | list)]
        if not level:
            return False
    return True


def opaque(data: bytes, *, binary: bool, remark: str | None = None) -> DecodedRecord:
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


def unmatched(data: bytes, *, binary: bool) -> DecodedRecord:
    """Return a record that contains a message in which ``match`` finds nothing."""
    return opaque(data, binary=binary, remark="the frame does not match")
