"""Builds the result of a run from its evidence. Pure: the same lines give the same result, in any order."""

from __future__ import annotations

from services.collector.evidence.run_evidence import RunEvidence
from services.collector.results.builders.external_builder import external_run_result
from services.collector.results.builders.ledger_builder import ledger_run_result
from services.collector.results.run_result import RunResult


def build_result(evidence: RunEvidence, *, final: bool) -> RunResult:
    """Return the result of a run.

    Args:
        evidence: all lines of the run that were read.
        final: nothing more will be logged. A client of an external feed whose log is open is lost then.
    """
    if evidence.is_one_sided:
        return external_run_result(evidence, final=final)
    return ledger_run_result(evidence, final=final)
