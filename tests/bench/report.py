"""What was measured, as a table for people and as JSON for programs."""

from __future__ import annotations

import json
import os
import platform
from importlib.metadata import version
from pathlib import Path

from tests.bench.measure import Figures, Metric

BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"


def conditions() -> dict[str, str]:
    """Return what the figures depend on, without naming the machine."""
    return {
        "cores": str(len(os.sched_getaffinity(0))),
        "processor": _processor(),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        **{name: version(name) for name in ("websockets", "msgspec", "python-json-logger", "Faker")},
    }


def table(figures: Figures) -> str:
    """Return the figures as a Markdown table: median, spread, target."""
    rounds = max(map(len, figures.values.values()))
    lines = [
        f"Median of {rounds} rounds, lowest and highest in brackets.",
        "",
        "| what | median | spread | target | met |",
        "|---|--:|--:|--:|---|",
    ]
    for metric, values in figures.values.items():
        met = {None: "", True: "yes", False: "**no**"}[figures.met(metric)]
        target = "" if metric.target is None else f"{'≥' if metric.better == 'more' else '≤'} {_number(metric.target)}"
        spread = f"{_number(min(values))} … {_number(max(values))}"
        lines.append(
            f"| {metric.name} | {_number(figures.median(metric))} {metric.unit} | {spread} | {target} | {met} |"
        )
    lines += ["", "Measured on: " + ", ".join(f"{name} {value}" for name, value in conditions().items()) + "."]
    return "\n".join(lines)


def as_json(figures: Figures) -> str:
    """Return all rounds' values with the conditions."""
    return json.dumps(
        {
            "conditions": conditions(),
            "figures": [_described(figures, metric) for metric in figures.values],
        },
        indent=2,
        ensure_ascii=False,
    )


def write(document: Path, figures: Figures) -> None:
    """Put the table into the document, between its two marks."""
    before, _, rest = document.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    document.write_text(f"{before}{BEGIN}\n{table(figures)}\n{END}{after}", encoding="utf-8")


def _described(figures: Figures, metric: Metric) -> dict[str, object]:
    values = figures.values[metric]
    return {**metric._asdict(), "median": figures.median(metric), "met": figures.met(metric), "values": values}


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
