"""Puts together what a client says: the messages, blocks and first line of its log, and its subscription. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from services import SOFTWARE
from services.client.block_builder import Arrived, BlockCut
from services.client.clock_sync import Estimate
from services.client.recovery import TornTail
from services.contract import block_text, blocklog, wire
from services.contract.scalars import Span, digest, digest_text, utc_text
from services.contract.wire import due_us
from services.runtime.saturation import SaturationMonitor


class ReceivedBatch(NamedTuple):
    """Consecutive records that arrived together.

    Attributes:
        first: seq of the first.
        records: their bytes, at least one.
        received_ns: when they arrived, epoch nanoseconds, this process's clock.
        latencies_ns: of each from its due time, or the one that all have.
        transit_ns: from when they were sent; all have this one.
    """

    first: int
    records: list[bytes]
    received_ns: int
    latencies_ns: Sequence[int] | int
    transit_ns: int

    @property
    def last(self) -> int:
        """Seq of the last."""
        return self.first + len(self.records) - 1

    @property
    def size(self) -> int:
        """Bytes of the records."""
        return sum(map(len, self.records))

    def part(self, start: int, stop: int) -> ReceivedBatch:
        """Return those from place ``start`` up to, not including, ``stop``."""
        if start == 0 and stop >= len(self.records):
            return self
        late = self.latencies_ns
        return self._replace(
            first=self.first + start,
            records=self.records[start:stop],
            latencies_ns=late if isinstance(late, int) else late[start:stop],
        )

    def lines(self) -> bytes:
        """Return the records as their digest covers them, each followed by a newline."""
        return b"\n".join(self.records) + b"\n"

    def text(self) -> bytes:
        """Return the messages as they stand in a block, each followed by a comma."""
        at = utc_text(self.received_ns // 1000).encode()
        return block_text.messages_text(self.first, self.records, at, self.latencies_ns, self.transit_ns)


def batch(header: wire.Records, records: list[bytes], received_ns: int, offset_us: int) -> ReceivedBatch:
    """Return a batch that arrived at ``received_ns``; ``offset_us`` is the server's clock minus this one's."""
    server_ns = received_ns + offset_us * 1000
    late_ns = server_ns - header.due_us * 1000
    return ReceivedBatch(
        first=header.first,
        records=records,
        received_ns=received_ns,
        # Flat out all were due at once.
        latencies_ns=[late_ns - due for due in _due_ns(header.rate, header.count)] if header.rate else late_ns,
        transit_ns=server_ns - header.sent_us * 1000,
    )


@lru_cache(maxsize=64)
def _due_ns(rate: float, count: int) -> list[int]:
    """Return how long after the first of a batch each record is due."""
    return [due_us(0, place, rate) * 1000 for place in range(count)]


def only(arrived: ReceivedBatch, places: Iterable[int]) -> list[ReceivedBatch]:
    """Return those at some ascending places of a batch, as consecutive ones."""
    rows = (list(row) for _, row in groupby(enumerate(places), lambda pair: pair[1] - pair[0]))
    return [arrived.part(row[0][1], row[-1][1] + 1) for row in rows]


@dataclass(frozen=True)
class ClientConditions:
    """What stays the same for a client in all its runs."""

    logs: Path
    block_size: int
    block_bytes: int
    block_seconds: float
    fsync: Literal["block", "interval", "none"]
    instance: str
    boot: str
    host: str
    strain: SaturationMonitor = field(default_factory=SaturationMonitor)


class SessionKey(NamedTuple):
    """Whose lines these are."""

    run: str
    client: str
    session: int


def block(
    place: SessionKey, cut: BlockCut[ReceivedBatch], counts: tuple[int, int, list[Span]], clock: Estimate
) -> blocklog.WrittenBlock:
    """Return the block of a cut; ``counts`` are duplicates, reordered and corrupt ranges since the one before."""
    duplicates, reordered, corrupt = counts
    return blocklog.WrittenBlock(
        run=place.run,
        client=place.client,
        session=place.session,
        block=cut.number,
        first=cut.first,
        last=cut.last,
        count=cut.count,
        missing=cut.missing(),
        duplicates=duplicates,
        reordered=reordered,
        corrupt=corrupt,
        closed_by=cut.closed_by,
        started_at=utc_text(cut.started_ns // 1000),
        ended_at=utc_text(cut.ended_ns // 1000),
        duration_ns=cut.ended_ns - cut.started_ns,
        idle_ns=cut.idle_ns,
        clock_offset_us=clock.offset_us,
        clock_error_us=clock.error_us,
        digest=records_digest(cut),
        messages=messages(cut),
    )


def messages(cut: BlockCut[Arrived]) -> msgspec.Raw:
    """Return the messages of a block as they stand in its line."""
    *texts, last = (part.text() for part in cut.parts)
    # Put together once, without the last comma: a block has hundreds of kilobytes, and every copy of it shows.
    return msgspec.Raw(b"".join((b"[", *texts, memoryview(last)[:-1], b"]")))


def records_digest(cut: BlockCut[Arrived]) -> str:
    """Return the digest of a block's records, in the order of their numbers."""
    value = 0
    for part in sorted(cut.parts, key=attrgetter("first")):
        value = digest(part.lines(), value)
    return digest_text(value)


def opening(
    place: SessionKey,
    fence: int,
    after: int,
    conditions: ClientConditions,
    tails: Sequence[TornTail],
    now_us: int,
    attempted_us: int | None = None,
) -> blocklog.OpenLine:
    """Return the first line of a session's first file.

    ``attempted_us`` is when the process first tried to connect, epoch microseconds of its own clock; None when that is
    not known.
    """
    return blocklog.OpenLine(
        run=place.run,
        client=place.client,
        session=place.session,
        segment=1,
        instance=conditions.instance,
        fence=fence,
        block_size=conditions.block_size,
        fsync=conditions.fsync,
        after=after,
        boot=conditions.boot,
        host=conditions.host,
        software=SOFTWARE,
        opened_at=utc_text(now_us),
        torn=[blocklog.Torn(tail.path.name, tail.torn) for tail in tails],
        attempted_at=None if attempted_us is None else utc_text(attempted_us),
    )


def request(place: SessionKey, conditions: ClientConditions, after: int) -> wire.Subscribe:
    """Return the frame that asks for everything after the seq that is held."""
    return wire.Subscribe(
        client=place.client,
        session=place.session,
        instance=conditions.instance,
        block_size=conditions.block_size,
        boot=conditions.boot,
        after=after,
        run=place.run,
    )


def late_request(run: str, client: str, conditions: ClientConditions) -> wire.Subscribe:
    """Return the frame that asks to take part in a run that is over: by a client that has no log of it, session 0.

    It is refused; but the server enters into its ledger that this client came too late.
    """
    return request(SessionKey(run, client, 0), conditions, 0)
