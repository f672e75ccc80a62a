"""Formats the figures as a Markdown table and as JSON."""

from __future__ import annotations

import json
import time
from pathlib import Path

from benchmarks.measure import Figures, Metric
from tests import doc_tables


def print_report(figures: Figures, json_file: Path | None, **more: object) -> None:
    """Print the table; write the values of every round, and ``more``, to ``json_file`` unless it is None."""
    print(table(figures))
    if json_file is not None:
        json_file.write_text(as_json(figures, today(), **more), encoding="utf-8")


def today() -> str:
    """Return the date of the run in UTC."""
    return time.strftime("%Y-%m-%d", time.gmtime())


def table(figures: Figures) -> str:
    """Return the figures as a Markdown table: median, number of rounds, spread, target."""
    lines = [
        "| what | median | rounds | lowest … highest | target | met |",
        "|---|--:|--:|--:|--:|---|",
    ]
    for metric, values in figures.values.items():
        note = "" if len(values) >= metric.rounds else f"takes {metric.rounds} rounds"
        met = {None: note, True: "yes", False: "**no**"}[figures.meets_target(metric)]
        target = "" if metric.target is None else f"{'≥' if metric.better == 'more' else '≤'} {_number(metric.target)}"
        spread = f"{_number(min(values))} … {_number(max(values))}"
        median = f"{_number(figures.median(metric))} {metric.unit}"
        lines.append(f"| {metric.name} | {median} | {len(values)} | {spread} | {target} | {met} |")
    lines += [f"| {name} | not here: {reason} | | | | |" for name, reason in figures.skipped.items()]
    return "\n".join([*lines, "", *_peers(figures), doc_tables.sentence()])


def as_json(figures: Figures, date: str, **more: object) -> str:
    """Return the values of all rounds, the date (``2026-11-29``), the conditions and ``more`` as JSON."""
    content = {
        "date": date,
        "conditions": doc_tables.conditions(),
        "peers": figures.peers,
        "figures": [_fields(figures, metric) for metric in figures.values],
        "not here": figures.skipped,
        **more,
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _peers(figures: Figures) -> list[str]:
    """Return the paragraph with version and settings of every other server."""
    if not figures.peers:
        return []
    servers = "; ".join(f"{name}: {settings}" for name, settings in sorted(figures.peers.items()))
    return [f"Other servers, and what differs from their defaults: {servers}.", ""]


def _fields(figures: Figures, metric: Metric) -> dict[str, object]:
    values = figures.values[metric]
    return {**metric._asdict(), "median": figures.median(metric), "met": figures.meets_target(metric), "values": values}


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
