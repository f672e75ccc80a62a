"""The lines of a block log of somebody else's feed. Specification: ``docs/foreign-feeds.md``.

The files, the codec and the kinds are those of `services.contract.blocklog`. What differs is what nobody can know of
a feed that is not ours, and is null then: a message may have no seq, or no time of its sender; and every message that
came is logged, one that came again too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import msgspec

from services.contract import blocklog
from services.contract.blocklog import ClosedBy, End
from services.contract.fields import Count, Digest, Integer, Name, Positive, Run, Span
from services.contract.line import Kinds, LineStruct

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


def messages_digest(messages: Sequence[HeardMessage]) -> str:
    """Return the digest of a block's records, in the order received."""
    return blocklog.records_digest([message.record for message in messages])
