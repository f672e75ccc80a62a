"""Encodes what a client logs and asks for: messages, blocks and first lines of its log, and its subscription. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from services import SOFTWARE
from services.client.block_builder import Arrived, BlockCut
from services.client.clock_sync import Estimate
from services.client.settings import ClientConfig
from services.contract import block_text, blocklog, wire
from services.contract.scalars import Span, digest, digest_text, utc_text
from services.contract.wire import due_us

_LINE_BYTES = 2048
"""Memory of a line without its messages: a dict of about twenty fields, and their values."""


class SessionKey(NamedTuple):
    """Identifies a session: one process's log of one client in one run."""

    run: str
    client: str
    session: int


@dataclass(frozen=True, slots=True)
class PendingLine:
    """A line of the block log on its way to the disk.

    Attributes:
        fields: the line's fields in their order, without ``crc`` and ``prev``.
        message_count: messages in the block; 0 for a line that is not a block.
        first: lowest seq in the block; None when that is not known.
    """

    fields: dict[str, Any]
    message_count: int = 0
    first: int | None = None

    @property
    def size_bytes(self) -> int:
        """The memory that the line needs, in bytes."""
        return _LINE_BYTES + len(self.fields.get("messages", b""))

    @property
    def is_block(self) -> bool:
        """Whether the line holds messages."""
        return self.message_count > 0

    def begins_after(self, seq: int) -> bool:
        """Return whether the line certainly holds no message up to ``seq``."""
        return not self.is_block or (self.first is not None and self.first > seq)


