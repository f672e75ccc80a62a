"""What a summary says of a feed that is not ours: what nobody can know is null in it, and never 0."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from services.collector import formatting
from services.collector.evidence.run_evidence import RunEvidence
from services.collector.results.client_result import ClientResult
from services.collector.results.client_result_external import CAUSES, ExternalClientResult
from services.contract.scalars import MAX_INTEGER
from services.contract.summary import Causes, ClientSummary, Summary, Totals


def headline(every: Sequence[ClientResult], totals: Totals, p99_ns: int | None) -> str:
    """Return the headline of a run in which nothing is wrong."""
    numbered = any(isinstance(account, ExternalClientResult) and account.is_numbered for account in every)
    received = f"{totals.received:,} of {totals.expected:,}" if numbered else f"{totals.received:,} messages"
    parts = [formatting.several(len(every), "client"), formatting.duration(totals.duration_ns), f"{received} received"]
    parts += [f"p99 {formatting.duration(p99_ns)} from the sender's time"] if p99_ns is not None else []
    restarts = sum(account.restarts for account in every if isinstance(account, ExternalClientResult))
    parts += [f"sequences begun again: {restarts:,}"] if restarts else []
    parts.append("the feed is not ours" + ("" if numbered else ": without numbers nothing is said to be complete"))
    return " · ".join(parts)


def unknown_figures(every: Sequence[ClientResult]) -> frozenset[str]:
    """Return the names of the figures that nobody can know of these clients, none where the feed is our own."""
    heard = [account for account in every if isinstance(account, ExternalClientResult)]
    if not heard:
        return frozenset()
    return frozenset(_UNKNOWN if any(account.is_numbered for account in heard) else _UNNUMBERED)


def without_the_unknown(made: Summary, books: RunEvidence, every: Sequence[ClientResult]) -> Summary:
    """Return a summary in which null stands for whatever nobody can know of a feed that is not ours."""
    heard = [account for account in every if isinstance(account, ExternalClientResult)]
    feeds = sorted({log.feed.url for log in books.logs.values() if log.feed is not None})
    clients = [_known_of(one, account) for one, account in zip(made.clients, heard, strict=True)]
    numbered = any(account.is_numbered for account in heard)
    return msgspec.structs.replace(
        made,
        books="one-sided",
        feed=feeds[0] if feeds else None,
        totals=msgspec.structs.replace(
            made.totals,
            **(_UNKNOWN if numbered else _UNNUMBERED),
            restarts=sum(account.restarts for account in heard) if numbered else None,
            unsequenced=sum(account.unsequenced for account in heard),
            unreadable=sum(account.unreadable_count for account in heard) if numbered else None,
        ),
        clients=clients,
        missing_by_cause=_known_causes(heard),
        total=None,
        rate=None,
    )


_UNKNOWN: dict[str, Any] = {"corrupt": None, "residual": None, "logged_not_receipted": None}
_UNNUMBERED: dict[str, Any] = {
    **_UNKNOWN, "expected": None, "missing": None, "duplicates": None, "reordered": None,
}  # fmt: skip


def _known_of(one: ClientSummary, account: ExternalClientResult) -> ClientSummary:
    return msgspec.structs.replace(
        one,
        **(_UNKNOWN if account.is_numbered else _UNNUMBERED),
        clock_offset_us=None,
        clock_error_us=None,
        missing_by_cause=_known_causes([account]),
        restarts=account.restarts if account.is_numbered else None,
        unsequenced=account.unsequenced,
        unreadable=account.unreadable_count if account.is_numbered else None,
    )


def _known_causes(heard: Sequence[ExternalClientResult]) -> Causes:
    numbered = any(account.is_numbered for account in heard)
    counts = {cause: sum(account.by_cause.get(cause, 0) for account in heard) for cause in CAUSES}
    found = {cause: min(count, MAX_INTEGER) if numbered else None for cause, count in counts.items()}
    unknown = dict.fromkeys(("never_sent", "corrupt_in_flight", "receipted_not_logged", "foreign"))
    return Causes(**unknown, **found)
