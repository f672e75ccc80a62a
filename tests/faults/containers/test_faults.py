"""One stack of five clients, into which every kind of fault is injected, and out of which nothing may be lost."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path

import pytest

from tests.faults.containers.books import assert_all_held, head_at, recovery_seconds
from tests.faults.containers.plan import Round, rounds_of
from tests.integration.stack import Stack
from tests.poll import poll_until

pytestmark = [pytest.mark.containers, pytest.mark.slow]

CLIENTS, RATE, RECORDS = 5, 200, 48_000
NAMES = [f"client-{number}" for number in range(1, CLIENTS + 1)]
RECOVERY_SECONDS = 20.0
"""Beyond which a client counts as gone for good; what it took is reported."""
LAST_SECONDS = 16.0
"""A round must be over, and all have recovered, while there are records to come."""


def test_nothing_is_lost_under_fire(folder: Path, engine: None, seed: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Every kind of fault strikes a run of five clients, some together, and every record is logged exactly once."""
    with Stack(folder, RATE=RATE, RECORDS=RECORDS, CLIENTS=CLIENTS, GRACE_SECONDS=20) as stack, capsys.disabled():
        stack.up(clients=CLIENTS)
        for name in NAMES:
            stack.receipted(1, name)
        struck = strike_until_the_end(stack, seed)
        code, text = stack.wait(timeout=300)
        found = assert_all_held(stack.volumes, RECORDS, NAMES)
        print("\n" + text)
        print(json.dumps({"seed": seed, "code": code, "checked": found.totals.received, **report(struck)}))


def strike_until_the_end(stack: Stack, seed: int) -> list[tuple[Round, dict[str, float]]]:
    """Inject and heal round after round while there are records to come; return what each client took after each."""
    struck: list[tuple[Round, dict[str, float]]] = []
    all_kinds = False
    for round_ in rounds_of(stack, CLIENTS, seed):
        left = RECORDS - head_at(stack.volumes, RECORDS, time.time())
        if round_ is None:
            all_kinds = True
        elif left > RATE * LAST_SECONDS:
            print(f"\n{RECORDS - left:6} {round_}", end=" ", flush=True)
            strike(stack, round_)
            struck.append((round_, recovery_seconds(stack.volumes, RECORDS, NAMES, RECOVERY_SECONDS)))
            print({name: round(seconds, 1) for name, seconds in struck[-1][1].items()}, end="")
        else:
            assert all_kinds, f"the run is over before {round_}"
            break
    return struck


def strike(stack: Stack, round_: Round) -> None:
    """Inject the faults of a round one after the other, let them last, and heal them in the same order."""
    begun = []
    try:
        for fault in round_.faults:
            fault.inject()
            begun.append(fault)
        until = time.monotonic() + round_.seconds
        poll_until(lambda: time.monotonic() >= until, "the faults have lasted long enough", round_.seconds + 5)
    finally:
        for fault in begun:
            fault.heal()


def report(struck: list[tuple[Round, dict[str, float]]]) -> dict[str, object]:
    """Return how long it took until a fresh record was receipted after a heal, over all clients and faults."""
    every = sorted(seconds for _, took in struck for seconds in took.values())
    at = {q: every[max(0, math.ceil(len(every) * q / 100) - 1)] for q in (50, 99)}
    worst: dict[str, float] = {}
    for round_, took in struck:
        worst[round_.kinds] = max(worst.get(round_.kinds, 0.0), *took.values())
    faults = sum(len(round_.faults) for round_, _ in struck)
    beside = sum(len(round_.faults) for round_, _ in struck if len(round_.faults) > 1)
    sums = {"rounds": len(struck), "injected": faults, "overlapping": beside}
    return {**sums, "p50_s": at[50], "p99_s": at[99], "max_s": every[-1], "worst_s": worst}
