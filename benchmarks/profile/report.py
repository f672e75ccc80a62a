"""Formats the outcomes of all servers side by side, as a Markdown table and as JSON."""

from __future__ import annotations

import sys
from collections.abc import Callable

from benchmarks.profile.deliveries import Classes
from benchmarks.profile.measurement import Outcome, Spread
from benchmarks.profile.suite import Results
from tests import doc_tables

MARK = "profile"
"""Name of the marks in the document between which the table is written."""

_Cell = Callable[[Outcome], str]

_ROWS: list[tuple[str, _Cell, str]] = [
    ("deliveries expected", lambda outcome: f"{outcome.expected:,}", "1,200,000"),
    (
        "**received**",
        lambda outcome: f"**{100 * outcome.classes.received / outcome.expected:.2f} %**",
        "socket.io 84.55 %, with recovery 100 %; uWebSockets 87.03 %",
    ),
    ("received live, once", lambda outcome: f"{outcome.classes.live:,}", ""),
    ("received by replay, once", lambda outcome: f"{outcome.classes.replayed:,}", ""),
    ("lost while away", lambda outcome: f"{outcome.classes.lost_away:,}", ""),
    ("lost while connected", lambda outcome: f"{outcome.classes.lost_connected:,}", ""),
    ("lost at the tail", lambda outcome: f"{outcome.classes.lost_at_the_tail:,}", "not counted"),
    ("not published", lambda outcome: f"{outcome.classes.unpublished:,}", "counted as lost"),
    (
        "**residual**: in no class, or in two",
        lambda outcome: f"**{outcome.residual:,}**",
        "socket.io 891 to 1,011; uWebSockets 1,775 to 1,895",
    ),
    ("received again, on top", lambda outcome: f"{outcome.classes.duplicates:,}", "not counted"),
    ("replay, from the return: p50", lambda outcome: _seconds(outcome.replay, outcome.replay.p50), ""),
    (
        "replay, from the return: p99",
        lambda outcome: _seconds(outcome.replay, outcome.replay.p99),
        "socket.io with recovery 4.58 s, start of the measurement unknown",
    ),
    ("replay, from the return: longest", lambda outcome: _seconds(outcome.replay, outcome.replay.max), ""),
    ("replay, from the sending: p99", lambda outcome: _seconds(outcome.missed, outcome.missed.p99), ""),
    ("live, from the sending: p99", lambda outcome: _seconds(outcome.live, outcome.live.p99), ""),
    ("server CPU, connecting included", lambda outcome: f"{outcome.cpu_seconds:.1f} s", ""),
    ("server memory, all connected", lambda outcome: f"{outcome.resident_bytes / 1e6:.0f} MB", ""),
    ("cuts made", lambda outcome: f"{outcome.cuts.number:,}", ""),
    ("cuts of clients that were away", lambda outcome: f"{outcome.skipped_cuts:,}", ""),
    ("cuts late by: p99", lambda outcome: _seconds(outcome.cuts, outcome.cuts.p99), ""),
    ("connects that failed", lambda outcome: f"{outcome.failed:,}", ""),
    ("connections that the server ended", lambda outcome: f"{outcome.ended_by_server:,}", ""),
]
"""Rows of the table: label, value of a server, and the value in the published benchmark."""


def print_report(results: Results) -> None:
    """Print the table, and an error for every residual and contradiction."""
    print(table(results))
    print_errors(results)


def print_errors(results: Results) -> None:
    """Print an error for every residual and contradiction."""
    for outcome in results.outcomes:
        if outcome.residual:
            print(f"error: {outcome.server}: residual {outcome.residual}", file=sys.stderr)
        for sentence in outcome.contradictions:
            print(f"error: {outcome.server}: {sentence}", file=sys.stderr)


def table(results: Results) -> str:
    """Return the outcomes as a Markdown table, one column per server, with the conditions."""
    profile = results.profile
    heads = [*(outcome.server for outcome in results.outcomes), "published, other machine"]
    conditions = (
        f"{profile.clients:,} clients × {profile.records} messages at {profile.rate:g}/s, each client cut about every "
        f"{profile.every:g} s for {profile.away:g} s; seed {results.seed}, the same cuts for every server."
    )
    lines = [
        conditions,
        "",
        f"| | {' | '.join(heads)} |",
        f"|---|{'--:|' * len(heads)}",
        *(f"| {what} | {' | '.join([*map(cell, results.outcomes), published])} |" for what, cell, published in _ROWS),
        *(f"| {name} | not here: {reason} |{' |' * (len(heads) - 1)}" for name, reason in results.skipped.items()),
    ]
    return "\n".join([*lines, "", doc_tables.sentence(**_node(results))])


def as_dict(results: Results) -> dict[str, object]:
    """Return the results as a dictionary for JSON, with the conditions."""
    return {
        "conditions": doc_tables.conditions() | _node(results),
        "profile": results.profile._asdict(),
        "seed": results.seed,
        "servers": [_fields(outcome) for outcome in results.outcomes],
        "not here": results.skipped,
    }


def _node(results: Results) -> dict[str, str]:
    versions = {outcome.node for outcome in results.outcomes if outcome.node}
    return {"Node.js": " and ".join(sorted(versions))} if versions else {}


def _fields(outcome: Outcome) -> dict[str, object]:
    return {
        name: value._asdict() if isinstance(value, Classes | Spread) else value
        for name, value in outcome._asdict().items()
    }


def _seconds(spread: Spread, value: float) -> str:
    if not spread.number:
        return "–"
    return f"{value:.3g} s" if value >= 1 else f"{value * 1000:.3g} ms"
