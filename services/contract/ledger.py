"""The lines of a server's ledger: which records it may have sent to each client, and which receipts came back.

Each server process writes one file, ``ledger/<run>/<instance>.jsonl``. ``at`` is the time at which a line was written.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from services.contract.jsonl import Kinds, LineStruct
from services.contract.scalars import Count, Digest, Integer, Name, Positive, Rate, Run, Span, check_rate

VERSION = 1

Cause = Literal["bye", "lost", "slow", "superseded", "draining", "moved", "dropped", "protocol"]
EndReason = Literal["complete", "grace", "abandoned"]


class OpenEntry(LineStruct, tag="open", frozen=True, kw_only=True):
    """First line of each file: all settings from which the feed is generated.

    Attributes:
        plan: the rate plan, None without one.
        process: identifies the process and its host. A server that starts later compares it, to find out whether the
            writer still runs.
        lock: device and inode of the file, if the writer holds a lock on it until it ends; None without one.
        start_us: when the run begins by the server's setting ``START_AT``, epoch microseconds; None without it.
        end_us: when it ends by the same setting.
    """

    at: str
    run: Run
    instance: str
    boot: str
    software: str
    feed: str
    seed: Integer
    schema: str
    locale: str
    faker: str
    pool: Positive
    total: Positive
    rate: Rate
    clients: Count
    plan: str | None = None
    process: str | None = None
    lock: str | None = None
    start_us: Integer | None = None
    end_us: Integer | None = None


class ExpectEntry(LineStruct, tag="expect", frozen=True, kw_only=True):
    """The number of clients that the run waits for, and its origin. It replaces the number of the open line."""

    at: str
    clients: Count
    source: str


class PaceEntry(LineStruct, tag="pace", frozen=True, kw_only=True):
    """A change of the rate: record ``first`` is due at ``due_us``, the next ones at ``rate`` per second (null: paused).

    ``stage`` is the number of the stage of the rate plan; null if an operator changed the rate or paused the run.
    """

    at: str
    first: Positive
    due_us: Integer
    rate: Rate | None
    stage: Positive | None = None

    def __post_init__(self) -> None:
        """Raise an error for a rate that gives no schedule."""
        check_rate(self.rate)


class SubscribeEntry(LineStruct, tag="subscribe", frozen=True, kw_only=True):
    """A client subscribed, for the first time or again. ``fence`` rises with each subscription of the run."""

    at: str
    client: Name
    session: Count
    instance: str
    fence: Positive
    first: Positive
    block_size: Count
    observe: bool = False


class LateEntry(LineStruct, tag="late", frozen=True, kw_only=True):
    """A client was refused, since it first asked to take part after the run had ended."""

    at: str
    client: Name
    instance: str


class SentEntry(LineStruct, tag="sent", frozen=True, kw_only=True):
    """All records through this seq *may* have been sent: written before sending, so that a crash leaves evidence."""

    at: str
    client: Name
    fence: Positive
    through: Count


class ReceiptEntry(LineStruct, tag="receipt", frozen=True, kw_only=True):
    """A client reported that a block is on disk. ``match`` is whether the server computes the same digest."""

    at: str
    client: Name
    session: Positive
    fence: Positive
    block: Positive
    first: Positive
    last: Positive
    count: Count
    missing: list[Span] = msgspec.field(default_factory=list)
    digest: Digest
    match: bool


class LeaveEntry(LineStruct, tag="leave", frozen=True, kw_only=True):
    """A subscription ended: the last seq that was sent and that was receipted, and the cause."""

    at: str
    client: Name
    fence: Positive
    sent: Count
    receipted: Count
    cause: Cause


class ControlEntry(LineStruct, tag="control", frozen=True, kw_only=True):
    """A control request of an operator. ``peer`` is the address it came from, ``via`` the tool."""

    at: str
    request: str
    value: Rate | None = None
    client: str | None = None
    peer: str
    via: str | None = None

    def __post_init__(self) -> None:
        """Raise an error for a rate that gives no schedule."""
        check_rate(self.value)


class MeasuredEntry(LineStruct, tag="measured", frozen=True, kw_only=True):
    """How late this server was until now, and how saturated its process: a server that is killed leaves no `end`.

    Its fields are those of `EndEntry`. It is written beside other servers, which play the run to its end.
    """

    at: str
    late_p99_ns: Integer | None = None
    late_max_ns: Integer | None = None
    loop_lag_p99_ns: Count | None = None
    loop_lag_max_ns: Count | None = None
    cpu_ns: Count | None = None
    throttled_ns: Count | None = None


class EndEntry(LineStruct, tag="end", frozen=True, kw_only=True):
    """The run has ended.

    Attributes:
        last: the last seq, and ``count`` the number of records.
        late_p99_ns: how late the server's own loop sent records, 99th percentile; null without a schedule. It is the
            evidence for the check "generator on time".
        late_max_ns: the same, maximum.
        loop_lag_p99_ns: saturation of the server process since the start of the run, with the next three fields.
    """

    at: str
    last: Count
    count: Count
    reason: EndReason
    late_p99_ns: Integer | None = None
    late_max_ns: Integer | None = None
    # Ledgers of earlier versions lack the fields from here on.
    loop_lag_p99_ns: Count | None = None
    loop_lag_max_ns: Count | None = None
    cpu_ns: Count | None = None
    throttled_ns: Count | None = None


Entry = (
    OpenEntry
    | ExpectEntry
    | PaceEntry
    | SubscribeEntry
    | LateEntry
    | SentEntry
    | ReceiptEntry
    | LeaveEntry
    | ControlEntry
    | MeasuredEntry
    | EndEntry
)
codec: Kinds[Entry] = Kinds({VERSION: Entry})
