"""A campaign of power cuts: cuts the power of clients during several runs, and checks the logs afterwards."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from chaos.containers.invariants import is_only_late
from chaos.powercut import receipt_check
from chaos.powercut.fleet import ForkServer, Machine, PowerCut, cut_repeatedly
from chaos.tally import Tally
from services.contract.summary import Summary
from services.server.feed.generator import FeedGenerator
from tests.asserts import known
from tests.integration.processes import Process, System
from tests.poll import poll_until

CLIENTS, RATE = 6, 500


@dataclass
class CampaignResult:
    """The power cuts of a campaign and the result of its checks.

    Attributes:
        fsync: the setting FSYNC of the clients.
        total: records of each run.
        cuts: every power cut.
        summaries: of all runs that have ended.
        lost: records missing in the logs, over all clients and runs.
        twice: messages that are in the logs more than once.
        records: records that should be in the logs.
        is_equal: whether all logged records are in order and equal to those that were sent.
        unexplained: differences between the logs and the summaries' counts of missing records.
    """

    fsync: str
    total: int
    cuts: list[PowerCut] = field(default_factory=list)
    summaries: list[Summary] = field(default_factory=list)
    lost: int = 0
    twice: int = 0
    records: int = 0
    is_equal: bool = True
    unexplained: int = 0

    @property
    def receipted_lost(self) -> int:
        """Messages with a receipt that were not on the disk after a cut, over all cuts."""
        return sum(cut.receipted_lost for cut in self.cuts)

    def report(self, seconds: float) -> str:
        """Return the figures as one line."""
        effects = [cut.effect for cut in self.cuts]
        figures: dict[str, Any] = {
            "fsync": self.fsync,
            "cuts": len(self.cuts),
            "between write and sync": sum(effect.unsynced > 0 for effect in effects),
            "later block outlived an earlier": sum(effect.overtaken for effect in effects),
            "names lost": sum(effect.names for effect in effects),
            "cuts of a tail undone": sum(effect.restored for effect in effects),
            "unsynced bytes": sum(effect.unsynced for effect in effects),
            "of them lost": sum(effect.lost for effect in effects),
            "receipts checked": sum(cut.receipts for cut in self.cuts),
            "receipted messages not on disk": self.receipted_lost,
            "at most at once": max((cut.receipted_lost for cut in self.cuts), default=0),
            "runs": len(self.summaries),
            "records": self.records,
            "lost": self.lost,
            "twice": self.twice,
            "verdicts": sorted({str(summary.verdict) for summary in self.summaries}),
            "seconds": round(seconds),
        }
        return json.dumps(figures)


def run_campaign(folder: Path, seed: int, fsync: str, quota: int, total: int = 5000) -> CampaignResult:
    """Cut the power of six clients ``quota`` times during runs of ``total`` records, and check the runs that ended."""
    result, volumes = CampaignResult(fsync, total), folder / "volumes"
    settings = {"VOLUMES": volumes, "RATE": RATE, "RECORDS": total, "RUNS": 0, "CLIENTS": CLIENTS}
    with System(volumes, **settings) as system, ForkServer() as fork_server:
        system.server(GRACE_SECONDS=60)
        ledger, durable_names = receipt_check.Ledger(volumes / "ledger"), {volumes / "logs"}
        shared = {"VOLUMES": str(volumes), "SERVER_URL": system.url, "FSYNC": fsync, "BLOCK_SECONDS": "1"}
        machines = [
            Machine(f"client-{number + 1}", folder, fork_server, shared, durable_names, f"{seed} {fsync}")
            for number in range(CLIENTS)
        ]
        cut_repeatedly(machines, ledger, quota, result.cuts.append)
        await_end(ledger)
        assert [0] * CLIENTS == [machine.stop() for machine in machines]
    check_runs(result, volumes, ledger)
    return result


def await_end(ledger: receipt_check.Ledger) -> None:
    """Wait until the current run has ended and its logs are sealed, which is when the next run begins."""
    ledger.follow()
    runs = len(ledger.runs)

    def is_next() -> bool:
        ledger.follow()
        return len(ledger.runs) > runs

    poll_until(is_next, "the last run has ended and another begun", 90)


def check_runs(result: CampaignResult, volumes: Path, ledger: receipt_check.Ledger) -> None:
    """Compare the logs of every ended run with the feed, byte for byte, and with the summary of ``verify``."""
    expected = FeedGenerator("person", "en_US", 42).records(1, result.total)
    with Process("services.collector", "verify", str(volumes), "--json") as verify:
        verify.wait(120)
        summaries = [msgspec.json.decode(line, type=Summary) for line in verify.lines if line.startswith("{")]
    result.summaries += [summary for summary in summaries if summary.run in ledger.ended]
    assert ledger.ended == [summary.run for summary in result.summaries], verify.text[-2000:]
    for summary in result.summaries:
        lost = 0
        for number in range(CLIENTS):
            missing, twice, is_equal = receipt_check.differences(
                volumes / "logs" / summary.run / f"client-{number + 1}", expected
            )
            lost, result.twice = lost + missing, result.twice + twice
            result.is_equal &= is_equal
            result.records += result.total
        result.lost += lost
        named = sum(count or 0 for count in msgspec.structs.astuple(summary.missing_by_cause))
        result.unexplained += abs(lost - named) + abs(known(summary.totals.residual))


def record_result(result: CampaignResult, tally: Tally, began: float, capsys: pytest.CaptureFixture[str]) -> None:
    """Add a campaign to the tally, and print its figures."""
    for cut in result.cuts:
        tally.add_fault(f"power-cut-{result.fsync}", cut.client)
    excused = result.lost if result.fsync == "none" else 0
    tally.add_checks(result.records, lost=result.lost - excused, duplicated=result.twice, undetected=result.unexplained)
    with capsys.disabled():
        print("\n" + result.report(time.monotonic() - began))


def assert_nothing_lost(result: CampaignResult) -> None:
    """Check the promise of FSYNC: no receipt without its block on disk at any time, and no record missing."""
    assert 0 == result.receipted_lost, [cut for cut in result.cuts if cut.receipted_lost]
    reasons = [summary.reasons for summary in result.summaries]
    assert (0, 0, True) == (result.lost, result.twice, result.is_equal), reasons
    for summary in result.summaries:
        assert (0, 0) == (summary.totals.residual, summary.totals.missing)
        assert {"torn"} >= {fault.kind for fault in summary.faults}, summary.faults
        assert "PASS" == summary.verdict or is_only_late(summary), summary.reasons
