"""The lines of a client's block log: what it received, in blocks. Specification: ``docs/block-log.md``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from operator import attrgetter
from typing import Literal

import msgspec

from services.contract.fields import Count, Digest, Name, Positive, Run, Span, digest, digest_text
from services.contract.line import Kinds, LineStruct

VERSION = 1
MAX_BLOCK = 100_000
"""Messages in a block, at most."""
SEGMENT_BYTES = 64 * 1024 * 1024
"""A segment is closed when it has reached this size, and the next begun."""

_FILE = re.compile(r"([0-9]{4,})-([0-9]{4,})\.jsonl")

ClosedBy = Literal["count", "time", "bytes", "end", "shutdown"]
EndReason = Literal["finished", "shutdown", "rotated", "superseded", "error"]


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


class Open(LineStruct, tag="open", frozen=True, kw_only=True):
    """First line of every file: whose it is and under which conditions it was written."""

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


class Block(LineStruct, tag="block", frozen=True, kw_only=True):
    """The messages that a client logged together."""

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
    duration_ns: int
    idle_ns: int
    clock_offset_us: int
    clock_error_us: Count
    digest: Digest
    messages: list[Message]


class End(LineStruct, tag="end", frozen=True, kw_only=True):
    """Last line of a file that was closed well. Counts are of this file; ``sha256`` is of all before this line."""

    reason: EndReason
    block_count: Count
    message_count: Count
    byte_count: Count
    duplicates: Count = 0
    reordered: Count = 0
    corrupt: list[Span] = msgspec.field(default_factory=list)
    sha256: str


Entry = Open | Block | End
codec: Kinds[Open | Block | End] = Kinds(Entry)


def file_name(session: int, segment: int) -> str:
    """Return the name of one segment of one session: ``0001-0001.jsonl``."""
    return f"{session:04d}-{segment:04d}.jsonl"


def parse_file_name(name: str) -> tuple[int, int] | None:
    """Return session and segment of a block log's file name, or nothing when it is none."""
    found = _FILE.fullmatch(name)
    return (int(found[1]), int(found[2])) if found else None


def records_digest(records: Sequence[bytes | msgspec.Raw]) -> str:
    """Return the digest of records given in the order of seq: each as its bytes and a newline."""
    return digest_text(digest(b"\n", digest(b"\n".join(records))) if records else 0)


def block_digest(messages: list[Message]) -> str:
    """Return the digest of a block's messages, whatever the order in which they were received."""
    in_order = sorted(messages, key=attrgetter("seq"))
    return records_digest([message.record for message in in_order])
