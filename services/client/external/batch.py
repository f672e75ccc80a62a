"""What arrived in one frame of a foreign feed, kept as bytes until its block is written. Pure."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from services.client.external.decoder import Heard
from services.contract.external_blocklog import seq_text
from services.contract.scalars import utc_text


class HeardBatch(NamedTuple):
    """Records that arrived together. ``first`` is the place of the first one among all that this session received."""

    first: int
    heard: list[Heard]
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

    def part(self, start: int, stop: int) -> HeardBatch:
        """Return those from index ``start`` up to, not including, ``stop``."""
        return self._replace(first=self.first + start, heard=self.heard[start:stop])

    def lines(self) -> bytes:
        """Return the records as their digest covers them, each followed by a newline."""
        return b"\n".join(self.records) + b"\n"

    def text(self) -> bytes:
        """Return the messages as they stand in a block, each followed by a comma."""
        at = utc_text(self.received_ns // 1000).encode()
        return b"".join(self._message(one, at) for one in self.heard)

    def _message(self, one: Heard, at: bytes) -> bytes:
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
