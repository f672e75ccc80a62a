"""Puts together what a client says: the messages, blocks and first line of its log, and its subscription. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, repeat
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from services.client.cut import Cut
from services.client.history import Tail
from services.client.offset import Estimate
from services.contract import blocklog, wire
from services.contract.fields import Span, utc_text
from services.contract.wire import due_us
from services.runtime.version import SOFTWARE


@dataclass(frozen=True)
class Conditions:
    """What stays the same for a client in all its runs."""

    logs: Path
    block_size: int
    block_bytes: int
    block_seconds: float
    fsync: Literal["block", "interval", "none"]
    instance: str
    boot: str
    host: str


class Place(NamedTuple):
    """Whose lines these are."""

    run: str
    client: str
    session: int


def messages(header: wire.Records, body: bytes, received_ns: int, offset_us: int) -> list[blocklog.Message]:
    """Return the messages of a batch that arrived at ``received_ns`` (epoch nanoseconds, this process's clock)."""
    at = utc_text(received_ns // 1000)
    server_ns = received_ns + offset_us * 1000
    transit_ns = server_ns - header.sent_us * 1000
    late_ns = server_ns - header.due_us * 1000
    # Flat out, where speed counts, all were due at once.
    latencies = [late_ns - due_us(0, i, header.rate) * 1000 for i in range(header.count)] if header.rate else None
    message, raw = blocklog.Message, msgspec.Raw
    return [
        message(seq, at, latency_ns, transit_ns, raw(record))
        for seq, latency_ns, record in zip(
            count(header.first), latencies or repeat(late_ns), body.split(b"\n")[:-1], strict=False
        )
    ]


def block(
    place: Place, number: int, cut: Cut, counts: tuple[int, int, list[Span]], idle_ns: int, clock: Estimate
) -> blocklog.Block:
    """Return the block of a cut; ``counts`` are duplicates, reordered and corrupt ranges since the one before."""
    duplicates, reordered, corrupt = counts
    return blocklog.Block(
        run=place.run,
        client=place.client,
        session=place.session,
        block=number,
        first=cut.first,
        last=cut.last,
        count=len(cut.messages),
        missing=cut.missing(),
        duplicates=duplicates,
        reordered=reordered,
        corrupt=corrupt,
        closed_by=cut.closed_by,
        started_at=utc_text(cut.started_ns // 1000),
        ended_at=utc_text(cut.ended_ns // 1000),
        duration_ns=cut.ended_ns - cut.started_ns,
        idle_ns=idle_ns,
        clock_offset_us=clock.offset_us,
        clock_error_us=clock.error_us,
        digest=blocklog.block_digest(cut.messages),
        messages=cut.messages,
    )


def opening(
    place: Place, fence: int, after: int, conditions: Conditions, tails: Sequence[Tail], now_us: int
) -> blocklog.Open:
    """Return the first line of a session's first file."""
    return blocklog.Open(
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
    )


def request(place: Place, conditions: Conditions, after: int) -> wire.Subscribe:
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
