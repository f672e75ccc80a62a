"""The frames between server and client: WebSocket text messages of the subprotocol ``streamgauge.v1``.

A frame is one JSON header line; a `Records` frame is followed by its records, one line each. The table of
frames, with the meaning of every field, is ``docs/formats/wire.md``.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from services.contract.errors import FrameTooBig, MalformedFrame
from services.contract.scalars import (
    LEAST_RATE,
    Count,
    Digest,
    Integer,
    LineDigest,
    Name,
    Positive,
    Rate,
    Run,
    RunOrNone,
    Span,
    check_rate,
    digest,
    digest_text,
)

VERSION = 1
SUBPROTOCOL = "streamgauge.v1"

MAX_FRAME = 256 * 1024
"""Bytes of one frame from the server, header included."""
MAX_RECORD = 64 * 1024
MAX_CLIENT_FRAME = 64 * 1024

CLOSE_FAULT = 1011
CLOSE_DRAINING = 1012
CLOSE_LATER = 1013
CLOSE_PROTOCOL = 4400
CLOSE_UNAUTHORIZED = 4401
CLOSE_SLOW = 4408
CLOSE_SUPERSEDED = 4409

TOO_MANY = "too_many"
"""The code of an `Error` for a peer that goes beyond a limit."""

State = Literal["opened", "waiting", "running", "paused", "ended"]


class Frame(msgspec.Struct, tag_field="type", frozen=True, kw_only=True):
    """Base of all frames; the class name in lower case is the ``type``."""


class Welcome(Frame, tag="welcome", frozen=True, kw_only=True):
    """Server: the run that is on. Sent on connecting and for every next run. ``start_us`` is null until running.

    A client refuses a ``v`` that it does not know.
    """

    v: int = VERSION
    run: Run
    feed: str
    state: State
    total: Positive
    rate: Rate
    start_us: Integer | None
    boot: str
    now_us: Integer


class Subscribe(Frame, tag="subscribe", frozen=True, kw_only=True):
    """Client: who it is and the last ``seq`` it holds, in which run. Only ``client`` is required."""

    client: Name
    session: Count = 0
    instance: LineDigest = ""
    block_size: Count = 0
    boot: LineDigest = ""
    after: Count = 0
    run: RunOrNone = ""
    observe: bool = False


class Subscribed(Frame, tag="subscribed", frozen=True, kw_only=True):
    """Server: accepted. ``first`` comes next; ``receipted`` is the last seq the ledger holds a receipt for."""

    client: Name
    first: Positive
    receipted: Count
    fence: Count


class Records(Frame, tag="records", frozen=True, kw_only=True, omit_defaults=True):
    """Server: header of a batch. Record ``i`` was due at ``due_us + (i - first) * 10**6 / rate``, rounded down.

    ``crc`` is of the body. ``head`` comes last and is of the bytes of the header before it: `records_head` sets it,
    and `decode_from_server` has checked it.
    """

    first: Positive
    count: Positive
    due_us: Integer
    rate: Rate
    sent_us: Integer
    crc: Digest
    head: Digest | None = None


class Idle(Frame, tag="idle", frozen=True, kw_only=True):
    """Server: nothing was due for a second; ``next`` will come next."""

    next: Positive
    now_us: Integer


class Receipt(Frame, tag="receipt", frozen=True, kw_only=True):
    """Client: this block is on disk. ``digest`` covers the records present, in order of seq."""

    session: Positive
    block: Positive
    first: Positive
    last: Positive
    count: Count
    missing: list[Span] = []
    digest: Digest
    took_ns: Integer


class Recorded(Frame, tag="recorded", frozen=True, kw_only=True):
    """Server: the receipt is in the ledger, and whether the server's own digest agrees."""

    session: Positive
    block: Positive
    match: bool


class Ping(Frame, tag="ping", frozen=True, kw_only=True):
    """Both: question of the clock exchange."""

    t1_us: Integer


class Pong(Frame, tag="pong", frozen=True, kw_only=True):
    """Both: its answer; the asker adds the time of arrival."""

    t1_us: Integer
    t2_us: Integer
    t3_us: Integer


