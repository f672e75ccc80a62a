"""The summary of one run with its verdict. Format: ``docs/formats/summary.md``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, Literal, Protocol

import msgspec

from services.contract.scalars import Span
from services.contract.sequence_text import SeqSpan

VERSION: Final = 1

RunState = Literal["opened", "waiting", "running", "paused", "ended", "closed"]
ClientState = Literal["running", "finished", "left", "lost"]
Books = Literal["two-sided", "one-sided"]
"""Whether server and clients recorded the run, or only the clients: of an external feed there is no ledger."""
Verdict = Literal["PASS", "FAIL", "INVALID"]

# FAIL and INVALID differ, so that a script can repeat a doubtful run and reject a feed that failed.
EXIT_CODES: dict[str | None, int] = {"PASS": 0, "FAIL": 99, "INVALID": 98}


class Distribution(Protocol):
    """Any histogram of durations."""

    @property
    def min(self) -> int | None:
        """The shortest duration, None without any."""

    @property
    def max(self) -> int | None:
        """The longest duration, None without any."""

    def percentiles(self, percents: Sequence[float]) -> list[int | None]:
        """Return several percentiles, each None without any duration."""


class Quantiles(msgspec.Struct, frozen=True, kw_only=True):
    """Quantiles of durations in nanoseconds; all null without any duration."""

    min: int | None = None
    p50: int | None = None
    p90: int | None = None
    p95: int | None = None
    p99: int | None = None
    p99_9: int | None = None
    max: int | None = None

    @classmethod
    def of(cls, histogram: Distribution) -> Quantiles:
        """Read the quantiles of a histogram."""
        # One call for all of them, since each call sorts the histogram.
        p50, p90, p95, p99, p99_9 = histogram.percentiles((50, 90, 95, 99, 99.9))
        return cls(min=histogram.min, p50=p50, p90=p90, p95=p95, p99=p99, p99_9=p99_9, max=histogram.max)


class InstrumentShare(msgspec.Struct, frozen=True, kw_only=True):
    """How much of the latencies is the instrument's own, in nanoseconds; null where it is not known.

    ``p99`` and ``max`` are its part of latency p99 and of the highest latency, made of the other values: event loop
    lag, the time without reading (``stalled`` in all, ``stall_max`` at once) and the error of the clock offset.
    """

    p99: int | None = None
    max: int | None = None
    loop_lag_p99: int | None = None
    loop_lag_max: int | None = None
    stalled: int | None = None
    stall_max: int | None = None
    clock_error: int | None = None


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """One connection of a client to an external feed.

    ``ended_at`` is null if the log does not say it, ``code`` also if the client ended the connection itself.
    """

    session: int
    connection: int
    opened_at: str
    ended_at: str | None = None
    code: int | None = None
    reason: str = ""


class Connections(msgspec.Struct, frozen=True, kw_only=True):
    """When a client was connected to an external feed. All is null for the own feed, and in logs that do not say it.

    ``connected_ns`` of ``asked_ns`` is the time with a connection; ``refused`` are attempts that failed, and
    ``last_refusal`` is why the last of them did. ``last`` lists the last connections, and ``others`` is the number of
    those before.
    """

    connected_ns: int | None = None
    asked_ns: int | None = None
    count: int | None = None
    refused: int | None = None
    others: int | None = None
    last: list[Connection] = msgspec.field(default_factory=list)
    last_refusal: str | msgspec.UnsetType = msgspec.UNSET


class Causes(msgspec.Struct, frozen=True, kw_only=True):
    """Number of missing records by cause. Each record has one cause; null where the evidence cannot show a cause.

    ``not_seen`` is of external feeds: no client received these records, and it is unknown whether they were sent.
    """

    never_sent: int | None = 0
    sent_not_logged: int | None = 0
    corrupt_in_flight: int | None = 0
    receipted_not_logged: int | None = 0
    corrupt_block: int | None = 0
    foreign: int | None = 0
    not_seen: int | None = None


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one check; ``ok`` is null if the check cannot be answered."""

    name: str
    ok: bool | None
    detail: str


class Threshold(msgspec.Struct, frozen=True, kw_only=True):
    """A limit that the operator set, the measured value, and the client if the value is of one client.

    ``detail`` is the same in words, with the unit.
    """

    expression: str
    ok: bool | None
    measured: float | int | None
    client: str | None = None
    detail: str = ""