class ReceivedBatch(NamedTuple):
    """Consecutive records that arrived together.

    Attributes:
        first: seq of the first record.
        records: the records' bytes, at least one.
        received_ns: arrival time, epoch nanoseconds, this process's clock.
        latencies_ns: latency of each record from its due time, or one value if all are equal.
        transit_ns: time since the batch was sent.
    """

    first: int
    records: list[bytes]
    received_ns: int
    latencies_ns: Sequence[int] | int
    transit_ns: int

    @property
    def last(self) -> int:
        """Seq of the last record."""
        return self.first + len(self.records) - 1

    @property
    def size(self) -> int:
        """Bytes of all records."""
        return sum(map(len, self.records))

    def part(self, start: int, stop: int) -> ReceivedBatch:
        """Return the records from index ``start`` up to, not including, ``stop``."""
        # Usually the whole batch fits into one block: then nothing is copied.
        if start == 0 and stop >= len(self.records):
            return self
        latencies_ns = self.latencies_ns
        return self._replace(
            first=self.first + start,
            records=self.records[start:stop],
            latencies_ns=latencies_ns if isinstance(latencies_ns, int) else latencies_ns[start:stop],
        )

    def lines(self) -> bytes:
        """Return the bytes that the block's digest covers: each record followed by a newline."""
        return b"\n".join(self.records) + b"\n"

    def text(self) -> bytes:
        """Return the messages as JSON objects, each followed by a comma."""
        # One formatting call for all messages, whose records stay bytes: a struct and an encoder for each message would
        # cost more than everything else that a client does with it.
        received_at = utc_text(self.received_ns // 1000).encode()
        return block_text.messages_text(self.first, self.records, received_at, self.latencies_ns, self.transit_ns)


def batch(header: wire.Records, records: list[bytes], received_ns: int, offset_us: int) -> ReceivedBatch:
    """Return a batch with the latency and transit of its records.

    Args:
        header: with the due time of the first record and the send time, on the server's clock.
        records: the records' bytes.
        received_ns: arrival time, epoch nanoseconds, this process's clock.
        offset_us: server's clock minus this process's clock.
    """
    server_ns = received_ns + offset_us * 1000
    late_ns = server_ns - header.due_us * 1000
    return ReceivedBatch(
        first=header.first,
        records=records,
        received_ns=received_ns,
        # Without a rate (flat out) all records of a batch are due at the same time.
        latencies_ns=[late_ns - due for due in _due_ns(header.rate, header.count)] if header.rate else late_ns,
        transit_ns=server_ns - header.sent_us * 1000,
    )


# Batches at one rate have few different lengths.
@lru_cache(maxsize=64)
def _due_ns(rate: float, count: int) -> list[int]:
    """Return when each record of a batch is due, in nanoseconds after the first."""
    return [due_us(0, place, rate) * 1000 for place in range(count)]


def only(arrived: ReceivedBatch, indices: Iterable[int]) -> list[ReceivedBatch]:
    """Return the records at ascending indices of a batch, as batches of consecutive records."""
    rows = (list(row) for _, row in groupby(enumerate(indices), lambda pair: pair[1] - pair[0]))
    return [arrived.part(row[0][1], row[-1][1] + 1) for row in rows]


def block_line(
    key: SessionKey, cut: BlockCut[ReceivedBatch], counts: tuple[int, int, list[Span]], clock: Estimate
) -> PendingLine:
    """Return the line of a block.

    Args:
        key: the session that logs it.
        cut: what the block holds.
        counts: duplicates, reordered records and corrupt ranges since the block before.
        clock: clock offset that the latencies of its messages were corrected by.
    """
    duplicates, reordered, corrupt = counts
    # A dict and not a struct: the logging module takes a mapping, and this runs for every block. Its names and their
    # order are those of `blocklog.Block`.
    fields = {
        **block_head(key, cut.number, blocklog.VERSION),
        "first": cut.first,
        "last": cut.last,
        "count": cut.count,
        "missing": cut.missing(),
        "duplicates": duplicates,
        "reordered": reordered,
        "corrupt": corrupt,
        "closed_by": cut.closed_by,
        **block_times(cut),
        "clock_offset_us": clock.offset_us,
        "clock_error_us": clock.error_us,
        "digest": records_digest(cut),
        "messages": messages(cut),
    }
    return PendingLine(fields, cut.count, cut.first)


def block_head(key: SessionKey, number: int, version: int) -> dict[str, Any]:
    """Return the first fields of a block, up to its number; ``version`` is that of the lines of its feed."""
    return {
        "v": version,
        "kind": "block",
        "run": key.run,
        "client": key.client,
        "session": key.session,
        "block": number,
    }


def block_times(cut: BlockCut[Arrived]) -> dict[str, Any]:
    """Return the fields of a block from ``started_at`` to ``idle_ns``."""
    return {
        "started_at": utc_text(cut.started_ns // 1000),
        "ended_at": utc_text(cut.ended_ns // 1000),
        "duration_ns": cut.ended_ns - cut.started_ns,
        "idle_ns": cut.idle_ns,
    }


def messages(cut: BlockCut[Arrived]) -> msgspec.Raw:
    """Return the JSON array of a block's messages, in the order received."""
    *texts, last = (part.text() for part in cut.parts)
    # One join, and the last comma cut off without a copy: a block has hundreds of kilobytes.
    return msgspec.Raw(b"".join((b"[", *texts, memoryview(last)[:-1], b"]")))


def records_digest(cut: BlockCut[Arrived]) -> str:
    """Return the digest of a block's records, in the order of their numbers."""
    value = 0
    # By number and not by arrival: the server computes the same digest from the numbers alone.
    for part in sorted(cut.parts, key=attrgetter("first")):
        value = digest(part.lines(), value)
    return digest_text(value)


def opening(
    key: SessionKey,
    fence: int,
    after: int,
    config: ClientConfig,
    torn: Sequence[blocklog.Torn],
    now_us: int,
    attempted_us: int | None = None,
) -> blocklog.OpenLine:
    """Return the first line of a session's first file.

    Args:
        key: the session.
        fence: number by which the server granted the subscription.
        after: last seq that the client holds from earlier sessions.
        config: how the client logs.
        torn: tails of earlier sessions that were cut off.
        now_us: epoch microseconds.
        attempted_us: when this process first tried to connect, epoch microseconds; None when that is not known.
    """
    return blocklog.OpenLine(
        run=key.run,
        client=key.client,
        session=key.session,
        segment=1,
        instance=config.instance,
        fence=fence,
        block_size=config.block_size,
        fsync=config.fsync,
        after=after,
        boot=config.boot,
        host=config.host,
        software=SOFTWARE,
        opened_at=utc_text(now_us),
        torn=list(torn),
        attempted_at=None if attempted_us is None else utc_text(attempted_us),
    )


def request(key: SessionKey, config: ClientConfig, after: int, fence: int = 0, recorded: int = 0) -> wire.Subscribe:
    """Return the frame that subscribes to everything after the seq ``after``.

    Args:
        key: the session.
        config: how the client logs.
        after: the last seq that the client holds.
        fence: the highest that a server of the run has granted to this client, 0 for none.
        recorded: the last seq up to which servers of the run have recorded every receipt, 0 for none.
    """
    return wire.Subscribe(
        client=key.client,
        session=key.session,
        instance=config.instance,
        block_size=config.block_size,
        boot=config.boot,
        after=after,
        run=key.run,
        fence=fence or msgspec.UNSET,
        recorded=recorded or msgspec.UNSET,
    )


def late_request(run: str, client: str, config: ClientConfig) -> wire.Subscribe:
    """Return the frame by which a client without a log asks to take part in a run that has ended, as session 0.

    The server refuses it, and records in its ledger that this client came too late.
    """
    return request(SessionKey(run, client, 0), config, 0)
