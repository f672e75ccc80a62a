"""Records of an external feed that arrived together, as a block takes them. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain

import msgspec

from services.client.external.decoder import DecodedRecord
from services.contract.scalars import MAX_INTEGER, utc_text
from services.contract.sequence_text import seq_text


class ExternalBatch:
    """Records that arrived together.

    Attributes:
        first: position of the first record among all that this session received, from 1; ``last`` of the last one.
        decoded: the records, at least one.
        received_ns: arrival time, epoch nanoseconds.
        records: the records' bytes as they are logged, and ``size`` their number in all.
        seqs: the sequence numbers of the records that have one.
        without_key: the number of records without a key, and ``without_time`` without a time.
    """

    __slots__ = (
        "_text", "decoded", "first", "last", "received_ns", "records", "seqs", "size", "without_key", "without_time"
    )  # fmt: skip

    def __init__(self, first: int, decoded: Sequence[DecodedRecord], received_ns: int) -> None:
        self.first, self.last = first, first + len(decoded) - 1
        self.decoded, self.received_ns = decoded, received_ns
        if len(decoded) == 1:
            record = decoded[0]
            self.records, self.size = [record.record], len(record.record)
            self.seqs: Sequence[int] = () if record.seq is None else (record.seq,)
            self.without_key, self.without_time = int(record.key is None), int(record.sent_ns is None)
            self._text = self._message(record, utc_text(received_ns // 1000).encode())
            return
        # All columns at once: a block asks for each of them several times.
        records, forms, seqs, keys, sent_ns, _, firsts, links = zip(*decoded, strict=True)
        self.records, self.size = list(records), sum(map(len, records))
        self.without_key, self.without_time = keys.count(None), sent_ns.count(None)
        self.seqs = [seq for seq in seqs if seq is not None]
        count = len(decoded)
        is_usual = (
            forms.count(None) == firsts.count(None) == links.count(None) == count
            and self.without_time in (0, count)
            and len(self.seqs) in (0, count)
            and max(self.seqs, default=0) <= MAX_INTEGER
        )
        # Now and not when the block is closed: the formatting of a whole block would delay the next read.
        self._text = self._formatted(keys, sent_ns) if is_usual else self._assembled()

    def part(self, start: int, stop: int) -> ExternalBatch:
        """Return the records from index ``start`` up to, not including, ``stop``."""
        if start == 0 and stop >= len(self.decoded):
            return self
        return ExternalBatch(self.first + start, self.decoded[start:stop], self.received_ns)

    def lines(self) -> bytes:
        """Return the bytes that the block's digest covers: each record followed by a newline."""
        return b"\n".join(self.records) + b"\n"

    def text(self) -> bytes:
        """Return the messages as JSON objects, each followed by a comma."""
        return self._text

    def _formatted(self, keys: Sequence[str | None], sent_ns: Sequence[int]) -> bytes:
        """Format all messages by one call, if each has the values that the others have."""
        received_at, received_ns = utc_text(self.received_ns // 1000).encode(), self.received_ns
        columns: list[Sequence[object]] = [list(map(_key_text, keys)), self.records]
        seq = latency = b"null"
        if not self.without_time:
            latency = b"%d"
            columns.insert(0, [received_ns - at_ns for at_ns in sent_ns])
        if self.seqs:
            seq = b"%d"
            columns.insert(0, self.seqs)
        form = b'{"seq":%b,"received_at":"%b","latency_ns":%b,"transit_ns":null,%%b"record":%%b},'
        return (
            (form % (seq, received_at, latency))
            * len(self.records)
            % tuple(chain.from_iterable(zip(*columns, strict=True)))
        )

    def _assembled(self) -> bytes:
        received_at = utc_text(self.received_ns // 1000).encode()
        return b"".join(self._message(record, received_at) for record in self.decoded)

    def _message(self, record: DecodedRecord, received_at: bytes) -> bytes:
        # Formatted and not encoded from a struct: the record must stay byte for byte as it was received.
        latency = b"null" if record.sent_ns is None else b"%d" % (self.received_ns - record.sent_ns)
        seq = b"null" if record.seq is None else _number(record.seq)
        form = b"" if record.form is None else b'"form":"%b",' % record.form.encode()
        first = b"" if record.first_seq is None else b'"first_seq":%b,' % _number(record.first_seq)
        link = b"" if record.prev_seq is None else b'"prev_seq":%b,' % _number(record.prev_seq)
        return b'{"seq":%b,"received_at":"%b","latency_ns":%b,"transit_ns":null,%b%b%b%b"record":%b},' % (
            seq, received_at, latency, _key_text(record.key), form, first, link, record.record,
        )  # fmt: skip


def _number(seq: int) -> bytes:
    text = seq_text(seq)
    return b"%d" % text if isinstance(text, int) else b'"%b"' % text.encode()


# A feed has the same keys again and again.
@lru_cache(maxsize=4096)
def _key_text(key: str | None) -> bytes:
    return b"" if key is None else b'"key":%b,' % msgspec.json.encode(key)
