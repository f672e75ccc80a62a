"""The result of one client of the own feed, as it is in a part of a run: fields that say nothing are left out. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import msgspec

from services.collector.evidence.saturation import SaturationEvidence
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
from services.contract.rangeset import RangeSet
from services.contract.summary import Causes, ClientState, Fault


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
        values = msgspec.structs.asdict(self)
        if isinstance(self.consistency, int):
            values["consistency"] = _consistent(self.consistency)
        return ClientResult(**values)


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