class Control(Frame, tag="control", frozen=True, kw_only=True):
    """Client: an operator's wish. Either ``set`` a rate, or ``do`` one of the verbs (``drop`` names a client).

    ``via`` is what the operator used, by its own account.
    """

    set: dict[Literal["rate"], Rate] | None = None
    do: Literal["pause", "resume", "status", "drop"] | None = None
    client: Name | None = None
    via: Name | None = None

    def __post_init__(self) -> None:
        """Refuse a rate of which no schedule can be made."""
        check_rate(self.set.get("rate") if self.set else None)


class Controlled(Frame, tag="controlled", frozen=True, kw_only=True):
    """Server: done, and how the run stands now."""

    run: Run
    state: State
    rate: Rate | None
    head: Count
    clients: list[str]


class End(Frame, tag="end", frozen=True, kw_only=True):
    """Server: everything up to ``last`` has been sent to this client."""

    last: Count
    count: Count


class Bye(Frame, tag="bye", frozen=True, kw_only=True):
    """Client: sealed through ``last``, leaving on purpose. Server: ``reason`` and ``retry_ms`` before closing."""

    last: Count | None = None
    reason: str | None = None
    retry_ms: Count | None = None


class Error(Frame, tag="error", frozen=True, kw_only=True):
    """Server: what the client did wrong; ``suggest`` is a free name when the code is ``name_taken``."""

    code: str
    detail: str
    suggest: Name | None = None


FromServer = Welcome | Subscribed | Records | Idle | Recorded | Ping | Pong | Controlled | End | Bye | Error
FromClient = Subscribe | Receipt | Ping | Pong | Control | Bye

_HEAD = b',"head":"'
_encoder = msgspec.json.Encoder()
_from_server: msgspec.json.Decoder[FromServer] = msgspec.json.Decoder(FromServer)
_from_client: msgspec.json.Decoder[FromClient] = msgspec.json.Decoder(FromClient)


def encode(frame: Frame) -> bytes:
    """Return a frame's header line, without a newline: the whole frame, but for `Records`."""
    return _encoder.encode(frame)


def records_head(header: Records) -> bytes:
    """Return the header line of a `Records` frame, with its newline; the body follows: one line per record."""
    plain = header if header.head is None else msgspec.structs.replace(header, head=None)
    head = _encoder.encode(plain)[:-1]
    return b"".join((head, _HEAD, digest_text(digest(head)).encode(), b'"}\n'))


def decode_from_server(data: bytes) -> tuple[FromServer, bytes]:
    """Return a frame and, for `Records`, its body (checked by `records_of`, not here).

    Raises:
        MalformedFrame: no frame that a server sends, or a header that was changed on its way.
    """
    head, _, body = data.partition(b"\n")
    frame = _decode(_from_server, head, data)
    if isinstance(frame, Records) and 0 < frame.rate < LEAST_RATE:
        # Here and not in the struct: the server makes one of these for every client and send.
        raise MalformedFrame(f"rate {frame.rate} is no pace", data)
    if isinstance(frame, Records) and frame.head is not None:
        found = digest_text(digest(head[: head.rfind(_HEAD)]))
        if found != frame.head:
            raise MalformedFrame(f"head says {frame.head}, the header gives {found}", data)
    return frame, body


def decode_from_client(data: bytes) -> FromClient:
    """Return a frame that a client sent.

    Raises:
        FrameTooBig: more than `MAX_CLIENT_FRAME` bytes.
        MalformedFrame: no frame that a client sends.
    """
    if len(data) > MAX_CLIENT_FRAME:
        raise FrameTooBig(f"{len(data)} bytes; a client's frame has at most {MAX_CLIENT_FRAME}", data)
    frame: FromClient = _decode(_from_client, data, data)
    return frame


def records_of(header: Records, body: bytes) -> list[bytes] | None:
    """Return the records of a batch; None when ``body`` is not what the server sent, by its crc or its lines."""
    if digest_text(digest(body)) != header.crc:
        return None
    records = body.split(b"\n")
    rest = records.pop()
    return records if not rest and len(records) == header.count else None


def due_us(due_of_first_us: int, offset: int, rate: float) -> int:
    """Return when the record ``offset`` places after the first is due; all are at once when ``rate`` is 0."""
    return due_of_first_us + (int(offset * 1_000_000 // rate) if rate else 0)


def _decode(decoder: msgspec.json.Decoder[Any], head: bytes, data: bytes) -> Any:
    try:
        return decoder.decode(head)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as problem:
        raise MalformedFrame(f"not a frame of {SUBPROTOCOL}: {problem}", data) from problem
