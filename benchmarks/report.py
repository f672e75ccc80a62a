"""Formats the figures as a Markdown table and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.measure import Figures, Metric
from tests import doc_tables


def print_report(figures: Figures, json_file: Path | None, **more: object) -> None:
    """Print the table; write the values of every round, and ``more``, to ``json_file`` unless it is None."""
    print(table(figures))
    if json_file is not None:
        json_file.write_text(as_json(figures, **more), encoding="utf-8")


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
    lines += ["", doc_tables.sentence()]
    return "\n".join(lines)


def as_json(figures: Figures, **more: object) -> str:
    """Return the values of all rounds, the conditions and ``more`` as JSON."""
    return json.dumps(
        {
            "conditions": doc_tables.conditions(),
            "figures": [_fields(figures, metric) for metric in figures.values],
            "not here": figures.skipped,
            **more,
        },
        indent=2,
        ensure_ascii=False,
    )


def _fields(figures: Figures, metric: Metric) -> dict[str, object]:
    values = figures.values[metric]
    return {**metric._asdict(), "median": figures.median(metric), "met": figures.meets_target(metric), "values": values}


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
