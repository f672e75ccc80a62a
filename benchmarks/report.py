"""What was measured, as a table for people and as JSON for programs."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.measure import Figures, Metric
from tests import doc_tables


def say(figures: Figures, json_file: Path | None, **more: object) -> None:
    """Print the table; write the values of every round, and whatever else is given, to a file where one is wanted."""
    print(table(figures))
    if json_file is not None:
        json_file.write_text(as_json(figures, **more), encoding="utf-8")


def table(figures: Figures) -> str:
    """Return the figures as a Markdown table: median, of how many rounds, spread, target."""
    lines = [
        "| what | median | rounds | lowest … highest | target | met |",
        "|---|--:|--:|--:|--:|---|",
    ]
    for metric, values in figures.values.items():
        few = "" if len(values) >= metric.rounds else f"takes {metric.rounds} rounds"
        met = {None: few, True: "yes", False: "**no**"}[figures.met(metric)]
        target = "" if metric.target is None else f"{'≥' if metric.better == 'more' else '≤'} {_number(metric.target)}"
        spread = f"{_number(min(values))} … {_number(max(values))}"
        median = f"{_number(figures.median(metric))} {metric.unit}"
        lines.append(f"| {metric.name} | {median} | {len(values)} | {spread} | {target} | {met} |")
    lines += [f"| {name} | not here: {why} | | | | |" for name, why in figures.skipped.items()]
    lines += ["", doc_tables.sentence()]
    return "\n".join(lines)


def as_json(figures: Figures, **more: object) -> str:
    """Return all rounds' values with the conditions, and whatever else is given."""
    return json.dumps(
        {
            "conditions": doc_tables.conditions(),
            "figures": [_described(figures, metric) for metric in figures.values],
            "not here": figures.skipped,
            **more,
        },
        indent=2,
        ensure_ascii=False,
    )


def _described(figures: Figures, metric: Metric) -> dict[str, object]:
    values = figures.values[metric]
    return {**metric._asdict(), "median": figures.median(metric), "met": figures.met(metric), "values": values}


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
