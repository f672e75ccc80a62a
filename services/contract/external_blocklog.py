"""The lines of a block log of somebody else's feed. Specification: ``docs/guides/external-feeds.md``.

The files, the codec and the kinds are those of `services.contract.blocklog`. What differs is what nobody can know of
a feed that is not ours, and is null then: a message may have no seq, or no time of its sender; and every message that
came is logged, one that came again too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec

from services.contract import blocklog
from services.contract.blocklog import ClosedBy, EndLine
from services.contract.errors import LineError, MalformedLine
from services.contract.jsonl import Kinds, LineStruct, Sealed
from services.contract.scalars import MAX_INTEGER, Count, Digest, Integer, Name, Positive, Run, Span

Form = Literal["text", "binary"]
BigNumber = Annotated[str, msgspec.Meta(pattern=r"^[1-9][0-9]{15,19}\Z")]
"""A number from 2^53 on, as the digits of a text: a JSON reader may not keep a larger integer exact."""
SeqText = Integer | BigNumber
"""A sequence number as it stands in a line."""
SeqSpan = tuple[SeqText, SeqText]
"""An inclusive range of sequence numbers as it stands in a line."""
BESIDE_RECORD, BESIDE_KEY = 220, 730
"""Bytes in a line, at most: for a message beside its record and its key; for a key."""


def longest_record(size: int) -> int:
    """Return how many bytes a message of ``size`` bytes can have as a record: those of its base64 as a JSON text.

    A text that would have more, since most of its characters are escaped, is logged as base64, too.
    """
    return 4 * -(-size // 3) + 2


ConnectionEvent = Literal["opened", "closed", "refused", "ended", "sealed"]


def seq_text(number: int) -> int | str:
    """Return a sequence number as it stands in a line: an integer below 2^53, a text of digits from there on."""
    return number if number <= MAX_INTEGER else str(number)


def span_text(span: tuple[int, int]) -> SeqSpan:
    """Return a range of sequence numbers as it stands in a line."""
    return seq_text(span[0]), seq_text(span[1])


def _number(text: SeqText | None) -> int | None:
    return int(text) if isinstance(text, str) else text


class FeedDescription(msgspec.Struct, frozen=True, kw_only=True):
    """How the feed was read: the address without its secrets, and where in a message the facts were sought.

    ``silence_s`` is the longest time without a record, in seconds, that the operator allows (``FEED_SILENCE``), null
    when it is to be derived from the feed's own rhythm; ``end`` is how the feed says that it is over (``FEED_END``);
    ``clients`` is how many clients take part in the run (``CLIENTS``), null when the operator did not say.
    """

    url: str
    seq: str | None = None
    time: str | None = None
    key: str | None = None
    records: str | None = None
    match: str | None = None
    silence_s: float | None = None
    end: str | None = None
    clients: Positive | None = None


class ExternalMessage(msgspec.Struct, frozen=True, gc=False):
    """One record as one client received it.

    ``seq`` is the feed's own number, null where there is none that can be used, and a text of digits from 2^53 on
    (`number` is always an integer); ``latency_ns`` counts from the
    sender's time, as it stands there, null without one; ``transit_ns``, of which nothing is known, is null. ``record``
    is what came where that is JSON, else a JSON text of it; ``form`` says then what came: ``text``, or ``binary``, of
    which the record is the base64.
    """

    seq: SeqText | None
    received_at: str
    latency_ns: int | None
    record: msgspec.Raw
    key: str | None = None
    form: Form | None = None

    @property
    def number(self) -> int | None:
        """The sequence number as an integer, None where there is none."""
        return _number(self.seq)


class ExternalOpenLine(blocklog.OpenLine, tag="open", frozen=True, kw_only=True):
    """First line of every file; ``until`` is when the run is to end, null for: when the clients are stopped."""

    foreign: FeedDescription
    until: str | None = None


class ExternalBlockHeader(LineStruct, tag="block", frozen=True, kw_only=True):
    """What a block says of its messages.

    ``heard`` counts the session's messages in the order received: ``[21, 30]`` are the 21st to the 30th. ``first`` and
    ``last`` are the lowest and the highest seq, null when none has one, or several sequences are told apart by a key.
    ``digest`` covers the records in the order received. A block never spans two connections: it is closed, by
    ``connection``, when the one that it began with is over.
    """

    run: Run
    client: Name
    session: Positive
    block: Positive
    heard: Span
    first: SeqText | None
    last: SeqText | None
    count: Count
    missing: list[tuple[SeqText, SeqText]] = msgspec.field(default_factory=list)
    duplicates: Count = 0
    reordered: Count = 0
    restarts: Count = 0
    unsequenced: Count = 0
    connection: Positive = 1
    closed_by: ClosedBy | Literal["connection"]
    started_at: str
    ended_at: str
    duration_ns: int
    idle_ns: int
    clock_offset_us: None = None
    clock_error_us: None = None
    digest: Digest

    @property
    def bounds(self) -> tuple[int | None, int | None]:
        """The lowest and the highest seq as integers, None where there is none."""
        return _number(self.first), _number(self.last)

    def begins_after(self, seq: int) -> bool:
        """Tell whether it is certain that who holds everything up to ``seq`` lacks all of this block."""
        first, _ = self.bounds
        return first is not None and first > seq


class ExternalBlock(ExternalBlockHeader, tag="block", frozen=True, kw_only=True):
    """The messages that a client logged together, as a reader has them."""

    messages: list[ExternalMessage]


class WrittenExternalBlock(ExternalBlockHeader, tag="block", frozen=True, kw_only=True):
    """The same as its writer has them."""

    messages: msgspec.Raw


class ConnectionLine(LineStruct, tag="connection", frozen=True, kw_only=True):
    """What became of the connection to the feed, entered when it happened.

    ``opened``: the handshake succeeded. ``refused``: an attempt failed. ``closed``: a connection ended that the client
    did not end. ``ended``: what ``FEED_END`` names was met, and the client's run is over. ``sealed``: the run's time is
    over, or the operator stopped the client; the last line of this kind in every session that was closed well.

    Attributes:
        connection: how many connections this session has had, this one included; 0 before the first.
        at: when it happened, RFC 3339.
        connected: whether the client was connected to the feed: after ``opened``, and until ``ended`` or ``sealed``.
        code: the close code, or the HTTP status that refused an attempt; null where there is none.
        reason: the close reason, or why an attempt failed, at most 200 characters; of ``sealed`` the last one.
        attempts: attempts that failed since the client was connected last.
    """

    run: Run
    client: Name
    session: Positive
    connection: Count
    event: ConnectionEvent
    at: str
    connected: bool
    code: Count | None = None
    reason: str = ""
    attempts: Count = 0


ExternalLogLine = ExternalOpenLine | ExternalBlock | ConnectionLine | EndLine
codec: Kinds[ExternalOpenLine | ExternalBlock | ConnectionLine | EndLine] = Kinds(ExternalLogLine)
AnyEntry = blocklog.LogLine | ExternalLogLine
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
    return b'"heard":[' in line[:_HEAD] or b'"kind":"connection"' in line[:_HEAD]


def as_block(heard: ExternalBlock) -> blocklog.Block:
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
        closed_by="end" if heard.closed_by == "connection" else heard.closed_by,
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


def messages_digest(messages: Sequence[ExternalMessage]) -> str:
    """Return the digest of a block's records, in the order received."""
    return blocklog.records_digest([message.record for message in messages])
