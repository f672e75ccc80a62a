"""The lines of a client's block log: what it received, in blocks. Specification: ``docs/formats/block-log.md``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import chain
from operator import attrgetter
from typing import Literal

import msgspec

from services.contract.jsonl import Kinds, LineStruct
from services.contract.scalars import Count, Digest, Integer, Name, Positive, Run, Span, digest, digest_text

VERSION = 1
MAX_BLOCK = 100_000
"""Messages in a block, at most."""
MAX_LINE = 32 * 1024 * 1024
"""Bytes in a line, at most; a longer one is damage, so that no file exhausts a reader's memory.

A client does not start with settings that could make a longer one: `longest_line`.
"""
SEGMENT_BYTES = 64 * 1024 * 1024
"""A segment is closed when it has reached this size, and the next begun."""

_FILE = re.compile(r"([0-9]{4,})-([0-9]{4,})\.jsonl")

ClosedBy = Literal["count", "time", "bytes", "end", "shutdown"]
FileEndReason = Literal["finished", "shutdown", "rotated", "superseded", "error"]


class Torn(msgspec.Struct, frozen=True):
    """A tail that an earlier session's crash left, and that this session cut off."""

    file: str
    bytes: Count


class Message(msgspec.Struct, frozen=True, gc=False):
    """One record as one client received it.

    ``received_at`` was stamped when its bytes arrived; ``latency_ns`` counts from the due time,
    ``transit_ns`` from the send time, both corrected by the clock offset; ``record`` is byte for byte what came.
    """

    seq: Positive
    received_at: str
    latency_ns: int
    transit_ns: int
    record: msgspec.Raw


class OpenLine(LineStruct, tag="open", frozen=True, kw_only=True):
    """First line of every file: whose it is and under which conditions it was written.

    ``attempted_at`` is when this process began to try to take part in the run, on its own clock: records that were due
    before are catch-up and no latency. Null in files of a writer that does not say.
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


class BlockHeader(LineStruct, tag="block", frozen=True, kw_only=True):
    """What a block says of its messages, before they follow."""

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

    def begins_after(self, seq: int) -> bool:
        """Tell whether nothing of this block is held by whoever holds everything up to ``seq``."""
        return self.first > seq


class Block(BlockHeader, tag="block", frozen=True, kw_only=True):
    """The messages that a client logged together, as a reader has them."""

    messages: list[Message]


class WrittenBlock(BlockHeader, tag="block", frozen=True, kw_only=True):
    """The same as its writer has them: what stands in the line, made by `messages_text`."""

    messages: msgspec.Raw


class EndLine(LineStruct, tag="end", frozen=True, kw_only=True):
    """Last line of a file that was closed well. Counts are of this file; ``sha256`` is of all before this line.

    The last four are of the client's process, from the session's first record on: whether it was held up.
    """

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


LogLine = OpenLine | Block | EndLine
codec: Kinds[OpenLine | Block | EndLine] = Kinds(LogLine)


def file_name(session: int, segment: int) -> str:
    """Return the name of one segment of one session: ``0001-0001.jsonl``."""
    return f"{session:04d}-{segment:04d}.jsonl"


def parse_file_name(name: str) -> tuple[int, int] | None:
    """Return session and segment of a block log's file name, or nothing when it is none."""
    found = _FILE.fullmatch(name)
    return (int(found[1]), int(found[2])) if found else None


def longest_line(count: int, size: int, record: int, beside: int = 212) -> int:
    """Return how many bytes the line of a block can have at most.

    Args:
        count: messages in a block, at most.
        size: bytes of records at which a block closes.
        record: bytes of the longest record, by which a block may go beyond ``size``.
        beside: bytes in the line for each message beside its record: its numbers and times, and a gap before it.
    """
    return 4096 + size + record + count * beside


def messages_text(
    first: int, records: Sequence[bytes], received_at: bytes, latencies_ns: Sequence[int] | int, transit_ns: int
) -> bytes:
    """Return consecutive messages that arrived together as they stand in a block, each followed by a comma.

    One call formats them all: made one by one and encoded as `Message` they take three times as long.

    Args:
        first: seq of the first.
        records: their bytes, at least one.
        received_at: when all of them arrived, as it stands in the line.
        latencies_ns: of each, or the one that all have.
        transit_ns: which all have.
    """
    head, seqs = b'{"seq":%%d,"received_at":"%b","latency_ns":' % received_at, range(first, first + len(records))
    if isinstance(latencies_ns, int):
        form = head + b'%d,"transit_ns":%d,"record":%%b},' % (latencies_ns, transit_ns)
        return form * len(records) % tuple(chain.from_iterable(zip(seqs, records, strict=True)))
    form = head + b'%%d,"transit_ns":%d,"record":%%b},' % transit_ns
    return form * len(records) % tuple(chain.from_iterable(zip(seqs, latencies_ns, records, strict=True)))


def records_digest(records: Sequence[bytes | msgspec.Raw]) -> str:
    """Return the digest of records given in the order of seq: each as its bytes and a newline."""
    return joined_digest(b"\n".join(records)) if records else digest_text(0)


def joined_digest(joined: bytes) -> str:
    """Return the digest of one record or more that are joined by newlines already."""
    return digest_text(digest(b"\n", digest(joined)))


def block_digest(messages: list[Message]) -> str:
    """Return the digest of a block's messages, whatever the order in which they were received."""
    in_order = sorted(messages, key=attrgetter("seq"))
    return records_digest([message.record for message in in_order])
