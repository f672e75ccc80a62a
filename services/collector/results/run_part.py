"""The file of a part of a run: the result of the clients of one node, to be merged with those of the others. Pure.

Three sealed lines: what the part is, what its ledger records, and the results of its clients. Format:
``docs/formats/part.md``. A part is read by the version that wrote it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import MISSING, dataclass, fields, replace
from functools import cache
from typing import Any, Literal, NamedTuple

import msgspec

from services import SOFTWARE
from services.collector.evidence.sampling import SpreadSample
from services.collector.evidence.saturation import SaturationEvidence
from services.collector.evidence.server_clocks import ClockOffset
from services.collector.evidence.silence import LongestSilence
from services.collector.evidence.sparse_histogram import SparseHistogram
from services.collector.results.client_result import (
    NO_CAUSES,
    NO_CONFLICTS,
    NOT_MEASURED,
    ClientConsistency,
    ClientResult,
    GapTimes,
    LogConflicts,
)
from services.collector.results.measured_durations import NOTHING, Measured
from services.collector.results.run_result import LedgerFacts, NotMergeable, RunDurations, RunResult
from services.contract import jsonl
from services.contract.bounds import PART_BYTES, PART_NAMES_BYTES
from services.contract.errors import LineError
from services.contract.jsonl import FIRST
from services.contract.nodes import PulledRun
from services.contract.rangeset import RangeSet
from services.contract.scalars import Span
from services.contract.summary import Causes, ClientState, Fault, RunState

MOST_ABSENT = 1000
"""Clients that only the ledger names are in every part unless they are more; then `part --absent` writes them."""


class MalformedPart(ValueError):
    """A file is no part, is damaged, or was written by another version."""


class ClientRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The result of one client of our own feed: the fields of `ClientResult`, with `Measured` for histograms."""

    client: str
    state: ClientState
    has_log: bool = False
    block_size: int | None = None
    blocks: int = 0
    sessions: int = 0
    messages: int = 0
    bytes: int = 0
    expected: int | None = None
    received: int = 0
    missing: int | None = None
    duplicates: int | None = None
    reordered: int | None = None
    corrupt: int | None = None
    residual: int | None = None
    logged_not_receipted: int | None = None
    missing_seqs: RangeSet = msgspec.field(default_factory=RangeSet)
    lost: dict[str, RangeSet] = msgspec.field(default_factory=dict)
    missing_by_cause: Causes = NO_CAUSES
    gap_times: dict[int, GapTimes] = msgspec.field(default_factory=dict)
    repeated_seqs: RangeSet = msgspec.field(default_factory=RangeSet)
    corrupt_seqs: RangeSet = msgspec.field(default_factory=RangeSet)
    torn_bytes: int = 0
    clock_offset_us: int | None = None
    clock_error_us: int | None = None
    first_us: int | None = None
    last_us: int | None = None
    latency: Measured = NOTHING
    catch_up: Measured | None = None
    transit: Measured = NOTHING
    block_duration: Measured = NOTHING
    silence: LongestSilence | None = None
    saturation: SaturationEvidence = NOT_MEASURED
    stalled_ns: int | None = None
    longest_stall_ns: int | None = None
    faults: tuple[Fault, ...] = ()
    conflicts: LogConflicts = NO_CONFLICTS
    consistency: ClientConsistency | int | None = None
    """The number of receipts stands for a client whose ledger and log agree."""

    @classmethod
    def of(cls, client: ClientResult, percents: Sequence[float]) -> ClientRow:
        """Return the row of a client; ``percents`` are those of the operator's thresholds."""
        values: dict[str, Any] = {name: _short(getattr(client, name), percents) for name in cls.__struct_fields__}
        values["lost"] = {cause: seqs for cause, seqs in client.lost.items() if seqs}
        # Nearly all clients are whole, and a large run has many: what says nothing is left out.
        return cls(**{name: value for name, value in values.items() if value not in (RangeSet(), NO_CONFLICTS, {})})

    def result(self) -> ClientResult:
        """Return the result of the client."""
        # Not by the constructor of a frozen dataclass, which takes ten times as long: a run may have 10⁵ clients.
        client = object.__new__(ClientResult)
        client.__dict__.update(_UNSET)
        client.__dict__.update(msgspec.structs.asdict(self))
        if isinstance(self.consistency, int):
            client.__dict__["consistency"] = _consistent(self.consistency)
        return client


