"""The lines of a block log of somebody else's feed. Specification: ``docs/foreign-feeds.md``.

The files, the codec and the kinds are those of `services.contract.blocklog`. What differs is what nobody can know of
a feed that is not ours, and is null then: a message may have no seq, or no time of its sender; and every message that
came is logged, one that came again too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from services.contract import blocklog
from services.contract.blocklog import ClosedBy, End
from services.contract.errors import LineError, MalformedLine
from services.contract.fields import Count, Digest, Integer, Name, Positive, Run, Span
from services.contract.line import Kinds, LineStruct, Sealed

Form = Literal["text", "binary"]


class Feed(msgspec.Struct, frozen=True, kw_only=True):
    """How the feed was read: the address without its secrets, and where in a message the facts were sought."""

    url: str
    seq: str | None = None
    time: str | None = None
    key: str | None = None
    records: str | None = None
    match: str | None = None


class HeardMessage(msgspec.Struct, frozen=True, gc=False):
    """One record as one client received it.

    ``seq`` is the feed's own number, null where there is none that can be used; ``latency_ns`` counts from the
    sender's time, as it stands there, null without one; ``transit_ns``, of which nothing is known, is null. ``record``
    is what came where that is JSON, else a JSON text of it; ``form`` says then what came: ``text``, or ``binary``, of
    which the record is the base64.
    """

    seq: Integer | None
    received_at: str
    latency_ns: int | None
    record: msgspec.Raw
    key: str | None = None
    form: Form | None = None


class Open(blocklog.Open, tag="open", frozen=True, kw_only=True):
    """First line of every file; ``until`` is when the run is to end, null for: when the clients are stopped."""

    foreign: Feed
    until: str | None = None


class HeardHeader(LineStruct, tag="block", frozen=True, kw_only=True):
    """What a block says of its messages.

    ``heard`` counts the session's messages in the order received: ``[21, 30]`` are the 21st to the 30th. ``first`` and
    ``last`` are the lowest and the highest seq, null when none has one, or several sequences are told apart by a key.
    ``digest`` covers the records in the order received.
    """

    run: Run
    client: Name
    session: Positive
    block: Positive
    heard: Span
    first: Integer | None
    last: Integer | None
    count: Count
    missing: list[tuple[Integer, Integer]] = msgspec.field(default_factory=list)
    duplicates: Count = 0
    reordered: Count = 0
    restarts: Count = 0
    unsequenced: Count = 0
    connection: Positive = 1
    closed_by: ClosedBy
    started_at: str
    ended_at: str
    duration_ns: int
    idle_ns: int
    clock_offset_us: None = None
    clock_error_us: None = None
    digest: Digest

    def begins_after(self, seq: int) -> bool:
        """Tell whether it is certain that who holds everything up to ``seq`` lacks all of this block."""
        return self.first is not None and self.first > seq


class HeardBlock(HeardHeader, tag="block", frozen=True, kw_only=True):
    """The messages that a client logged together, as a reader has them."""

    messages: list[HeardMessage]


class WrittenHeard(HeardHeader, tag="block", frozen=True, kw_only=True):
    """The same as its writer has them."""

    messages: msgspec.Raw


Entry = Open | HeardBlock | End
codec: Kinds[Open | HeardBlock | End] = Kinds(Entry)
AnyEntry = blocklog.Entry | Entry
_HEAD = 400
"""Within so many bytes a line of our own writers says what it is."""


class EitherFeed:
    """Decodes lines of a block log, whether it is of our own feed or of somebody else's."""

    @staticmethod
    def decode(line: bytes) -> tuple[Sealed, AnyEntry]:
        """Check and decode one line.

        Raises:
            LineError: the leaf says what is wrong with the line, if it is one of our own feed.
        """
        first: Kinds[Any] = codec if _is_heard(line) else blocklog.codec
        try:
            found: tuple[Sealed, AnyEntry] = first.decode(line)
        except MalformedLine:
            # Another writer may put its fields in another order.
            with contextlib.suppress(LineError):
                return codec.decode(line)
            return blocklog.codec.decode(line)
        return found


def _is_heard(line: bytes) -> bool:
    if b'"kind":"open"' in line[:_HEAD]:
        return b'"foreign":{' in line
    return b'"heard":[' in line[:_HEAD]


def as_block(heard: HeardBlock) -> blocklog.Block:
    """Return a block whose messages are numbered by their places: what is known of it beside the feed's own numbers."""
    first, last = heard.heard
    return blocklog.Block(
        run=heard.run,
        client=heard.client,
        session=heard.session,
        block=heard.block,
        first=first,
        last=last,
        count=heard.count,
        closed_by=heard.closed_by,
        started_at=heard.started_at,
        ended_at=heard.ended_at,
        duration_ns=heard.duration_ns,
        idle_ns=heard.idle_ns,
        clock_offset_us=0,
        clock_error_us=0,
        digest=heard.digest,
        messages=[
            blocklog.Message(place, one.received_at, one.latency_ns or 0, 0, one.record)
            for place, one in enumerate(heard.messages, first)
        ],
    )


def messages_digest(messages: Sequence[HeardMessage]) -> str:
    """Return the digest of a block's records, in the order received."""
    return blocklog.records_digest([message.record for message in messages])
