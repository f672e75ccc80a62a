"""Input and result types of the checks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from services.collector.results.client_result import ClientResult
from services.collector.results.run_result import RunResult
from services.contract.summary import Fault, Quantiles, Totals

DAMAGE = frozenset({"corrupt_block", "inconsistent", "unreadable"})
"""Faults of the lines of a block log themselves; all others are about which lines there are."""


@dataclass(frozen=True)
class CheckInput:
    """The input of the checks: the result of a run that is over, and sums over its clients."""

    result: RunResult
    totals: Totals
    latency: Quantiles
    transit: Quantiles
    faults: list[Fault]

    @property
    def clients(self) -> Sequence[ClientResult]:
        """The results of all clients."""
        return self.result.clients


@dataclass(frozen=True)
class CheckAnswer:
    """The answer of one check; ``ok`` is null when it does not apply.

    ``explained_by`` is the check whose reasons explain those of this one, and come before them; empty for none.
    """

    ok: bool | None
    detail: str
    reasons: tuple[str, ...] = ()
    explained_by: str = ""