_UNSET = {
    field.name: field.default if field.default is not MISSING else None
    for field in fields(ClientResult)
    if field.name not in ClientRow.__struct_fields__
}
"""Fields that a client of our own feed does not have."""


class HistogramRow(NamedTuple):
    """A histogram of the run: its buckets, and their counts."""

    buckets: list[int]
    counts: list[int]
    min: int | None
    max: int | None


class PartHead(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="part"):
    """The first line: what the part is, and what has to be equal in all parts of a run.

    Attributes:
        software: the version of the collector that wrote it.
        thresholds: the operator's limits, in their order.
        absent: whether clients without a log here are among its clients.
    """

    v: Literal[1]
    run: str
    software: str
    thresholds: list[str]
    absent: bool


class LedgerRow(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="ledger"):
    """The second line: what the ledger records about the run, the same in every part.

    ``clients`` are the names of its clients, one a line, compressed by zlib: every part has all of them.
    """

    state: RunState
    feed: str | None
    total: int | None
    rate: float | int | None
    lacks_open: bool
    facts: LedgerFacts
    clients: bytes
    ended_at: str | None


class ClientsRow(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="clients"):
    """The last line: the clients, and what lies between them."""

    lacks_ledger: bool
    ledger_faults: list[Fault]
    durations: dict[str, HistogramRow]
    spread_stride: int
    spread: list[tuple[int, int, int, str]]
    clock_offsets: list[tuple[str, str, ClockOffset]]
    pulled: PulledRun | None
    clients: list[ClientRow]


@dataclass(frozen=True, kw_only=True)
class RunPart:
    """A part of a run.

    Attributes:
        result: of its clients.
        thresholds: the operator's limits, in their order.
        ledger_clients: the clients that the ledger names, in order.
        has_absent: whether the result has also those of them that have no log here.
        ended_at: when the run ended, RFC 3339; None for not known.
    """

    result: RunResult
    thresholds: tuple[str, ...]
    ledger_clients: tuple[str, ...]
    has_absent: bool
    ended_at: str | None


def encode(part: RunPart, percents: Sequence[float] = ()) -> bytes:
    """Return the file of a part; ``percents`` are the percentiles that its thresholds name."""
    result = part.result
    limits = list(part.thresholds)
    head = PartHead(v=1, run=result.run, software=SOFTWARE, thresholds=limits, absent=part.has_absent)
    ledger = LedgerRow(
        state=result.state,
        feed=result.feed,
        total=result.total,
        rate=result.rate,
        lacks_open=result.lacks_open,
        facts=result.ledger_facts,
        clients=zlib.compress("\n".join(part.ledger_clients).encode()),
        ended_at=part.ended_at,
    )
    if result.spread_sample is None or not result.is_final:
        raise NotMergeable(f"run {result.run} is of an external feed: its clients have to be read together")
    clients = ClientsRow(
        lacks_ledger=result.lacks_ledger,
        ledger_faults=list(result.ledger_faults),
        durations={
            name: HistogramRow(list(one.buckets), list(one.counts), one.min, one.max)
            for name, one in result.durations.by_name().items()
            if name != "spread"
        },
        spread_stride=result.spread_sample.stride(0),
        spread=result.spread_sample.rows(),
        clock_offsets=[(*kernels, offset) for kernels, offset in sorted(result.clock_offsets.items())],
        pulled=result.pulled,
        clients=[ClientRow.of(client, percents) for client in result.clients if part.has_absent or client.has_log],
    )
    lines, prev = [], FIRST
    for row in (head, ledger, clients):
        line, prev = jsonl.seal(msgspec.json.encode(row, enc_hook=_spans), prev)
        lines.append(line)
    return b"".join(lines)


