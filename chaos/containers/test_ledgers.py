"""Restarts a server on its ledger, an older copy of it, or none: no record is missing, and a lost ledger is named."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from chaos.containers.container_lookup import SERVER
from chaos.containers.invariants import assert_all_delivered, assert_delivered
from chaos.containers.two_clients import (
    NAMES,
    RECOVERY_SECONDS,
    add_deliveries,
    assert_run_is_whole,
    finish_run,
    settings,
    wait_for_recovery,
)
from chaos.tally import Tally
from services.collector.results.run_result import NO_LEDGER
from services.contract.summary import Summary
from services.server.feed.generator import FeedGenerator
from tests.integration.stack import Stack
from tests.poll import poll_until

pytestmark = [pytest.mark.containers, pytest.mark.slow]

TIMES, RATE, RECORDS, FINAL_RATE = 10, 50, 24_000, 2000
SETTINGS = settings(RATE, RECORDS, BLOCK_SIZES="5,10", BLOCK_SECONDS=1)


class OlderCopy:
    """A copy of a folder's files at one time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held = {path: (path.read_bytes(), path.stat().st_mtime) for path in folder.rglob("*.jsonl")}

    def put_back(self) -> int:
        """Restore the files in place, so that owners and modes stay; return the number of bytes that were removed."""
        gone = 0
        for path in self._folder.rglob("*.jsonl"):
            gone += path.stat().st_size - len(self._held.get(path, (b"", 0.0))[0])
            if path not in self._held:
                path.unlink()
        for path, (data, written) in self._held.items():
            path.write_bytes(data)
            os.utime(path, (written, written))
        return gone


def wait_for_progress(stack: Stack) -> None:
    """Wait until every client has receipts for half a second of further records."""
    heads = {name: stack.volumes.head(name) for name in NAMES}
    poll_until(
        lambda: all(stack.volumes.head(name) >= heads[name] + RATE // 2 for name in NAMES),
        "all clients have further receipts",
        RECOVERY_SECONDS,
        0.25,
    )


def test_a_ledger_that_is_kept_or_rolled_back_is_made_whole(
    folder: Path, engine: None, tally: Tally, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server restarted on its ledger or an older copy gets lost receipts again: every record is logged once."""
    with Stack(folder, **SETTINGS) as stack:
        stack.up(clients=len(NAMES))
        stack.subscribed()
        for number in range(2 * TIMES):
            kind = ("ledger-kept", "ledger-rolled-back")[number % 2]
            wait_for_progress(stack)
            copy = OlderCopy(folder / "ledger")
            if kind == "ledger-rolled-back":
                wait_for_progress(stack)
            stack.compose("kill", "server")
            if kind == "ledger-rolled-back":
                assert copy.put_back() > 0
            stack.start("server")
            recovery_s = wait_for_recovery(stack, RECORDS)
            with capsys.disabled():
                print(kind, json.dumps(recovery_s))
            tally.add_fault(kind, str(SERVER), max(recovery_s.values()))
        assert_run_is_whole(stack, tally, RECORDS, FINAL_RATE)
        assert 1 == len(stack.volumes.runs())


def test_a_ledger_that_is_lost_is_named(
    folder: Path, engine: None, tally: Tally, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server whose ledger is lost opens a new run: the last run passes, those without a ledger are INVALID."""
    lost: list[str] = []
    with Stack(folder, **SETTINGS) as stack:
        stack.up(clients=len(NAMES))
        stack.subscribed()
        for _ in range(TIMES):
            wait_for_progress(stack)
            lost.append(stack.volumes.newest())
            stack.compose("kill", "server")
            shutil.rmtree(folder / "ledger" / lost[-1])
            stack.start("server")
            recovery_s = wait_for_recovery(stack, RECORDS)
            with capsys.disabled():
                print(lost[-1], json.dumps(recovery_s))
            assert not (folder / "ledger" / lost[-1]).exists()
            tally.add_fault("ledger-lost", str(SERVER), max(recovery_s.values()))
        finish_run(stack, FINAL_RATE)
        verdicts = [poll_until(lambda run=run: stack.volumes.verdict(run), f"{run} has a verdict", 60) for run in lost]  # type: ignore[misc]
        unnamed = [summary for summary in verdicts if not names_the_ledger(summary)]
        add_deliveries(stack, tally, RECORDS, unnamed=len(unnamed))
        assert [] == unnamed
        assert_all_delivered(stack.volumes, RECORDS, NAMES)
        for run in lost:
            assert_logs_are_whole(stack, run)


def names_the_ledger(summary: Summary | None) -> bool:
    """Return whether a summary says that the run has no ledger."""
    return summary is not None and summary.verdict == "INVALID" and summary.headline.startswith(NO_LEDGER)


def assert_logs_are_whole(stack: Stack, run: str) -> None:
    """Check the logs of a run that was cut short: a prefix of the feed, each record once, in order."""
    for name in NAMES:
        count = len(stack.volumes.messages(name, run))
        assert count >= RATE // 2
        assert_delivered(stack.volumes, name, FeedGenerator("person", "en_US", 42).records(1, count), run)
