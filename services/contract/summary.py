"""What the collector makes of both sides of the books: one run, with a verdict. Specification: ``docs/summary.md``."""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from services.contract.histogram import Histogram
from services.contract.scalars import Span
from services.contract.sequence_text import SeqSpan

VERSION: Final = 1

RunState = Literal["opened", "waiting", "running", "paused", "ended", "closed"]
ClientState = Literal["running", "finished", "left", "lost"]
Books = Literal["two-sided", "one-sided"]
"""One-sided are those of a feed that is not ours: nobody says what was sent."""
Verdict = Literal["PASS", "FAIL", "INVALID"]

EXIT_CODES: dict[str | None, int] = {"PASS": 0, "FAIL": 99, "INVALID": 98}


class Quantiles(msgspec.Struct, frozen=True, kw_only=True):
    """Of durations in nanoseconds; all null when there is nothing to measure."""

    min: int | None = None
    p50: int | None = None
    p90: int | None = None
    p95: int | None = None
    p99: int | None = None
    p99_9: int | None = None
    max: int | None = None

    @classmethod
    def of(cls, histogram: Histogram) -> Quantiles:
        """Read the quantiles of a histogram."""
        p50, p90, p95, p99, p99_9 = histogram.percentiles((50, 90, 95, 99, 99.9))
        return cls(min=histogram.min, p50=p50, p90=p90, p95=p95, p99=p99, p99_9=p99_9, max=histogram.max)


class Causes(msgspec.Struct, frozen=True, kw_only=True):
    """Why records are missing: disjoint counts, each from evidence of its own; null where there can be none.

    ``not_seen`` is of one-sided books: no client received these, and nobody knows whether they were sent.
    """

    never_sent: int | None = 0
    sent_not_logged: int | None = 0
    corrupt_in_flight: int | None = 0
    receipted_not_logged: int | None = 0
    corrupt_block: int | None = 0
    foreign: int | None = 0
    not_seen: int | None = None


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One of the questions every run is asked; ``ok`` is null while it cannot be answered."""

    name: str
    ok: bool | None
    detail: str


class Threshold(msgspec.Struct, frozen=True, kw_only=True):
    """A limit the operator set, what was measured, and by which client where it is of one.

    ``detail`` says the same in words, with the unit.
    """

    expression: str
    ok: bool | None
    measured: float | int | None
    client: str | None = None
    detail: str = ""


class Fault(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """Damage found in the books: where it stands and which records it covers.

    ``file`` is relative to the volumes folder, ``line`` counts from 1, ``missing`` are the seqs between the good
    lines around it (null when it hides none).
    """

    file: str
    line: int
    kind: str
    client: str | None
    missing: Span | None
    detail: str


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """The longest time in which a client received nothing while it was part of the run, from ``at`` on."""

    client: str
    at: str
    duration_ns: int


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over all clients. ``bytes`` are of records; rates are over ``duration_ns``, first to last receipt.

    ``unreadable`` counts the numbers of an external feed in whose places records stand that cannot be read.
    ``catch_up`` are received messages that were due before their client first tried to take part in the run.
    """

    expected: int | None = 0
    received: int = 0
    missing: int | None = 0
    duplicates: int | None = 0
    reordered: int | None = 0
    corrupt: int | None = 0
    residual: int | None = 0
    blocks: int = 0
    bytes: int = 0
    logged_not_receipted: int | None = 0
    restarts: int | None = None
    unsequenced: int | None = None
    unreadable: int | None = None
    catch_up: int | None = None
    duration_ns: int | None = None
    messages_per_second: float | None = None
    bytes_per_second: float | None = None


class ClientSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The books of one client."""

    client: str
    state: ClientState
    block_size: int | None
    blocks: int
    sessions: int
    expected: int | None
    received: int
    missing: int | None
    duplicates: int | None
    reordered: int | None
    corrupt: int | None
    residual: int | None
    bytes: int
    logged_not_receipted: int | None
    missing_ranges: list[SeqSpan]
    missing_by_cause: Causes
    torn: int
    clock_offset_us: int | None
    clock_error_us: int | None
    restarts: int | None = None
    unsequenced: int | None = None
    unreadable: int | None = None
    catch_up: int | None = None
    latency_ns: Quantiles
    catch_up_ns: Quantiles = Quantiles()
    transit_ns: Quantiles
    block_duration_ns: Quantiles
    silence_ns: int | None = None
    silence_at: str | None = None


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """One run. A pure function of the set of valid lines, apart from ``made_at``."""

    v: Literal[1] = VERSION
    run: str
    books: Books = "two-sided"
    feed: str | None
    state: RunState
    verdict: Verdict | None
    headline: str
    reasons: list[str]
    checks: list[Check]
    thresholds: list[Threshold]
    totals: Totals
    latency_ns: Quantiles
    catch_up_ns: Quantiles = Quantiles()
    transit_ns: Quantiles
    block_duration_ns: Quantiles
    spread_ns: Quantiles
    silence: Silence | None = None
    clients: list[ClientSummary]
    missing_by_cause: Causes
    faults: list[Fault]
    total: int | None
    rate: float | int | None
    made_at: str | None = None


def encode(summary: Summary) -> bytes:
    """Return the text of ``summary.json``: indented, with a final newline."""
    return msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n"


def decode(text: bytes) -> Summary:
    """Read a ``summary.json``.

    Raises:
        msgspec.MsgspecError: it is none.
    """
    return msgspec.json.decode(text, type=Summary)


def schema() -> dict[str, Any]:
    """Return the JSON Schema of ``summary.json``."""
    return msgspec.json.schema(Summary)
