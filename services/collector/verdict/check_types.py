"""What a run is asked by, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.collector.evidence.run_evidence import RunEvidence
from services.collector.results.client_result import ClientResult
from services.contract.summary import Fault, Quantiles, Totals

DAMAGE = frozenset({"corrupt_block", "inconsistent", "unreadable"})
"""Faults of a log's lines themselves; all others are faults of the books."""


@dataclass(frozen=True)
class CheckInput:
    """What the checks look at: one run that is over."""

    books: RunEvidence
    accounts: Sequence[ClientResult]
    totals: Totals
    latency: Quantiles
    transit: Quantiles
    faults: list[Fault]


@dataclass(frozen=True)
class CheckAnswer:
    """The answer to one question: ``ok`` is null when it does not apply."""

    ok: bool | None
    detail: str
    reasons: tuple[str, ...] = ()
