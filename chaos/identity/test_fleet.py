"""Scales, recreates, kills and duplicates the clients of a stack: every file has one writer."""

from __future__ import annotations

import itertools
import random
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from chaos.containers.fast_forward import set_rate
from chaos.identity.fleet import LOGS, ContainerLog, Fleet, client_pids
from chaos.identity.invariants import assert_no_flapping, check_names, recoveries
from chaos.identity.writers import WriterWatch, assert_one_writer_each
from chaos.tally import Tally
from tests.integration.stack import Stack
from tests.poll import poll_until

pytestmark = [pytest.mark.containers, pytest.mark.slow]

COMPOSE_OPERATIONS, DISTURBANCES, DUPLICATES = 6, 14, 2
RATE, RECORDS, FINAL_RATE = 50, 12_000, 4000
SETTINGS = {"RATE": RATE, "RECORDS": RECORDS, "BLOCK_SIZES": "5,10,25", "BLOCK_SECONDS": 1, "GRACE_SECONDS": 3}
NAME = re.compile(r"client-[1-5](~[0-9])?")


def test_no_container_writes_to_anothers_file(folder: Path, engine: None, seed: int, tally: Tally) -> None:
    """After twenty operations on real clients, in two threads, every file had one writer, and every log is right."""
    rng = random.Random(seed)
    with Stack(folder, **SETTINGS) as stack:
        stack.up(clients=3)
        fleet = Fleet(stack, 3)
        with (
            WriterWatch(LOGS, lambda: client_pids(folder / "logs"), interval_s=0.1) as watch,
            ThreadPoolExecutor(2) as threads,
        ):
            workers = [(fleet.compose, COMPOSE_OPERATIONS), (fleet.disturb, DISTURBANCES)]
            for worker in [threads.submit(work, random.Random(rng.random()), count) for work, count in workers]:
                worker.result()
        fleet.add_duplicates(rng, DUPLICATES)
        names = fleet.names()
        set_rate(stack, FINAL_RATE)
        summary = poll_until(stack.volumes.verdict, "there is a verdict", 60)
        assert summary is not None
        server = ContainerLog.read(stack.container("server"))
        running_suggestions = [
            ContainerLog.read(container).values("name is taken", "suggest") for container in fleet.containers()
        ]
        suggested = [*fleet.suggested_names, *itertools.chain(*running_suggestions)]
        for operation, recovery_s in zip(
            fleet.done, recoveries(stack.volumes.ledger(), RECORDS, fleet.done), strict=True
        ):
            tally.add_fault(operation.kind, operation.name, recovery_s, beside=True)
        print([(fault.kind, fault.place, fault.recovery_s) for fault in tally.faults])
        print(f"{watch.samples} samples of {len(watch.writers)} files; {names}, {sorted(suggested)}")
        check_names(
            stack.volumes, summary, RECORDS, lambda name: {"finished"} if name in names else {"left", "lost"}, tally
        )
        assert watch.shared == []
        assert assert_one_writer_each(stack.volumes) > 0
        assert_conflicts_are_named(stack.volumes.clients(), server.values("name taken", "suggest"), suggested)
        assert_no_flapping(stack.volumes)
        assert len(fleet.done) >= 20
        assert watch.samples >= 50


def assert_conflicts_are_named(clients: list[str], server: list[str], suggested: list[str]) -> None:
    """Check that every name that the server suggested is in its log, and that every other name is the fleet's."""
    assert [] == [name for name in clients if not NAME.fullmatch(name)]
    assert [] == [name for name in clients if "~" in name and name not in server]
    assert suggested
    assert [] == [name for name in suggested if suggested.count(name) > server.count(name)]
