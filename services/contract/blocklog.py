"""The lines of a client's block log, for Streamgauge's own feed and for external feeds. Pure.

Both kinds of feed share the files, the codec, and the first and the last line of a file. Facts that are unknown of an
external feed are null in its lines and None in the structs. The version of a line shows which kind of feed it is of.
Specification: ``docs/formats/block-log.md`` and ``block-log-external.md`` beside it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any, ClassVar, Literal

import msgspec

from services.contract import bounds
from services.contract.errors import MalformedLine
from services.contract.feed_description import FeedDescription
from services.contract.jsonl import Kinds, LineStruct, Sealed
from services.contract.scalars import Count, Digest, Integer, Name, Nanoseconds, Positive, Run, Span
from services.contract.sequence_text import SeqNumber, has_text, integer, seq_text, span_text
from services.contract.unreleased_form import refuse_unreleased_form

VERSION = 1
"""Of lines of the own feed."""
EXTERNAL_VERSION = 2
"""Of lines of an external feed. Version 1 of these was never released: `refuse_unreleased_form`."""
MAX_BLOCK = 100_000
"""Most messages in a block."""
MAX_LINE = bounds.LOG_LINE_BYTES.value
"""Most bytes in a line. No client writes a longer one, so it is damage, and a reader need not keep it in memory."""
SEGMENT_BYTES = 64 * 1024 * 1024
"""Size from which a segment is closed and the next one begins."""

# Copies of another host's files begin with the name of that host.
_FILE = re.compile(r"(?:[^~]*~)?([0-9]{4,})-([0-9]{4,})\.jsonl")
ClosedBy = Literal["count", "time", "bytes", "end", "shutdown"]
FileEndReason = Literal["finished", "shutdown", "rotated", "superseded", "error"]
Form = Literal["text", "binary"]
ConnectionEvent = Literal["opened", "closed", "refused", "ended", "sealed"]


class Torn(msgspec.Struct, frozen=True):
    """An incomplete last line of an earlier session's file, left by a crash and cut off by this session."""

    file: str
    bytes: Count


class Stall(msgspec.Struct, frozen=True):
    """A time in which the client did not read because too much waited for the disk, by the client's clock."""

    started_at: str
    ended_at: str


class Message(msgspec.Struct, frozen=True, gc=False):
    """One record as one client received it; unknown facts are None.

    Attributes:
        seq: the feed's number of the record.
        received_at: when its bytes arrived, RFC 3339.
        latency_ns: from the due time of the record, for an external feed from its time of sending.
        transit_ns: from the time of sending by the own feed.
        record: the record's JSON, byte for byte as it was received.
    """

    seq: SeqNumber | None
    received_at: str
    latency_ns: Nanoseconds | None
    transit_ns: Nanoseconds | None
    record: msgspec.Raw


# Of the own feed all fields are known, so a line without one is malformed. The fields of external messages are not in
# the base class: unused, they made decoding a block 6 % slower (260 kB, 1,000 messages: 261 us instead of 246 us).
class OwnMessage(Message, frozen=True, gc=False):
    """A message of the own feed. Both durations are corrected by the clock offset.

    The own feed has one sequence, and its records are the received JSON.
    """

    key: ClassVar[None] = None
    form: ClassVar[None] = None
    seq: Positive
    latency_ns: Nanoseconds
    transit_ns: Nanoseconds


SEQ_FIELDS = "seq", "first_seq", "prev_seq"
"""Fields of an external message that are sequence numbers."""


class ExternalMessage(Message, frozen=True, gc=False, omit_defaults=True):
    """A message of an external feed.

    Attributes:
        key: which of the feed's sequences ``seq`` belongs to, None for the only one of a feed without keys.
        form: None if the record is the received JSON. ``text``: the record is a JSON string of the received text.
            ``binary``: it is a JSON string of the base64 of the received bytes.
        first_seq: the first number, if the message covers a range of numbers that ends with ``seq``.
        prev_seq: the number of the message before, if the message names it.
        connection: the number of its connection, if the block has messages of several.
    """

    key: str | None = None
    form: Form | None = None
    first_seq: SeqNumber | None = None
    prev_seq: SeqNumber | None = None
    connection: Positive | None = None

    def with_numbers(self, form: Callable[[Any], Any]) -> ExternalMessage:
        """Return a copy in which ``form`` is applied to each of the three numbers."""
        numbers = {name: form(number) for name in SEQ_FIELDS if (number := getattr(self, name)) is not None}
        return msgspec.structs.replace(self, **numbers)