class PartReader:
    """Reads the parts of one run. Their ledger lines are equal, so only the first is decoded."""

    def __init__(self) -> None:
        self._head = msgspec.json.Decoder(PartHead)
        self._ledger = msgspec.json.Decoder(LedgerRow, dec_hook=_range_set)
        self._clients = msgspec.json.Decoder(ClientsRow, dec_hook=_range_set)
        self._known: tuple[bytes, LedgerRow, tuple[str, ...]] | None = None

    def read(self, data: bytes) -> RunPart:
        """Return a part.

        Raises:
            MalformedPart: the file is no part, is damaged, or was written by another version.
            NotMergeable: it has another ledger than the parts before.
        """
        if len(data) > PART_BYTES.value:
            raise MalformedPart(f"it has more than {PART_BYTES.value:,} bytes")
        try:
            return self._read(data)
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            if isinstance(error, (MalformedPart, NotMergeable)):
                raise
            # Checksums find accidents only: a value may have the right type and still not fit to the others.
            raise MalformedPart(f"it contradicts itself: {error}") from error

    def _read(self, data: bytes) -> RunPart:
        first, second, third = _lines(data)
        head = _decoded(self._head, first)
        if head.software != SOFTWARE:
            raise MalformedPart(f"it was written by {head.software}, and this is {SOFTWARE}")
        content = bytes(jsonl.content(second))
        if self._known is None:
            ledger = _decoded(self._ledger, second)
            self._known = content, ledger, _names(ledger)
        known, ledger, names = self._known
        if known != content:
            raise NotMergeable("it does not have the ledger of the parts before it")
        return _part(head, ledger, names, _decoded(self._clients, third))


def _names(ledger: LedgerRow) -> tuple[str, ...]:
    try:
        inflater = zlib.decompressobj()
        names = inflater.decompress(ledger.clients, PART_NAMES_BYTES.value)
    except zlib.error as error:
        raise MalformedPart(f"it is damaged: {error}") from error
    if not inflater.eof:
        raise MalformedPart(f"it is damaged: the names of its clients are cut, or have over {len(names):,} bytes")
    return tuple(names.decode().split())


def _part(head: PartHead, ledger: LedgerRow, names: tuple[str, ...], row: ClientsRow) -> RunPart:
    sample = SpreadSample(row.spread_stride, {seq: (first, last, name) for seq, first, last, name in row.spread})
    durations = RunDurations(**{name: _histogram(one) for name, one in row.durations.items()})
    result = RunResult(
        run=head.run,
        books="two-sided",
        is_final=True,
        state=ledger.state,
        feed=ledger.feed,
        total=ledger.total,
        rate=ledger.rate,
        lacks_ledger=row.lacks_ledger,
        lacks_open=ledger.lacks_open,
        clients=tuple(one.result() for one in row.clients),
        durations=replace(durations, spread=SparseHistogram.of(sample.histogram())),
        ledger_faults=tuple(row.ledger_faults),
        ledger_facts=ledger.facts,
        comparison=None,
        spread_sample=sample,
        clock_offsets={(client, server): offset for client, server, offset in row.clock_offsets},
        pulled=row.pulled,
    )
    return RunPart(
        result=result,
        thresholds=tuple(head.thresholds),
        ledger_clients=names,
        has_absent=head.absent,
        ended_at=ledger.ended_at,
    )


def _lines(data: bytes) -> tuple[bytes, bytes, bytes]:
    lines, prev = data.splitlines(keepends=True), FIRST
    for line in lines:
        try:
            sealed = jsonl.unseal(line)
        except LineError as error:
            raise MalformedPart(f"it is damaged: {error.detail}") from error
        if sealed.prev != prev:
            raise MalformedPart("it is damaged: a line does not continue the one before")
        prev = sealed.crc
    if len(lines) != 3:
        raise MalformedPart(f"it has {len(lines)} lines in place of 3")
    return lines[0], lines[1], lines[2]


def _decoded(decoder: msgspec.json.Decoder[Any], line: bytes) -> Any:
    try:
        return decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MalformedPart(f"it is no part of a run: {error}") from error


def _histogram(row: HistogramRow) -> SparseHistogram:
    return SparseHistogram.from_rows(row.buckets, row.counts, row.min, row.max)


def _short(value: object, percents: Sequence[float]) -> object:
    if isinstance(value, SparseHistogram):
        return Measured.of(value, percents) if value.count else NOTHING
    if isinstance(value, ClientConsistency) and value == _consistent(value.receipts):
        return value.receipts
    return NOT_MEASURED if value == NOT_MEASURED else value


@cache
def _consistent(receipts: int) -> ClientConsistency:
    return ClientConsistency(
        receipts=receipts,
        differing_receipts=(),
        is_subscribed=True,
        unsealed_sessions=(),
        sessions_without_file=(),
        fences_without_subscription=(),
        fences_granted_twice=(),
        receipt_holes=RangeSet(),
    )


def _spans(value: object) -> object:
    if isinstance(value, RangeSet):
        return value.spans()
    raise TypeError(type(value).__name__)


def _range_set(kind: type, value: Iterable[Span]) -> RangeSet:
    if kind is not RangeSet:
        raise TypeError(kind.__name__)
    return RangeSet((first, last) for first, last in value)
