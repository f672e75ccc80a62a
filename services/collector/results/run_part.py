"""The file of a part of a run: the result of the clients of one node, to be merged with those of the others. Pure.

Four sealed lines: what the part is, what its ledger records, the results of its clients, and what the timeline draws of
them. Without a ledger clients are judged by each other, so such a part has two lines: what it is, and the evidence of
its clients. Format: ``docs/formats/part.md``. A part is read by the version that wrote it.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import msgspec

from services import SOFTWARE
from services.collector.evidence.run_evidence import RunEvidence
from services.collector.evidence.sampling import SpreadSample
from services.collector.evidence.server_clocks import ClockOffset
from services.collector.evidence.sparse_histogram import SparseHistogram
from services.collector.evidence.time_sample import TimeSample
from services.collector.results import evidence_codec
from services.collector.results.client_row import ClientRow
from services.collector.results.evidence_codec import Evidence, UnreadableEvidence
from services.collector.results.run_result import LedgerFacts, NotMergeable, RunDurations, RunResult
from services.collector.results.timeline import RunMarks
from services.contract import jsonl
from services.contract.bounds import PART_BYTES, PART_NAMES_BYTES
from services.contract.errors import LineError
from services.contract.jsonl import FIRST
from services.contract.nodes import PulledRun
from services.contract.rangeset import RangeSet
from services.contract.scalars import Span
from services.contract.summary import Fault, RunState

MOST_ABSENT = 1000
"""Clients that only the ledger names are in every part unless they are more; then `part --absent` writes them."""


class MalformedPart(ValueError):
    """A file is no part, is damaged, or was written by another version."""


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
    marks: RunMarks


class ClientsRow(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="clients"):
    """The third line: the clients, and what lies between them."""

    lacks_ledger: bool
    ledger_faults: list[Fault]
    durations: dict[str, HistogramRow]
    spread_stride: int
    spread: list[tuple[int, int, int, str]]
    clock_offsets: list[tuple[str, str, ClockOffset]]
    pulled: PulledRun | None
    clients: list[ClientRow]


class TimelineRow(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="timeline"):
    """The last line: a `TimeSample`, by `evidence_codec`."""

    times: bytes


class EvidenceRow(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="evidence"):
    """The last line of a part whose run has no ledger: the evidence of its clients, by `evidence_codec`."""

    evidence: bytes


@dataclass(frozen=True, kw_only=True)
class EvidencePart:
    """A part of a run without a ledger, such as one of an external feed: its clients are judged by each other.

    Attributes:
        evidence: of its clients.
        thresholds: the operator's limits, in their order.
    """

    evidence: RunEvidence
    thresholds: tuple[str, ...]

    @property
    def run(self) -> str:
        """The name of the run."""
        return self.evidence.run


@dataclass(frozen=True, kw_only=True)
class RunPart:
    """A part of a run.

    Attributes:
        result: of its clients.
        thresholds: the operator's limits, in their order.
        ledger_clients: the clients that the ledger names, in order.
        has_absent: whether the result has also those of them that have no log here.
        ended_at: when the run ended, RFC 3339; None for not known.
        marks: what the ledger says about times; of its events at most as many as are drawn.
        timeline: a `TimelineRow` as JSON, which is decoded only if the timeline is asked for.
    """

    result: RunResult
    thresholds: tuple[str, ...]
    ledger_clients: tuple[str, ...]
    has_absent: bool
    ended_at: str | None
    marks: RunMarks
    timeline: bytes

    @property
    def run(self) -> str:
        """The name of the run."""
        return self.result.run

    def times(self) -> TimeSample:
        """Return what the timeline draws of the clients.

        Raises:
            MalformedPart: there is none.
        """
        return _evidence(_decoded(_TIMELINE, self.timeline).times, TimeSample)


_TIMELINE = msgspec.json.Decoder(TimelineRow)


def timeline_row(times: TimeSample) -> bytes:
    """Return `RunPart.timeline`."""
    return msgspec.json.encode(TimelineRow(times=evidence_codec.encode(times)))


def encode(part: RunPart, percents: Sequence[float] = ()) -> bytes:
    """Return the file of a part; ``percents`` are the percentiles that its thresholds name."""
    result = part.result
    head = _head(result.run, part.thresholds, absent=part.has_absent)
    ledger = LedgerRow(
        state=result.state,
        feed=result.feed,
        total=result.total,
        rate=result.rate,
        lacks_open=result.lacks_open,
        facts=result.ledger_facts,
        clients=zlib.compress("\n".join(part.ledger_clients).encode()),
        ended_at=part.ended_at,
        marks=part.marks,
    )
    if result.spread_sample is None or not result.is_final:
        raise NotMergeable(f"run {result.run} has a ledger beside logs of an external feed")
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
    return _sealed(*(msgspec.json.encode(row, enc_hook=_spans) for row in (head, ledger, clients)), part.timeline)


def encode_evidence(part: EvidencePart) -> bytes:
    """Return the file of a part of a run without a ledger."""
    head = _head(part.run, part.thresholds, absent=False)
    row = EvidenceRow(evidence=evidence_codec.encode(part.evidence))
    return _sealed(msgspec.json.encode(head), msgspec.json.encode(row))


def _head(run: str, thresholds: Sequence[str], *, absent: bool) -> PartHead:
    return PartHead(v=1, run=run, software=SOFTWARE, thresholds=list(thresholds), absent=absent)


def _sealed(*rows: bytes) -> bytes:
    lines, prev = [], FIRST
    for row in rows:
        line, prev = jsonl.seal(row, prev)
        lines.append(line)
    return b"".join(lines)


class PartReader:
    """Reads the parts of one run. Their ledger lines are equal, so only the first is decoded."""

    def __init__(self) -> None:
        self._head = msgspec.json.Decoder(PartHead)
        self._ledger = msgspec.json.Decoder(LedgerRow, dec_hook=_range_set)
        self._second = msgspec.json.Decoder(LedgerRow | EvidenceRow, dec_hook=_range_set)
        self._clients = msgspec.json.Decoder(ClientsRow, dec_hook=_client_range_set)
        self._known: tuple[bytes, LedgerRow, tuple[str, ...]] | None = None

    def read(self, data: bytes) -> RunPart | EvidencePart:
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

    def _read(self, data: bytes) -> RunPart | EvidencePart:
        first, second, *others = _lines(data)
        head: PartHead = _decoded(self._head, first)
        if head.software != SOFTWARE:
            raise MalformedPart(f"it was written by {head.software}, and this is {SOFTWARE}")
        row = _decoded(self._second, second) if len(others) != 2 else None
        if isinstance(row, EvidenceRow) and not others:
            evidence = _evidence(row.evidence, RunEvidence)
            return EvidencePart(evidence=evidence, thresholds=tuple(head.thresholds))
        if len(others) != 2:
            raise MalformedPart(f"it has {len(others) + 2} lines in place of 4")
        content = bytes(jsonl.content(second))
        if self._known is None:
            ledger = _decoded(self._ledger, second)
            self._known = content, ledger, _names(ledger)
        known, ledger, names = self._known
        if known != content:
            raise NotMergeable("it does not have the ledger of the parts before it")
        clients, timeline = others
        return _part(head, ledger, names, _decoded(self._clients, clients), b"{" + jsonl.content(timeline))


def _evidence(data: bytes, kind: type[Evidence]) -> Evidence:
    try:
        return evidence_codec.decode(data, kind)
    except UnreadableEvidence as error:
        raise MalformedPart(f"it is no part of a run: {error}") from error


def _names(ledger: LedgerRow) -> tuple[str, ...]:
    try:
        inflater = zlib.decompressobj()
        names = inflater.decompress(ledger.clients, PART_NAMES_BYTES.value)
    except zlib.error as error:
        raise MalformedPart(f"it is damaged: {error}") from error
    if not inflater.eof:
        raise MalformedPart(f"it is damaged: the names of its clients are cut, or have over {len(names):,} bytes")
    return tuple(names.decode().split())


def _part(head: PartHead, ledger: LedgerRow, names: tuple[str, ...], row: ClientsRow, timeline: bytes) -> RunPart:
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
        marks=ledger.marks,
        timeline=timeline,
    )


def _lines(data: bytes) -> list[bytes]:
    lines, prev = data.splitlines(keepends=True), FIRST
    for line in lines:
        try:
            sealed = jsonl.unseal(line)
        except LineError as error:
            raise MalformedPart(f"it is damaged: {error.detail}") from error
        if sealed.prev != prev:
            raise MalformedPart("it is damaged: a line does not continue the one before")
        prev = sealed.crc
    if len(lines) < 2:
        raise MalformedPart(f"it has {len(lines)} lines in place of 4")
    return lines


def _decoded(decoder: msgspec.json.Decoder[Any], line: bytes) -> Any:
    try:
        return decoder.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MalformedPart(f"it is no part of a run: {error}") from error


def _histogram(row: HistogramRow) -> SparseHistogram:
    return SparseHistogram.from_rows(row.buckets, row.counts, row.min, row.max)


def _spans(value: object) -> object:
    if isinstance(value, RangeSet):
        return value.spans()
    raise TypeError(type(value).__name__)


def _range_set(kind: type, value: Iterable[Span]) -> RangeSet:
    if kind is not RangeSet:
        raise TypeError(kind.__name__)
    return RangeSet((first, last) for first, last in value)


_NO_SEQS = RangeSet()
"""One for all clients: nearly all lack nothing, a run may have 10⁵ of them, and results do not change."""


def _client_range_set(kind: type, value: Iterable[Span]) -> RangeSet:
    return _NO_SEQS if kind is RangeSet and value == [] else _range_set(kind, value)
