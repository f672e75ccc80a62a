"""The frames between server and client: WebSocket text messages of the subprotocol ``streamgauge.v1``.

A frame is one JSON header line; a `Records` frame is followed by its records, one line each. The table of
frames, with the meaning of every field, is ``docs/formats/wire.md``.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from services.contract.bounds import MESSAGE_BYTES
from services.contract.errors import FrameTooBig, MalformedFrame
from services.contract.scalars import (
    LEAST_RATE,
    Count,
    Digest,
    Integer,
    Name,
    Positive,
    ProcessMark,
    Rate,
    Run,
    RunOrNone,
    Span,
    Text,
    check_rate,
    digest,
    digest_text,
)

VERSION = 1
SUBPROTOCOL = "streamgauge.v1"

MAX_FRAME = 256 * 1024
"""Most bytes of a frame from the server, including the header."""
MAX_RECORD = 64 * 1024
MAX_CLIENT_FRAME = MESSAGE_BYTES.value

CLOSE_FAULT = 1011
CLOSE_DRAINING = 1012
CLOSE_LATER = 1013
CLOSE_PROTOCOL = 4400
CLOSE_UNAUTHORIZED = 4401
CLOSE_SLOW = 4408
CLOSE_SUPERSEDED = 4409

TOO_MANY = "too_many"
"""The code of an `Error` for a peer that exceeds a limit."""
UNSUBSCRIBED = "unsubscribed"
"""The code of an `Error` for a peer that has not subscribed in time."""

State = Literal["opened", "waiting", "running", "paused", "ended"]


class Frame(msgspec.Struct, tag_field="type", frozen=True, kw_only=True):
    """Base of all frames; the class name in lower case is the ``type``."""


class Welcome(Frame, tag="welcome", frozen=True, kw_only=True):
    """Server: the current run. Sent after connecting and for each next run. ``start_us`` is null until it runs.

    A client refuses a ``v`` that it does not know.
    """

    v: int = VERSION
    run: Run
    feed: Text
    state: State
    total: Positive
    rate: Rate
    start_us: Integer | None
    boot: Text
    now_us: Integer


class Subscribe(Frame, tag="subscribe", frozen=True, kw_only=True):
    """Client: its name, and the last ``seq`` that it has logged in a run. Only ``client`` is required.

    ``fence`` is the highest fence that any server of the run has granted to this client, and ``recorded`` the last
    ``seq`` up to which they have confirmed every receipt; absent before the first.
    """

    client: Name
    session: Count = 0
    instance: ProcessMark = ""
    block_size: Count = 0
    boot: ProcessMark = ""
    after: Count = 0
    run: RunOrNone = ""
    observe: bool = False
    # Absent and not 0, so that the first request of a client has the bytes of earlier versions.
    fence: Count | msgspec.UnsetType = msgspec.UNSET
    recorded: Count | msgspec.UnsetType = msgspec.UNSET


class Subscribed(Frame, tag="subscribed", frozen=True, kw_only=True):
    """Server: the subscription is accepted. ``first`` is sent next; the ledger has receipts through ``receipted``."""

    client: Name
    first: Positive
    receipted: Count
    fence: Count


class Records(Frame, tag="records", frozen=True, kw_only=True, omit_defaults=True):
    """Server: header of a batch. Record ``i`` was due at ``due_us + (i - first) * 10**6 / rate``, rounded down.

    ``crc`` is the digest of the body. ``head`` is the last field, and the digest of the header's bytes before it:
    `records_head` adds it, `decode_from_server` checks it.
    """

    first: Positive
    count: Positive
    due_us: Integer
    rate: Rate
    sent_us: Integer
    crc: Digest
    # A digest of its own: the body is shared by many clients and the header is not, so one digest of both would have to
    # be computed for each client. It is optional, so that servers without it are understood.
    head: Digest | None = None


class Idle(Frame, tag="idle", frozen=True, kw_only=True):
    """Server: no record was due for a second; ``next`` is sent next."""

    next: Positive
    now_us: Integer


class Receipt(Frame, tag="receipt", frozen=True, kw_only=True):
    """Client: a block is on disk. ``digest`` is of its records in order of seq, ``took_ns`` the time to receive it."""

    session: Positive
    block: Positive
    first: Positive
    last: Positive
    count: Count
    # Not shared between frames: msgspec makes a new list for each from an empty default.
    missing: list[Span] = []
    digest: Digest
    took_ns: Integer


class Recorded(Frame, tag="recorded", frozen=True, kw_only=True):
    """Server: the receipt is in the ledger. ``match`` is whether the server computes the same digest."""

    session: Positive
    block: Positive
    match: bool


class Ping(Frame, tag="ping", frozen=True, kw_only=True):
    """Both: request of the clock exchange, with the time of sending."""

    t1_us: Integer


class Pong(Frame, tag="pong", frozen=True, kw_only=True):
    """Both: reply of the clock exchange, with the times of receiving the request and of sending the reply."""

    t1_us: Integer
    t2_us: Integer
    t3_us: Integer


class Control(Frame, tag="control", frozen=True, kw_only=True):
    """Client: a control request. Either ``set`` a rate, or ``do`` one of the verbs (``drop`` names a client).

    ``via`` is the tool that the operator used, as the tool states it.
    """

    set: dict[Literal["rate"], Rate] | None = None
    do: Literal["pause", "resume", "status", "drop"] | None = None
    client: Name | None = None
    via: Name | None = None

    def __post_init__(self) -> None:
        """Raise an error for a rate that gives no schedule."""
        check_rate(self.set.get("rate") if self.set else None)


class Controlled(Frame, tag="controlled", frozen=True, kw_only=True):
    """Server: a control request was carried out; the state of the run since then."""

    run: Run
    state: State
    rate: Rate | None
    head: Count
    clients: list[Name]


class End(Frame, tag="end", frozen=True, kw_only=True):
    """Server: all records through ``last`` have been sent to this client."""

    last: Count
    count: Count


class Bye(Frame, tag="bye", frozen=True, kw_only=True):
    """Client: it leaves on purpose, its log sealed through ``last``. Server: why it closes, and when to retry."""

    last: Count | None = None
    reason: Text | None = None
    retry_ms: Count | None = None


class Error(Frame, tag="error", frozen=True, kw_only=True):
    """Server: the client broke a rule. For the code ``name_taken``, ``suggest`` is a free name."""

    code: Text
    detail: Text
    suggest: Name | None = None


FromServer = Welcome | Subscribed | Records | Idle | Recorded | Ping | Pong | Controlled | End | Bye | Error
FromClient = Subscribe | Receipt | Ping | Pong | Control | Bye

_HEAD = b',"head":"'
_encoder = msgspec.json.Encoder()
_from_server: msgspec.json.Decoder[FromServer] = msgspec.json.Decoder(FromServer)
_from_client: msgspec.json.Decoder[FromClient] = msgspec.json.Decoder(FromClient)


def encode(frame: Frame) -> bytes:
    """Return the header line of a frame without a newline: except for `Records` the whole frame."""
    return _encoder.encode(frame)


def records_head(header: Records) -> bytes:
    """Return the header line of a `Records` frame with its newline. The body follows it, one line per record."""
    # A field with its default is omitted, so these are exactly the bytes before `head`, which its digest covers. The
    # closing brace is not among them.
    plain = header if header.head is None else msgspec.structs.replace(header, head=None)
    head = _encoder.encode(plain)[:-1]
    return b"".join((head, _HEAD, digest_text(digest(head)).encode(), b'"}\n'))


def decode_from_server(data: bytes) -> tuple[FromServer, bytes]:
    """Return a frame and, for `Records`, its body, which only `records_of` checks.

    Raises:
        MalformedFrame: the data is no frame of a server, or its header was changed on the way.
    """
    # The body is not decoded: records stay the bytes that were received, which is faster and changes none of them.
    head, _, body = data.partition(b"\n")
    frame = _decode(_from_server, head, data)
    if isinstance(frame, Records) and 0 < frame.rate < LEAST_RATE:
        # Checked here and not in the struct, since the server makes one for each send to each client.
        raise MalformedFrame(f"rate {frame.rate} gives no schedule", data)
    if isinstance(frame, Records) and frame.head is not None:
        computed = digest_text(digest(head[: head.rfind(_HEAD)]))
        if computed != frame.head:
            raise MalformedFrame(f"head says {frame.head}, the header gives {computed}", data)
    return frame, body


def decode_from_client(data: bytes) -> FromClient:
    """Return a frame that a client sent.

    Raises:
        FrameTooBig: more than `MAX_CLIENT_FRAME` bytes.
        MalformedFrame: the data is no frame of a client.
    """
    if len(data) > MAX_CLIENT_FRAME:
        raise FrameTooBig(f"{len(data)} bytes; a client's frame has at most {MAX_CLIENT_FRAME}", data)
    frame: FromClient = _decode(_from_client, data, data)
    return frame


def records_of(header: Records, body: bytes) -> list[bytes] | None:
    """Return the records of a batch; None if ``body`` was changed on the way, by its ``crc`` or its number of lines."""
    if digest_text(digest(body)) != header.crc:
        return None
    records = body.split(b"\n")
    # Each record ends in a newline, so the rest after the last one is empty; otherwise a newline is missing.
    rest = records.pop()
    return records if not rest and len(records) == header.count else None


def due_us(due_of_first_us: int, offset: int, rate: float) -> int:
    """Return when the record ``offset`` records after the first one is due; at rate 0 all are due at once."""
    return due_of_first_us + (int(offset * 1_000_000 // rate) if rate else 0)


def _decode(decoder: msgspec.json.Decoder[Any], head: bytes, data: bytes) -> Any:
    try:
        return decoder.decode(head)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise MalformedFrame(f"not a frame of {SUBPROTOCOL}: {problem}", data) from problem