class OpenLine(LineStruct, tag="open", frozen=True, kw_only=True):
    """First line of every file: which client wrote it, in which session, and under which conditions.

    Attributes:
        attempted_at: when this process first tried to take part in the run, by its own clock. Records that were due
            before are catch-up, not latency. None in files of a writer that does not record it.
        external: how the feed was read, None for the own feed.
        until: when the run of an external feed is to end, RFC 3339; None if it lasts until the clients are stopped.
    """

    run: Run
    client: Name
    session: Positive
    segment: Positive
    instance: str
    fence: Count
    block_size: Positive
    fsync: Literal["block", "interval", "none"]
    after: Count
    boot: str
    host: str
    software: str
    opened_at: str
    torn: list[Torn] = msgspec.field(default_factory=list)
    attempted_at: str | None = None
    external: FeedDescription | None = None
    until: str | None = None

    @property
    def line_version(self) -> int:
        """The version of this line, by the kind of feed."""
        return VERSION if self.external is None else EXTERNAL_VERSION

    def line_fields(self) -> dict[str, Any]:
        """Return the fields in the order of the line, without the two that the own feed does not have."""
        absent = {"external", "until"} if self.external is None and self.until is None else set()
        return {name: value for name, value in super().line_fields().items() if name not in absent}


class BlockHeader(LineStruct, tag="block", frozen=True, kw_only=True):
    """The fields of a block of the own feed that come before its messages. ``first`` and ``last`` are seqs."""

    run: Run
    client: Name
    session: Positive
    block: Positive
    first: Positive
    last: Positive
    count: Count
    missing: list[Span] = msgspec.field(default_factory=list)
    duplicates: Count = 0
    reordered: Count = 0
    corrupt: list[Span] = msgspec.field(default_factory=list)
    closed_by: ClosedBy
    started_at: str
    ended_at: str
    duration_ns: Integer
    idle_ns: Integer
    clock_offset_us: Integer
    clock_error_us: Count
    digest: Digest
    stalls: list[Stall] = msgspec.field(default_factory=list)

    @property
    def positions(self) -> Span:
        """The positions of the first and last message, for the own feed their seqs."""
        return self.first, self.last

    def begins_after(self, seq: int) -> bool:
        """Return whether all records of the block come after ``seq``."""
        return self.first > seq


class Block(BlockHeader, tag="block", frozen=True, kw_only=True):
    """A block of the own feed: the messages that a client logged together."""

    messages: list[OwnMessage]

    def message_positions(self) -> list[int]:
        """Return the position of each message, in the order of the messages."""
        return [message.seq for message in self.messages]

    def durations_ns(self, start: int = 0, stop: int | None = None) -> tuple[list[int], list[int]]:
        """Return the known latencies and transits of messages ``[start:stop]``."""
        messages = self.messages[start:stop]
        return [message.latency_ns for message in messages], [message.transit_ns for message in messages]


class _ExternalStruct(LineStruct, frozen=True, kw_only=True):
    @property
    def line_version(self) -> int:
        """The version of this line."""
        return EXTERNAL_VERSION


class ExternalBlockHeader(_ExternalStruct, tag="block", frozen=True, kw_only=True):
    """The fields of a block of an external feed that come before its messages. A block never spans two connections.

    Attributes:
        positions: of its messages, counted from 1 in the order received by the session.
        first: the lowest seq, ``last`` the highest; None if no message has a seq, or if the feed has keys.
        digest: of the records in the order received.
        without_key: the number of messages without a key, ``without_time`` without a usable time, of a feed with such a
            path; None where that is not known.
        ignored: the number of messages since the block before that were ignored, ``pings`` that were pings.
    """

    # Frames of the own feed have checksums by which a client detects damage on the way; external feeds have none.
    corrupt: ClassVar[Sequence[Span]] = ()

    run: Run
    client: Name
    session: Positive
    block: Positive
    positions: Span
    first: SeqNumber | None
    last: SeqNumber | None
    count: Count
    missing: list[tuple[SeqNumber, SeqNumber]] = msgspec.field(default_factory=list)
    duplicates: Count = 0
    reordered: Count = 0
    restarts: Count = 0
    unsequenced: Count = 0
    without_key: Count | None = None
    without_time: Count | None = None
    ignored: Count | None = None
    pings: Count | None = None
    connection: Positive = 1
    closed_by: ClosedBy | Literal["connection"]
    started_at: str
    ended_at: str
    duration_ns: Nanoseconds
    idle_ns: Nanoseconds
    clock_offset_us: None = None
    clock_error_us: None = None
    digest: Digest
    stalls: list[Stall] = msgspec.field(default_factory=list)

    def line_fields(self) -> dict[str, Any]:
        """Return the fields of the line. Numbers that JSON readers may not keep exact are texts."""
        # Logs of earlier versions lack these four, and a copy of their lines must not differ.
        values = {
            name: value
            for name, value in super().line_fields().items()
            if value is not None or name not in ("without_key", "without_time", "ignored", "pings")
        }
        first, last = (None if seq is None else seq_text(seq) for seq in (self.first, self.last))
        return values | {"first": first, "last": last, "missing": [span_text(span) for span in self.missing]}

    def begins_after(self, seq: int) -> bool:
        """Return whether all records of the block are known to come after ``seq``."""
        return self.first is not None and self.first > seq


