"""The wall clock of one container is set by an hour and back: delivery does not notice, and the summary says it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from chaos.containers.container_lookup import COLLECTOR, SERVER, Containers, Place
from chaos.containers.faketime import FakedStack, set_clock, shows
from chaos.containers.fast_forward import hurry
from chaos.containers.invariants import assert_delivered, assert_receipted_is_on_disk, held, recovery_seconds
from chaos.tally import Tally
from services.contract.summary import Summary
from services.server.feed.generator import FeedGenerator
from tests.integration.stack import Stack
from tests.poll import poll_until

pytestmark = [pytest.mark.containers, pytest.mark.slow]

TIMES, COLLECTOR_TIMES, RATE, RECORDS, HURRIED = 10, 3, 50, 6000, 300
"""Not fast: a preloaded process reads a file whenever it looks at the clock, so that a change counts at once."""
HOUR = 3600
NAMES = ["client-1", "client-2"]
RECOVERY_SECONDS = 60.0
"""Beyond which somebody counts as stuck; what it took is reported."""
SETTINGS = {
    "RATE": RATE,
    "RECORDS": RECORDS,
    "CLIENTS": len(NAMES),
    "BLOCK_SIZES": "10,25",
    "BLOCK_SECONDS": 1,
    "GRACE_SECONDS": 20,
}


def strike(stack: Stack, containers: Containers, place: Place, seconds: int, *, look: bool) -> float:
    """Set a container's clock wrong, let records come, put it right; return how long its clients took then."""
    pid = containers.service(place)
    set_clock(pid, seconds)
    if look:
        assert abs(shows(stack, *place) - time.time() - seconds) < HOUR / 60
    recovery_seconds(stack.volumes, RECORDS, NAMES, RECOVERY_SECONDS)
    set_clock(pid, 0)
    assert pid == containers.service(place), f"{place} did not bear it"
    return max(recovery_seconds(stack.volumes, RECORDS, NAMES, RECOVERY_SECONDS).values())


def jump(stack: Stack, tally: Tally, containers: Containers, place: Place, times: int) -> None:
    """Set a clock forward and back, in turn."""
    for number in range(times):
        seconds = HOUR if number % 2 == 0 else -HOUR
        # That it is set is looked at from inside once for each direction: it takes a second.
        back = strike(stack, containers, place, seconds, look=number < 2)
        tally.fault(f"clock-{place.service}", str(place), None if place == COLLECTOR else back)


def finish(stack: Stack, tally: Tally) -> Summary:
    """Play the rest; hold the logs to the feed and the receipts to the logs; return the summary."""
    hurry(stack, HURRIED)
    stack.wait(timeout=120)
    counted = held(stack.volumes, RECORDS, NAMES)
    found = poll_until(stack.volumes.verdict, "the verdict is on disk", 30)
    assert found is not None
    tally.held(counted.checked, lost=counted.lost, duplicated=counted.duplicated, undetected=counted.undetected)
    expected = FeedGenerator("person", "en_US", 42).records(1, RECORDS)
    for name in NAMES:
        assert_delivered(stack.volumes, name, expected)
        for block in stack.volumes.blocks(name):
            assert block.duration_ns >= 0
            assert block.idle_ns >= 0
            assert abs(block.clock_offset_us) < HOUR
    assert_receipted_is_on_disk(stack.volumes)
    sums = found.totals
    assert (0, 0, 0, 0, 0) == (sums.missing, sums.duplicates, sums.reordered, sums.corrupt, sums.residual)
    assert [] == found.faults
    return found


def held_against(found: Summary) -> list[str]:
    """Return which checks a run did not stand, but for a process's lateness, which a busy machine causes."""
    late = ("generator on time", "instrument on time")
    return [check.name for check in found.checks if not check.ok and check.name not in late]


def steps_us(stack: Stack, name: str) -> list[int]:
    """Return how large the steps of its clock are that a client's blocks own up to."""
    return [block.clock_error_us for block in stack.volumes.blocks(name) if block.clock_error_us > HOUR * 900_000]


def test_a_clients_clock_that_is_set_is_told(
    folder: Path, engine: None, tally: Tally, capsys: pytest.CaptureFixture[str]
) -> None:
    """A client's clock jumps by an hour ten times: every record is logged once, and only its latencies are in doubt."""
    with FakedStack(folder, ["client"], **SETTINGS) as stack:
        stack.up(clients=len(NAMES))
        stack.receipted(10, "client-2")
        containers, place = Containers(stack), Place("client", 1)
        jump(stack, tally, containers, place, TIMES)
        with capsys.disabled():
            print("\n" + took(tally))
        found = finish(stack, tally)
        assert ["clocks"] == held_against(found)
        assert "INVALID" == found.verdict
        assert [] != [reason for reason in found.reasons if reason.startswith("client-1: its clock is only known")]
        assert [] == [reason for reason in found.reasons if reason.startswith("client-2:")]
        assert TIMES <= len(steps_us(stack, "client-1"))
        assert [] == steps_us(stack, "client-2")


def took(tally: Tally) -> str:
    """Return the times of recovery, in words."""
    return json.dumps([fault.recovery_s for fault in tally.faults])


@pytest.mark.parametrize("place", [SERVER, COLLECTOR], ids=str)
def test_a_servers_clock_that_is_set_changes_nothing(
    place: Place, folder: Path, engine: None, tally: Tally, capsys: pytest.CaptureFixture[str]
) -> None:
    """The server's or the collector's clock jumps by an hour: the schedule goes on, and nothing is held against it."""
    with FakedStack(folder, [place.service], **SETTINGS) as stack:
        stack.up(clients=len(NAMES))
        stack.receipted(10, "client-2")
        jump(stack, tally, Containers(stack), place, TIMES if place == SERVER else COLLECTOR_TIMES)
        with capsys.disabled():
            print("\n" + took(tally))
        found = finish(stack, tally)
        assert [] == held_against(found)
        assert [] == [step for name in NAMES for step in steps_us(stack, name)]
