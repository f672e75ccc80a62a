"""Builds results from the evidence of a run. Pure: the same lines give the same results, in any order.

Only this module decides whether the feed is the own one or an external one. A result holds None for each fact that is
not known of its feed, so the code that reads results does not ask which feed it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple, Protocol

from services.collector.evidence.run_evidence import RunEvidence
from services.collector.results.builders.external_builder import external_run_result
from services.collector.results.builders.external_client_state import is_external_client_awaited
from services.collector.results.builders.ledger_builder import is_ledger_client_awaited, ledger_run_result
from services.collector.results.run_result import RunResult


class _BuildRun(Protocol):
    def __call__(self, evidence: RunEvidence, *, final: bool) -> RunResult: ...


class _Builder(NamedTuple):
    run_result: _BuildRun
    is_awaited: Callable[[RunEvidence, str], bool]


_OWN_FEED = _Builder(ledger_run_result, is_ledger_client_awaited)
_EXTERNAL_FEED = _Builder(external_run_result, is_external_client_awaited)


def build_result(evidence: RunEvidence, *, final: bool) -> RunResult:
    """Return the result of a run.

    Args:
        evidence: all lines of the run that were read.
        final: nothing more will be logged. A client of an external feed whose log is open is lost then.
    """
    return replace(
        _builder(evidence).run_result(evidence, final=final), pulled=evidence.pulled, awaited=evidence.awaited
    )


def awaits_a_seal(evidence: RunEvidence) -> bool:
    """Return whether any client still has to seal its log: it is connected, or it received the last record."""
    is_awaited = _builder(evidence).is_awaited
    return any(not evidence.is_sealed(name) and is_awaited(evidence, name) for name in evidence.names)


def _builder(evidence: RunEvidence) -> _Builder:
    return _EXTERNAL_FEED if evidence.is_one_sided else _OWN_FEED