class Fault(msgspec.Struct, frozen=True, kw_only=True, order=True):
    """A fault of a file: its place, and the missing records that it hides.

    ``file`` is relative to the volumes folder, ``line`` counts from 1, ``missing`` is the range of missing seqs between
    the good lines around the fault (null if there are none).
    """

    file: str
    line: int
    kind: str
    client: str | None
    missing: Span | None
    detail: str


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """The longest time in which a client received nothing while it took part in the run; ``at`` is its begin."""

    client: str
    at: str
    duration_ns: int


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over all clients. ``bytes`` counts records only; rates are per ``duration_ns``, from first to last receipt.

    ``unreadable`` is the number of missing numbers of an external feed that unreadable records account for.
    ``without_key`` and ``without_time``, only of feeds with such a path, count messages that lack it; ``ignored`` and
    ``pings``, only of external feeds, count messages that are no records.
    ``catch_up`` is the number of messages that were due before their client first tried to take part in the run.
    ``gaps`` is only of feeds whose messages cover ranges of numbers or name the number before: each gap hides at least
    one message. ``repeated``, only with `FEED_REPEATS`, is the number of messages received again after a reconnect.
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
    without_key: int | msgspec.UnsetType = msgspec.UNSET
    without_time: int | msgspec.UnsetType = msgspec.UNSET
    ignored: int | msgspec.UnsetType = msgspec.UNSET
    pings: int | msgspec.UnsetType = msgspec.UNSET
    catch_up: int | None = None
    gaps: int | msgspec.UnsetType = msgspec.UNSET
    repeated: int | msgspec.UnsetType = msgspec.UNSET
    duration_ns: int | None = None
    messages_per_second: float | None = None
    bytes_per_second: float | None = None


class ClientSummary(msgspec.Struct, frozen=True, kw_only=True):
    """The results of one client."""

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
    without_key: int | msgspec.UnsetType = msgspec.UNSET
    without_time: int | msgspec.UnsetType = msgspec.UNSET
    ignored: int | msgspec.UnsetType = msgspec.UNSET
    pings: int | msgspec.UnsetType = msgspec.UNSET
    catch_up: int | None = None
    gaps: int | msgspec.UnsetType = msgspec.UNSET
    repeated: int | msgspec.UnsetType = msgspec.UNSET
    latency_ns: Quantiles
    # Summaries of collectors that did not know catch-up lack it, and are still shown.
    catch_up_ns: Quantiles = Quantiles()
    transit_ns: Quantiles
    block_duration_ns: Quantiles
    silence_ns: int | None = None
    silence_at: str | None = None
    instrument_ns: InstrumentShare = InstrumentShare()
    connections: Connections = Connections()


MOST_CLIENTS = 1000
"""Most clients that a summary lists. Of more clients those that are not whole are listed, and the others counted."""


class UnlistedClients(msgspec.Struct, frozen=True, kw_only=True):
    """The clients of a large run that its summary does not list; they are in ``clients.csv``.

    Attributes:
        count: how many they are.
        whole: how many of them finished with every record, once and in order.
        states: how many there are in each state.
        block_sizes: the different numbers of messages per block that they were configured with.
    """

    count: int
    whole: int
    states: dict[ClientState, int]
    block_sizes: list[int]


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """The results of one run: a pure function of the set of valid lines, except for ``made_at``."""

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
    instrument_ns: InstrumentShare = InstrumentShare()
    silence: Silence | None = None
    clients: list[ClientSummary]
    unlisted: UnlistedClients | msgspec.UnsetType = msgspec.UNSET
    missing_by_cause: Causes
    faults: list[Fault]
    total: int | None
    rate: float | int | None
    made_at: str | None = None

    @property
    def client_count(self) -> int:
        """The number of all clients, listed or not."""
        return len(self.clients) + (self.unlisted.count if self.unlisted else 0)

    @property
    def client_states(self) -> Counter[ClientState]:
        """How many clients are in each state, listed or not."""
        return Counter(client.state for client in self.clients) + Counter(self.unlisted.states if self.unlisted else {})


def encode(summary: Summary) -> bytes:
    """Return the text of ``summary.json``: indented, with a final newline."""
    return msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n"


def decode(text: bytes) -> Summary:
    """Read a ``summary.json``.

    Raises:
        msgspec.MsgspecError: the text is not a summary.
    """
    return msgspec.json.decode(text, type=Summary)


def schema() -> dict[str, Any]:
    """Return the JSON Schema of ``summary.json``."""
    return msgspec.json.schema(Summary)
