"""A campaign of power cuts: runs are played to clients whose power is cut, and everything is looked at afterwards."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chaos.containers.invariants import only_late
from chaos.powercut import receipt_check
from chaos.powercut.fleet import Cut, Launcher, Machine, strike
from chaos.tally import Tally
from services.contract.summary import Summary
from services.server.feed.generator import FeedGenerator
from tests.asserts import known
from tests.integration.processes import Process, System
from tests.poll import poll_until

CLIENTS, RATE = 6, 500


@dataclass
class Found:
    """What all cuts of a campaign did, and what was found at its end; ``total`` is the length of each run."""

    fsync: str
    total: int
    cuts: list[Cut] = field(default_factory=list)
    summaries: list[Summary] = field(default_factory=list)
    lost: int = 0
    twice: int = 0
    records: int = 0
    is_true: bool = True
    unexplained: int = 0

    @property
    def lacking(self) -> int:
        """Messages that were receipted and not on the disk after the cut, over all cuts."""
        return sum(cut.lacking for cut in self.cuts)

    def report(self, seconds: float) -> str:
        """Return the figures as one line."""
        lefts = [cut.left for cut in self.cuts]
        figures: dict[str, Any] = {
            "fsync": self.fsync,
            "cuts": len(self.cuts),
            "between write and sync": sum(left.unsynced > 0 for left in lefts),
            "later block outlived an earlier": sum(left.overtaken for left in lefts),
            "names lost": sum(left.names for left in lefts),
            "cuts of a tail undone": sum(left.restored for left in lefts),
            "unsynced bytes": sum(left.unsynced for left in lefts),
            "of them lost": sum(left.lost for left in lefts),
            "receipts held": sum(cut.receipts for cut in self.cuts),
            "receipted messages not on disk": self.lacking,
            "at most at once": max((cut.lacking for cut in self.cuts), default=0),
            "runs": len(self.summaries),
            "records": self.records,
            "lost": self.lost,
            "twice": self.twice,
            "verdicts": sorted({str(made.verdict) for made in self.summaries}),
            "seconds": round(seconds),
        }
        return json.dumps(figures)


def campaign(folder: Path, seed: int, fsync: str, quota: int, total: int = 5000) -> Found:
    """Play runs to six clients whose power is cut, and look at all runs that have ended."""
    found, volumes = Found(fsync, total), folder / "volumes"
    settings = {"VOLUMES": volumes, "RATE": RATE, "RECORDS": total, "RUNS": 0, "CLIENTS": CLIENTS}
    with System(volumes, **settings) as system, Launcher() as launcher:
        system.server(GRACE_SECONDS=60)
        ledger, names = receipt_check.Ledger(volumes / "ledger"), {volumes / "logs"}
        shared = {"VOLUMES": str(volumes), "SERVER_URL": system.url, "FSYNC": fsync, "BLOCK_SECONDS": "1"}
        machines = [
            Machine(f"client-{number + 1}", folder, launcher, shared, names, f"{seed} {fsync}")
            for number in range(CLIENTS)
        ]
        strike(machines, ledger, quota, found.cuts.append)
        await_end(ledger)
        assert [0] * CLIENTS == [machine.stop() for machine in machines]
    look(found, volumes, ledger)
    return found


def await_end(ledger: receipt_check.Ledger) -> None:
    """Wait until the run that is on has ended, and its logs are sealed: then the next one has begun."""
    ledger.follow()
    runs = len(ledger.runs)

    def is_next() -> bool:
        ledger.follow()
        return len(ledger.runs) > runs

    poll_until(is_next, "the last run has ended and another begun", 90)


def look(found: Found, volumes: Path, ledger: receipt_check.Ledger) -> None:
    """Hold every run that has ended to the feed, byte for byte, and have the real collector judge it."""
    expected = FeedGenerator("person", "en_US", 42).records(1, found.total)
    with Process("services.collector", "verify", str(volumes), "--json") as audit:
        audit.wait(120)
        made = [msgspec.json.decode(line, type=Summary) for line in audit.lines if line.startswith("{")]
    found.summaries += [one for one in made if one.run in ledger.ended]
    assert ledger.ended == [one.run for one in found.summaries], audit.text[-2000:]
    for one in found.summaries:
        lost = 0
        for number in range(CLIENTS):
            lacks, twice, is_true = receipt_check.differences(
                volumes / "logs" / one.run / f"client-{number + 1}", expected
            )
            lost, found.twice = lost + lacks, found.twice + twice
            found.is_true &= is_true
            found.records += found.total
        found.lost += lost
        named = sum(count or 0 for count in msgspec.structs.astuple(one.missing_by_cause))
        found.unexplained += abs(lost - named) + abs(known(one.totals.residual))


def conclude(found: Found, tally: Tally, began: float, capsys: pytest.CaptureFixture[str]) -> None:
    """Enter a campaign into the tally, and print its figures."""
    for cut in found.cuts:
        tally.fault(f"power-cut-{found.fsync}", cut.client)
    excused = found.lost if found.fsync == "none" else 0
    tally.held(found.records, lost=found.lost - excused, duplicated=found.twice, undetected=found.unexplained)
    with capsys.disabled():
        print("\n" + found.report(time.monotonic() - began))


def assert_nothing_lost(found: Found) -> None:
    """Hold a campaign to what a sync promises: no receipt without its block at any time, and no record missing."""
    assert 0 == found.lacking, [cut for cut in found.cuts if cut.lacking]
    assert (0, 0, True) == (found.lost, found.twice, found.is_true), [made.reasons for made in found.summaries]
    for made in found.summaries:
        assert (0, 0) == (made.totals.residual, made.totals.missing)
        assert {"torn"} >= {fault.kind for fault in made.faults}, made.faults
        assert "PASS" == made.verdict or only_late(made), made.reasons
