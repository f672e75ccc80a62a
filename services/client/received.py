"""What arrived: consecutive records of one batch, kept as bytes until their block is written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from itertools import groupby
from typing import NamedTuple

from services.contract import blocklog, wire
from services.contract.scalars import utc_text
from services.contract.wire import due_us


class Received(NamedTuple):
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

    def part(self, start: int, stop: int) -> Received:
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
        return blocklog.messages_text(self.first, self.records, at, self.latencies_ns, self.transit_ns)


def batch(header: wire.Records, records: list[bytes], received_ns: int, offset_us: int) -> Received:
    """Return a batch that arrived at ``received_ns``; ``offset_us`` is the server's clock minus this one's."""
    server_ns = received_ns + offset_us * 1000
    late_ns = server_ns - header.due_us * 1000
    return Received(
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


def only(arrived: Received, places: Iterable[int]) -> list[Received]:
    """Return those at some ascending places of a batch, as consecutive ones."""
    rows = (list(row) for _, row in groupby(enumerate(places), lambda pair: pair[1] - pair[0]))
    return [arrived.part(row[0][1], row[-1][1] + 1) for row in rows]
