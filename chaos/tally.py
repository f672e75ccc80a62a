"""What a fault test did and found: kept per test, written as one JSON line when ``FAULT_RESULTS`` names a file."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Struck:
    """One fault that was injected, and that has ended.

    Attributes:
        kind: what it was, a name of the table in docs/reliability.md: "kill-client".
        place: what it struck: "client-3".
        recovery_s: seconds from its end until a fresh record of what it had struck was on disk; None where that says
            nothing (a collector: no record goes through it).
        beside: whether another fault was there at the same time.
    """

    kind: str
    place: str
    recovery_s: float | None
    beside: bool


@dataclass
class Tally:
    """The faults of one test, and what was found wrong when everything had been checked.

    Attributes:
        scenario: the test's own sentence.
        checked: messages that were held to the feed, or cases that were held to their class.
        lost: records that nobody has and that no excuse covers.
        duplicated: records that stand twice in a client's log.
        undetected: injected damage that no summary named.
        alarms: what was held against a run in which nothing was injected.
    """

    scenario: str
    faults: list[Struck] = field(default_factory=list)
    checked: int = 0
    lost: int = 0
    duplicated: int = 0
    undetected: int = 0
    alarms: int = 0

    def fault(self, kind: str, place: str = "", recovery_s: float | None = None, *, beside: bool = False) -> None:
        """Note a fault that was injected and has ended."""
        self.faults.append(Struck(kind, place, recovery_s, beside))

    def held(self, checked: int, *, lost: int = 0, duplicated: int = 0, undetected: int = 0, alarms: int = 0) -> None:
        """Note what was checked, and what was found wrong; called *before* the assertion that it is nothing."""
        self.checked += checked
        self.lost += lost
        self.duplicated += duplicated
        self.undetected += undetected
        self.alarms += alarms

    def write(self, nodeid: str, seed: int, *, passed: bool, seconds: float) -> None:
        """Append it to the file that ``FAULT_RESULTS`` names, if it does."""
        if path := os.environ.get("FAULT_RESULTS"):
            said = {"test": nodeid, "seed": seed, "passed": passed, "seconds": round(seconds, 2), **asdict(self)}
            with Path(path).open("a", encoding="utf-8") as results:
                results.write(json.dumps(said) + "\n")
