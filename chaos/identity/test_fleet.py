"""One name is one container: scaled, made anew, killed and doubled, the fleet's files have one writer each."""

from __future__ import annotations

import itertools
import random
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from chaos.containers.fast_forward import hurry
from chaos.identity.fleet import LOGS, Fleet, Said, services_of
from chaos.identity.invariants import assert_no_flapping, hold, recoveries
from chaos.identity.writers import Watch, assert_one_writer_each
from chaos.tally import Tally
from tests.integration.stack import Stack
from tests.poll import poll_until

pytestmark = [pytest.mark.containers, pytest.mark.slow]

COMPOSED, STRUCK, DOUBLED = 6, 14, 2
RATE, RECORDS, FAST = 50, 12_000, 4000
SETTINGS = {"RATE": RATE, "RECORDS": RECORDS, "BLOCK_SIZES": "5,10,25", "BLOCK_SECONDS": 1, "GRACE_SECONDS": 3}
NAME = re.compile(r"client-[1-5](~[0-9])?")


def test_no_container_writes_to_anothers_file(folder: Path, engine: None, seed: int, tally: Tally) -> None:
    """Twenty operations on real clients, in two threads, leave every file with one writer, each name its books."""
    rng = random.Random(seed)
    with Stack(folder, **SETTINGS) as stack:
        stack.up(clients=3)
        fleet = Fleet(stack, 3)
        with (
            Watch(LOGS, lambda: services_of(folder / "logs"), every=0.1) as watch,
            ThreadPoolExecutor(2) as threads,
        ):
            lanes = [(fleet.compose, COMPOSED), (fleet.strike, STRUCK)]
            for lane in [threads.submit(work, random.Random(rng.random()), many) for work, many in lanes]:
                lane.result()
        fleet.doubled(rng, DOUBLED)
        names = fleet.names()
        hurry(stack, FAST)
        found = poll_until(stack.volumes.verdict, "there is a verdict", 60)
        assert found is not None
        server = Said.of(stack.container("server"))
        living = [Said.of(container).all("name is taken", "suggest") for container in fleet.containers()]
        told = [*fleet.told, *itertools.chain(*living)]
        for one, took in zip(fleet.done, recoveries(stack.volumes.ledger(), RECORDS, fleet.done), strict=True):
            tally.fault(one.kind, one.name, took, beside=True)
        print([(struck.kind, struck.place, struck.recovery_s) for struck in tally.faults])
        print(f"{watch.looks} looks at {len(watch.writers)} files; {names}, {sorted(told)}")
        hold(stack.volumes, found, RECORDS, lambda name: {"finished"} if name in names else {"left", "lost"}, tally)
        assert watch.together == []
        assert assert_one_writer_each(stack.volumes) > 0
        assert_conflicts_are_named(stack.volumes.clients(), server.all("name taken", "suggest"), told)
        assert_no_flapping(stack.volumes)
        assert len(fleet.done) >= 20
        assert watch.looks >= 50


def assert_conflicts_are_named(clients: list[str], server: list[str], told: list[str]) -> None:
    """Hold every name that is not of the fleet's own to the server's log, and what clients were told, too."""
    assert [] == [name for name in clients if not NAME.fullmatch(name)]
    assert [] == [name for name in clients if "~" in name and name not in server]
    assert told
    assert [] == [name for name in told if told.count(name) > server.count(name)]