class ExternalBlock(ExternalBlockHeader, tag="block", frozen=True, kw_only=True):
    """A block of an external feed: the messages that a client logged together. All sequence numbers are integers."""

    messages: list[ExternalMessage]

    def __post_init__(self) -> None:
        """Replace sequence numbers that are texts in the line by integers."""
        missing = [(integer(begin), integer(end)) for begin, end in self.missing]
        for name, value in (("first", integer(self.first)), ("last", integer(self.last)), ("missing", missing)):
            msgspec.structs.force_setattr(self, name, value)
        if any(has_text(map(number, self.messages)) for number in map(attrgetter, SEQ_FIELDS)):
            messages = [message.with_numbers(integer) for message in self.messages]
            msgspec.structs.force_setattr(self, "messages", messages)

    def line_fields(self) -> dict[str, Any]:
        """Return the fields of the line."""
        return {**super().line_fields(), "messages": [message.with_numbers(seq_text) for message in self.messages]}

    def message_positions(self) -> list[int]:
        """Return the position of each message, in the order of the messages, which is the order received."""
        first, _ = self.positions
        return list(range(first, first + len(self.messages)))

    def durations_ns(self, start: int = 0, stop: int | None = None) -> tuple[list[int], list[int]]:
        """Return the known latencies and transits of messages ``[start:stop]``."""
        messages = self.messages[start:stop]
        latencies = [message.latency_ns for message in messages if message.latency_ns is not None]
        return latencies, [message.transit_ns for message in messages if message.transit_ns is not None]


class ConnectionLine(_ExternalStruct, tag="connection", frozen=True, kw_only=True):
    """A change of the connection to an external feed, written when it happens.

    ``opened``: the handshake succeeded. ``refused``: an attempt failed. ``closed``: the connection ended, not by the
    client. ``ended``: a condition of ``FEED_END`` was met. ``sealed``: the client's run is over, in time or stopped.

    Attributes:
        connection: the number of connections of the session so far, including this one; 0 before the first.
        at: when it happened, RFC 3339.
        connected: whether the client was connected to the feed: after ``opened``, and until ``ended`` or ``sealed``.
        code: the close code, or the HTTP status of a refused attempt; None without one.
        reason: the close reason, or why an attempt failed, at most 200 characters; for ``sealed`` the last one when not
            connected, or that the server has not answered the greeting.
        attempts: the number of failed attempts since the client was last connected.
        ignored: the number of messages since the last block that were ignored, ``pings`` that were pings.
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
    ignored: Count = 0
    pings: Count = 0


class EndLine(LineStruct, tag="end", frozen=True, kw_only=True):
    """Last line of a file that was closed properly. Counts are of this file; ``sha256`` covers all lines before."""

    reason: FileEndReason
    block_count: Count
    message_count: Count
    byte_count: Count
    duplicates: Count = 0
    reordered: Count = 0
    corrupt: list[Span] = msgspec.field(default_factory=list)
    sha256: str
    loop_lag_p99_ns: Count | None = None
    loop_lag_max_ns: Count | None = None
    cpu_ns: Count | None = None
    throttled_ns: Count | None = None
    stalls: list[Stall] = msgspec.field(default_factory=list)


class ExternalEndLine(_ExternalStruct, EndLine, tag="end", frozen=True, kw_only=True):
    """The last line of a file of an external feed."""


AnyBlock = Block | ExternalBlock
OwnLine = OpenLine | Block | EndLine
ExternalLine = OpenLine | ExternalBlock | ConnectionLine | ExternalEndLine
LogLine = OpenLine | Block | ExternalBlock | ConnectionLine | EndLine


class BlockLogCodec(Kinds[LogLine]):
    """Decodes the lines of block logs. The version of a line shows which kind of feed it is of."""

    def __init__(self) -> None:
        super().__init__({VERSION: OwnLine, EXTERNAL_VERSION: ExternalLine})

    def decode(self, line: bytes) -> tuple[Sealed, LogLine]:
        """Check and decode one line. Unknown fields are ignored.

        Raises:
            LineError: the class of the error names the fault of the line.
        """
        try:
            sealed, entry = super().decode(line)
        except MalformedLine:
            refuse_unreleased_form(line)
            raise
        # An open line of the unreleased form would be accepted as one of the own feed.
        if isinstance(entry, OpenLine) and entry.external is None:
            refuse_unreleased_form(line)
        return sealed, entry


codec = BlockLogCodec()


def file_name(session: int, segment: int) -> str:
    """Return the name of one segment of one session: ``0001-0001.jsonl``."""
    return f"{session:04d}-{segment:04d}.jsonl"


def parse_file_name(name: str) -> tuple[int, int] | None:
    """Return session and segment of the name of a block-log file, None for another name."""
    match = _FILE.fullmatch(name)
    return (int(match[1]), int(match[2])) if match else None
