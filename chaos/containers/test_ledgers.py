"""A server's ledger that is kept, rolled back, or lost: nothing is missing, and what is lost is named."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from chaos.containers.container_lookup import SERVER
from chaos.containers.fast_forward import hurry
from chaos.containers.invariants import assert_all_held, assert_delivered, held, recovery_seconds
from chaos.tally import Tally
from services.collector.results.faults import NO_LEDGER
from services.contract.summary import Summary
from services.server.feed.generator import FeedGenerator
from tests.integration.stack import Stack
from tests.poll import poll_until

pytestmark = [pytest.mark.containers, pytest.mark.slow]

TIMES, RATE, RECORDS, HURRIED = 10, 50, 24_000, 2000
NAMES = ["client-1", "client-2"]
RECOVERY_SECONDS = 60.0
"""Beyond which a client counts as gone for good; what it took is reported."""
SETTINGS = {
    "RATE": RATE,
    "RECORDS": RECORDS,
    "CLIENTS": len(NAMES),
    "BLOCK_SIZES": "5,10",
    "BLOCK_SECONDS": 1,
    "GRACE_SECONDS": 20,
}


class OlderCopy:
    """What a folder held at one time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held = {path: (path.read_bytes(), path.stat().st_mtime) for path in folder.rglob("*.jsonl")}

    def put_back(self) -> int:
        """Make the folder what it was, in place, so that owners and modes stay; return how many bytes are gone."""
        gone = 0
        for path in self._folder.rglob("*.jsonl"):
            gone += path.stat().st_size - len(self._held.get(path, (b"", 0.0))[0])
            if path not in self._held:
                path.unlink()
        for path, (data, written) in self._held.items():
            path.write_bytes(data)
            os.utime(path, (written, written))
        return gone


def further(stack: Stack) -> None:
    """Wait until every client has receipted a little more than it has now."""
    heads = {name: stack.volumes.head(name) for name in NAMES}
    poll_until(
        lambda: all(stack.volumes.head(name) >= heads[name] + RATE // 2 for name in NAMES),
        "all go on",
        RECOVERY_SECONDS,
        0.25,
    )


def test_a_ledger_that_is_kept_or_rolled_back_is_made_whole(
    folder: Path, engine: None, tally: Tally, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server killed, and back on its ledger or on an older copy, is told what it lacks: all is there, once."""
    with Stack(folder, **SETTINGS) as stack:
        stack.up(clients=len(NAMES))
        stack.subscribed()
        for number in range(2 * TIMES):
            kind = ("ledger-kept", "ledger-rolled-back")[number % 2]
            further(stack)
            copy = OlderCopy(folder / "ledger")
            if kind == "ledger-rolled-back":
                further(stack)
            stack.compose("kill", "server")
            if kind == "ledger-rolled-back":
                assert copy.put_back() > 0
            stack.start("server")
            back = recovery_seconds(stack.volumes, RECORDS, NAMES, RECOVERY_SECONDS)
            with capsys.disabled():
                print(kind, json.dumps(back))
            tally.fault(kind, str(SERVER), max(back.values()))
        hurry(stack, HURRIED)
        stack.wait(timeout=120)
        counted = held(stack.volumes, RECORDS, NAMES)
        tally.held(counted.checked, lost=counted.lost, duplicated=counted.duplicated, undetected=counted.undetected)
        assert_all_held(stack.volumes, RECORDS, NAMES)
        assert 1 == len(stack.volumes.runs())


def test_a_ledger_that_is_lost_is_named(
    folder: Path, engine: None, tally: Tally, capsys: pytest.CaptureFixture[str]
) -> None:
    """A server whose ledger is gone opens a new run; the last one passes, those without one are not called good."""
    lost: list[str] = []
    with Stack(folder, **SETTINGS) as stack:
        stack.up(clients=len(NAMES))
        stack.subscribed()
        for _ in range(TIMES):
            further(stack)
            lost.append(stack.volumes.newest())
            stack.compose("kill", "server")
            shutil.rmtree(folder / "ledger" / lost[-1])
            stack.start("server")
            back = recovery_seconds(stack.volumes, RECORDS, NAMES, RECOVERY_SECONDS)
            with capsys.disabled():
                print(lost[-1], json.dumps(back))
            assert not (folder / "ledger" / lost[-1]).exists()
            tally.fault("ledger-lost", str(SERVER), max(back.values()))
        hurry(stack, HURRIED)
        stack.wait(timeout=120)
        verdicts = [poll_until(lambda run=run: stack.volumes.verdict(run), f"{run} has a verdict", 60) for run in lost]  # type: ignore[misc]
        unnamed = [found for found in verdicts if not names_the_ledger(found)]
        counted = held(stack.volumes, RECORDS, NAMES)
        tally.held(
            counted.checked,
            lost=counted.lost,
            duplicated=counted.duplicated,
            undetected=counted.undetected + len(unnamed),
        )
        assert [] == unnamed
        assert_all_held(stack.volumes, RECORDS, NAMES)
        for run in lost:
            assert_logs_are_whole(stack, run)


def names_the_ledger(found: Summary | None) -> bool:
    """Tell whether a summary says that the run has no ledger."""
    return found is not None and found.verdict == "INVALID" and found.headline.startswith(NO_LEDGER)


def assert_logs_are_whole(stack: Stack, run: str) -> None:
    """Hold what clients logged of a run that was cut short to the feed: all up to its end, each once, in order."""
    for name in NAMES:
        count = len(stack.volumes.messages(name, run))
        assert count >= RATE // 2
        assert_delivered(stack.volumes, name, FeedGenerator("person", "en_US", 42).records(1, count), run)
