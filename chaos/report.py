"""Formats the results of all fault tests as Markdown tables and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests import doc_tables

GOAL_SECONDS = 3.0
"""Only reported, never a failure: recovery depends on the machine and its other load."""

COUNTS = ("checked", "lost", "duplicated", "undetected", "alarms")


@dataclass(frozen=True)
class ChaosResults:
    """The tallies of all tests (see ``chaos.tally``), and the seconds that the tests took together."""

    tests: list[dict[str, Any]]
    seconds: float

    @classmethod
    def read(cls, files: Iterable[Path], seconds: float) -> ChaosResults:
        """Read the files that the tests wrote."""
        lines = [line for path in sorted(files) for line in path.read_text(encoding="utf-8").splitlines()]
        return cls(sorted(map(json.loads, lines), key=lambda test: str(test["test"])), seconds)

    @property
    def faults(self) -> list[dict[str, Any]]:
        """All faults that were injected and have ended."""
        return [fault for test in self.tests for fault in test["faults"]]

    @property
    def is_good(self) -> bool:
        """Whether every test passed and nothing was lost, duplicated, undetected or a false alarm."""
        return all(test["passed"] for test in self.tests) and not any(self.sum(name) for name in COUNTS[1:])

    def sum(self, name: str) -> int:
        """Return the sum of a count over all tests."""
        return sum(int(test[name]) for test in self.tests)

    def totals(self) -> dict[str, Any]:
        """Return the totals: faults, kinds, checks, errors, and quantiles of the recovery time in seconds."""
        faults = self.faults
        return {
            "faults": len(faults),
            "in_containers": sum(len(test["faults"]) for test in self.tests if "/containers/" in test["test"]),
            "overlapping": sum(fault["beside"] for fault in faults),
            "kinds": len({fault["kind"] for fault in faults}),
            **{name: self.sum(name) for name in COUNTS},
            "tests": len(self.tests),
            "failed": [test["test"] for test in self.tests if not test["passed"]],
            # No record passes through a collector, so its recovery is another quantity, which its own rows show.
            "recovery_s": quantiles(recoveries(fault for fault in faults if "collector" not in fault["kind"])),
            "seconds": round(self.seconds),
        }


def recoveries(faults: Iterable[dict[str, Any]]) -> list[float]:
    """Return the measured recovery times, ascending."""
    return sorted(fault["recovery_s"] for fault in faults if fault["recovery_s"] is not None)


def quantiles(ascending: Sequence[float]) -> dict[str, float] | None:
    """Return count, median, 99th percentile and maximum; None if there are no values."""
    if not ascending:
        return None
    at = {q: ascending[max(0, math.ceil(len(ascending) * q / 100) - 1)] for q in (50, 99)}
    return {"n": len(ascending), "p50": round(at[50], 2), "p99": round(at[99], 2), "max": round(ascending[-1], 2)}


def table(results: ChaosResults) -> str:
    """Return the totals, a table of the scenarios and a table of the kinds of fault, as Markdown."""
    sums = results.totals()
    recovery = sums["recovery_s"] or {"p50": 0, "p99": 0, "max": 0}
    lines = [
        f"{sums['faults']:,} faults of {sums['kinds']} kinds were injected and have ended,",
        f"{sums['in_containers']:,} of them in containers, {sums['overlapping']:,} overlapping others;",
        f"{sums['checked']:,} messages and cases were checked:",
        f"**{sums['lost']:,} lost, {sums['duplicated']:,} duplicated, {sums['undetected']:,} undetected,",
        f"{sums['alarms']:,} false alarms.**",
        f"Recovery: p50 {recovery['p50']} s, p99 {recovery['p99']} s, at most {recovery['max']} s;",
        f"the goal, a p99 of {GOAL_SECONDS:g} s, is {'met' if recovery['p99'] <= GOAL_SECONDS else 'not met'} here.",
        f"{sums['tests']} tests took {sums['seconds'] / 60:.0f} minutes.",
        "",
        "| scenario | result | faults | checked | recovery p50 / p99 / max, s |",
        "|---|---|--:|--:|--:|",
    ]
    for scenario in dict.fromkeys(test["scenario"] for test in results.tests):
        tests = [test for test in results.tests if test["scenario"] == scenario]
        faults = [fault for test in tests for fault in test["faults"]]
        verdict = "passed" if all(test["passed"] for test in tests) else "**failed**"
        lines.append(
            f"| {scenario.rstrip('.')} | {verdict} | {len(faults):,} | {sum(test['checked'] for test in tests):,}"
            f" | {_quantiles_text(quantiles(recoveries(faults)))} |"
        )
    lines += ["", "| fault | times | overlapping | recovery p50 / p99 / max, s |", "|---|--:|--:|--:|"]
    for kind in sorted({fault["kind"] for fault in results.faults}):
        faults = [fault for fault in results.faults if fault["kind"] == kind]
        beside = sum(fault["beside"] for fault in faults)
        lines.append(f"| {kind} | {len(faults):,} | {beside:,} | {_quantiles_text(quantiles(recoveries(faults)))} |")
    return "\n".join([*lines, "", doc_tables.sentence()])


def as_json(results: ChaosResults) -> str:
    """Return the totals, the conditions of the measurement and every test's tally as JSON."""
    document = {"totals": results.totals(), "conditions": doc_tables.conditions(), "tests": results.tests}
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _quantiles_text(times: dict[str, float] | None) -> str:
    return f"{times['p50']} / {times['p99']} / {times['max']}" if times else ""
