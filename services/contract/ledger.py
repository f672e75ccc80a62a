"""The lines of a server's ledger: what it may have sent to whom, and which receipts came back.

One file per server process, ``ledger/<run>/<instance>.jsonl``. A line's ``at`` is the time it was entered.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from services.contract.jsonl import Kinds, LineStruct
from services.contract.scalars import Count, Digest, Integer, Name, Positive, Rate, Run, Span, check_rate

VERSION = 1

Cause = Literal["bye", "lost", "slow", "superseded", "draining", "dropped", "protocol"]
EndReason = Literal["complete", "grace", "abandoned"]


class OpenEntry(LineStruct, tag="open", frozen=True, kw_only=True):
    """First line of every file: everything the feed is made of. ``plan`` is the plan of its pace, if it has one.

    ``process`` says which process of which host writes the file, so that a server that starts in its place can tell
    whether it still runs; only an equal text says something.
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


class ExpectEntry(LineStruct, tag="expect", frozen=True, kw_only=True):
    """How many clients the run waits for, and where the number comes from; it replaces that of the open line."""

    at: str
    clients: Count
    source: str


class PaceEntry(LineStruct, tag="pace", frozen=True, kw_only=True):
    """From ``first`` on, records are due from ``due_us`` on at ``rate`` per second; null means paused.

    ``stage`` is the number of the plan's stage that it belongs to: null when somebody set it or stopped the clock.
    """

    at: str
    first: Positive
    due_us: Integer
    rate: Rate | None
    stage: Positive | None = None

    def __post_init__(self) -> None:
        """Refuse a rate of which no schedule can be made."""
        check_rate(self.rate)


class SubscribeEntry(LineStruct, tag="subscribe", frozen=True, kw_only=True):
    """A client was admitted, or came back. ``fence`` rises with every subscription of the run."""

    at: str
    client: Name
    session: Count
    instance: str
    fence: Positive
    first: Positive
    block_size: Count
    observe: bool = False


class LateEntry(LineStruct, tag="late", frozen=True, kw_only=True):
    """A client asked to take part after the run had ended and before it was closed: it was refused."""

    at: str
    client: Name
    instance: str


class SentEntry(LineStruct, tag="sent", frozen=True, kw_only=True):
    """Everything through this seq *may* have been sent: written ahead, so that a crash leaves evidence."""

    at: str
    client: Name
    fence: Positive
    through: Count


class ReceiptEntry(LineStruct, tag="receipt", frozen=True, kw_only=True):
    """A client says that a block is on disk; ``match`` says whether the server's own digest agrees."""

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
    """A subscription ended: what it had been sent and had receipted, and why it ended."""

    at: str
    client: Name
    fence: Positive
    sent: Count
    receipted: Count
    cause: Cause


class ControlEntry(LineStruct, tag="control", frozen=True, kw_only=True):
    """What an operator asked for, from where, and ``via`` what."""

    at: str
    request: str
    value: Rate | None = None
    client: str | None = None
    peer: str
    via: str | None = None

    def __post_init__(self) -> None:
        """Refuse a rate of which no schedule can be made."""
        check_rate(self.value)


class EndEntry(LineStruct, tag="end", frozen=True, kw_only=True):
    """The run is over. ``late_ns`` is how late the server itself was: null when there was no schedule.

    The last four are of the server's process, from the run's start on: whether it was held up.
    """

    at: str
    last: Count
    count: Count
    reason: EndReason
    late_p99_ns: Integer | None = None
    late_max_ns: Integer | None = None
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
    | EndEntry
)
codec: Kinds[
    OpenEntry
    | ExpectEntry
    | PaceEntry
    | SubscribeEntry
    | LateEntry
    | SentEntry
    | ReceiptEntry
    | LeaveEntry
    | ControlEntry
    | EndEntry
] = Kinds({VERSION: Entry})
