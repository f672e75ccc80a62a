"""What every server made of the profile, side by side: a table for people and JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import Callable

from benchmarks.profile.deliveries import Classes
from benchmarks.profile.measurement import Outcome, Spread
from benchmarks.profile.suite import Results
from tests import doc_tables

MARK = "profile"
"""The marks in the document that the table is put between."""

_Cell = Callable[[Outcome], str]

_ROWS: list[tuple[str, _Cell, str]] = [
    ("deliveries expected", lambda one: f"{one.expected:,}", "1,200,000"),
    (
        "**received**",
        lambda one: f"**{100 * one.classes.received / one.expected:.2f} %**",
        "socket.io 84.55 %, with recovery 100 %; uWebSockets 87.03 %",
    ),
    ("received live, once", lambda one: f"{one.classes.live:,}", ""),
    ("received by replay, once", lambda one: f"{one.classes.replayed:,}", ""),
    ("lost while away", lambda one: f"{one.classes.lost_away:,}", ""),
    ("lost while connected", lambda one: f"{one.classes.lost_connected:,}", ""),
    ("lost at the tail", lambda one: f"{one.classes.lost_at_the_tail:,}", "not counted"),
    ("not published", lambda one: f"{one.classes.unpublished:,}", "counted as lost"),
    (
        "**residual**: in no class, or in two",
        lambda one: f"**{one.residual:,}**",
        "socket.io 891 to 1,011; uWebSockets 1,775 to 1,895",
    ),
    ("received again, on top", lambda one: f"{one.classes.again:,}", "not counted"),
    ("replay, from the return: p50", lambda one: _seconds(one.replay, one.replay.p50), ""),
    (
        "replay, from the return: p99",
        lambda one: _seconds(one.replay, one.replay.p99),
        "socket.io with recovery 4.58 s, from when is not known",
    ),
    ("replay, from the return: longest", lambda one: _seconds(one.replay, one.replay.max), ""),
    ("replay, from the sending: p99", lambda one: _seconds(one.missed, one.missed.p99), ""),
    ("live, from the sending: p99", lambda one: _seconds(one.live, one.live.p99), ""),
    ("server CPU, connecting included", lambda one: f"{one.cpu_seconds:.1f} s", ""),
    ("server memory, all connected", lambda one: f"{one.resident_bytes / 1e6:.0f} MB", ""),
    ("cuts made", lambda one: f"{one.cuts.number:,}", ""),
    ("cuts that met nobody", lambda one: f"{one.unmade:,}", ""),
    ("cuts late by: p99", lambda one: _seconds(one.cuts, one.cuts.p99), ""),
    ("connects that failed", lambda one: f"{one.failed:,}", ""),
    ("connections that the server ended", lambda one: f"{one.ended_by_server:,}", ""),
]
"""What is told, of whom, and what the published benchmark says of it."""


def say(results: Results) -> None:
    """Print the table, and what keeps books from being closed."""
    print(table(results))
    for outcome in results.outcomes:
        if outcome.residual:
            print(f"error: {outcome.server}: residual {outcome.residual}", file=sys.stderr)
        for sentence in outcome.contradictions:
            print(f"error: {outcome.server}: {sentence}", file=sys.stderr)


def table(results: Results) -> str:
    """Return the outcomes as a Markdown table, a server a column, with the conditions."""
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
        *(f"| {name} | not here: {why} |{' |' * (len(heads) - 1)}" for name, why in results.skipped.items()),
    ]
    return "\n".join([*lines, "", doc_tables.sentence(**_node(results))])


def described(results: Results) -> dict[str, object]:
    """Return all of it for JSON, with the conditions."""
    return {
        "conditions": doc_tables.conditions() | _node(results),
        "profile": results.profile._asdict(),
        "seed": results.seed,
        "servers": [_described(outcome) for outcome in results.outcomes],
        "not here": results.skipped,
    }


def _node(results: Results) -> dict[str, str]:
    versions = {outcome.node for outcome in results.outcomes if outcome.node}
    return {"Node.js": " and ".join(sorted(versions))} if versions else {}


def _described(outcome: Outcome) -> dict[str, object]:
    return {
        name: value._asdict() if isinstance(value, Classes | Spread) else value
        for name, value in outcome._asdict().items()
    }


def _seconds(spread: Spread, value: float) -> str:
    if not spread.number:
        return "–"
    return f"{value:.3g} s" if value >= 1 else f"{value * 1000:.3g} ms"
