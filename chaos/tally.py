"""Counts the faults and findings of one test; appended as a JSON line to the file that ``FAULT_RESULTS`` names."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path

from services.contract.summary import Totals
from tests.asserts import known


@dataclass(frozen=True)
class InjectedFault:
    """One fault that was injected and has ended.

    Attributes:
        kind: a name from the table in docs/reliability.md: "kill-client".
        place: the process or file that it affected: "client-3".
        recovery_s: seconds from its end until a new record of the affected client was on disk; None if that cannot be
            measured, as for a collector, which no record passes.
        beside: whether another fault overlapped it.
    """

    kind: str
    place: str
    recovery_s: float | None
    beside: bool


@dataclass
class Tally:
    """The faults of one test, and the errors found by its checks.

    Attributes:
        scenario: first line of the test's docstring.
        checked: messages that were compared with the feed, or cases that were compared with their expected class.
        lost: records that are in no log and for which no cause is accepted.
        duplicated: records that are in a client's log more than once.
        undetected: injected faults that no summary reports.
        alarms: errors that a summary reports although no fault was injected.
    """

    scenario: str
    faults: list[InjectedFault] = field(default_factory=list)
    checked: int = 0
    lost: int = 0
    duplicated: int = 0
    undetected: int = 0
    alarms: int = 0

    def add_fault(self, kind: str, place: str = "", recovery_s: float | None = None, *, beside: bool = False) -> None:
        """Add a fault that was injected and has ended."""
        self.faults.append(InjectedFault(kind, place, recovery_s, beside))

    def add_checks(
        self, checked: int, *, lost: int = 0, duplicated: int = 0, undetected: int = 0, alarms: int = 0
    ) -> None:
        """Add the result of checks; call it *before* the assertions, so that the counts of a failed test are kept."""
        self.checked += checked
        self.lost += lost
        self.duplicated += duplicated
        self.undetected += undetected
        self.alarms += alarms

    def add_totals(self, totals: Totals) -> None:
        """Add the counts of a summary, for a run in which nothing may be missing or duplicated."""
        self.add_checks(
            totals.received,
            lost=known(totals.missing) + abs(known(totals.residual)),
            duplicated=known(totals.duplicates),
        )

    def write(self, nodeid: str, seed: int, *, passed: bool, seconds: float) -> None:
        """Append the tally to the file that ``FAULT_RESULTS`` names, if it names one."""
        if path := os.environ.get("FAULT_RESULTS"):
            fields = {"test": nodeid, "seed": seed, "passed": passed, "seconds": round(seconds, 2), **asdict(self)}
            with Path(path).open("a", encoding="utf-8") as results:
                results.write(json.dumps(fields) + "\n")
