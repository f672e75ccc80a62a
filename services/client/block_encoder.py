"""Puts together what a client says: the messages, blocks and first line of its log, and its subscription. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from pathlib import Path
from typing import Literal, NamedTuple

import msgspec

from services.client.block_builder import Arrived, Cut
from services.client.clock_sync import Estimate
from services.client.received import Received
from services.client.recovery import Tail
from services.contract import blocklog, wire
from services.contract.scalars import Span, digest, digest_text, utc_text
from services.runtime.saturation import Strain
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
    strain: Strain = field(default_factory=Strain)


class Place(NamedTuple):
    """Whose lines these are."""

    run: str
    client: str
    session: int


def block(
    place: Place, cut: Cut[Received], counts: tuple[int, int, list[Span]], clock: Estimate
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


def messages(cut: Cut[Arrived]) -> msgspec.Raw:
    """Return the messages of a block as they stand in its line."""
    *texts, last = (part.text() for part in cut.parts)
    # Put together once, without the last comma: a block has hundreds of kilobytes, and every copy of it shows.
    return msgspec.Raw(b"".join((b"[", *texts, memoryview(last)[:-1], b"]")))


def records_digest(cut: Cut[Arrived]) -> str:
    """Return the digest of a block's records, in the order of their numbers."""
    value = 0
    for part in sorted(cut.parts, key=attrgetter("first")):
        value = digest(part.lines(), value)
    return digest_text(value)


def opening(
    place: Place,
    fence: int,
    after: int,
    conditions: Conditions,
    tails: Sequence[Tail],
    now_us: int,
    attempted_us: int | None = None,
) -> blocklog.Open:
    """Return the first line of a session's first file.

    ``attempted_us`` is when the process first tried to connect, epoch microseconds of its own clock; None when that is
    not known.
    """
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
        attempted_at=None if attempted_us is None else utc_text(attempted_us),
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


def late_request(run: str, client: str, conditions: Conditions) -> wire.Subscribe:
    """Return the frame that asks to take part in a run that is over: by a client that has no log of it, session 0.

    It is refused; but the server enters into its ledger that this client came too late.
    """
    return request(Place(run, client, 0), conditions, 0)
