"""Shifts the wall clock of one container by an hour and back: delivery is unaffected, and the summary reports it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from chaos.containers.container_lookup import COLLECTOR, SERVER, Containers, Target
from chaos.containers.faketime import FakedStack, clock_of, set_clock
from chaos.containers.invariants import assert_delivered, assert_receipted_is_on_disk
from chaos.containers.two_clients import NAMES, add_deliveries, finish_run, settings, wait_for_recovery
from chaos.tally import Tally
from services.contract.summary import Summary
from services.server.feed.generator import FeedGenerator
from tests.integration.stack import Stack
from tests.poll import poll_until

pytestmark = [pytest.mark.containers, pytest.mark.slow]

TIMES, COLLECTOR_TIMES, RATE, RECORDS, FINAL_RATE = 10, 3, 50, 6000, 300
"""A low final rate: a process with libfaketime reads the offset file at every look at the clock."""
HOUR = 3600
SETTINGS = settings(RATE, RECORDS, BLOCK_SIZES="10,25", BLOCK_SECONDS=1)


def shift_clock(stack: Stack, containers: Containers, target: Target, seconds: int, *, check: bool) -> float:
    """Shift a container's clock, wait for new receipts, and correct it; return the seconds until the next receipts."""
    pid = containers.service_pid(target)
    set_clock(pid, seconds)
    if check:
        assert abs(clock_of(stack, *target) - time.time() - seconds) < HOUR / 60
    wait_for_recovery(stack, RECORDS)
    set_clock(pid, 0)
    assert pid == containers.service_pid(target), f"the process of {target} was restarted"
    return max(wait_for_recovery(stack, RECORDS).values())


def shift_repeatedly(stack: Stack, tally: Tally, containers: Containers, target: Target, times: int) -> None:
    """Shift a clock forward and back, in turn."""
    for number in range(times):
        seconds = HOUR if number % 2 == 0 else -HOUR
        # The clock is checked from inside the container only once for each direction, since that takes a second.
        recovery_s = shift_clock(stack, containers, target, seconds, check=number < 2)
        tally.add_fault(f"clock-{target.service}", str(target), None if target == COLLECTOR else recovery_s)


def finish(stack: Stack, tally: Tally) -> Summary:
    """Send the rest of the run; check the logs against the feed and the receipts; return the summary."""
    finish_run(stack, FINAL_RATE)
    add_deliveries(stack, tally, RECORDS)
    summary = poll_until(stack.volumes.verdict, "the verdict is on disk", 30)
    assert summary is not None
    expected = FeedGenerator("person", "en_US", 42).records(1, RECORDS)
    for name in NAMES:
        assert_delivered(stack.volumes, name, expected)
        for block in stack.volumes.blocks(name):
            assert block.duration_ns >= 0
            assert block.idle_ns >= 0
            assert abs(block.clock_offset_us) < HOUR
    assert_receipted_is_on_disk(stack.volumes)
    sums = summary.totals
    assert (0, 0, 0, 0, 0) == (sums.missing, sums.duplicates, sums.reordered, sums.corrupt, sums.residual)
    assert [] == summary.faults
    return summary


def failed_checks(summary: Summary) -> list[str]:
    """Return the names of the failed checks, without those for late processes, which a busy machine causes."""
    late = ("generator on time", "instrument on time")
    return [check.name for check in summary.checks if not check.ok and check.name not in late]


def clock_steps_us(stack: Stack, name: str) -> list[int]:
    """Return the clock steps of about an hour or more that a client recorded in its blocks."""
    return [block.clock_error_us for block in stack.volumes.blocks(name) if block.clock_error_us > HOUR * 900_000]


def test_a_clients_clock_that_is_set_is_reported(
    folder: Path, engine: None, tally: Tally, capsys: pytest.CaptureFixture[str]
) -> None:
    """A client's clock jumps by an hour ten times: every record is logged once; only its latencies are uncertain."""
    with FakedStack(folder, ["client"], **SETTINGS) as stack:
        stack.up(clients=len(NAMES))
        stack.receipted(10, "client-2")
        containers, target = Containers(stack), Target("client", 1)
        shift_repeatedly(stack, tally, containers, target, TIMES)
        with capsys.disabled():
            print("\n" + recoveries_text(tally))
        summary = finish(stack, tally)
        assert ["clocks"] == failed_checks(summary)
        assert "INVALID" == summary.verdict
        assert [] != [reason for reason in summary.reasons if reason.startswith("client-1: its clock is only known")]
        assert [] == [reason for reason in summary.reasons if reason.startswith("client-2:")]
        assert TIMES <= len(clock_steps_us(stack, "client-1"))
        assert [] == clock_steps_us(stack, "client-2")


def recoveries_text(tally: Tally) -> str:
    """Return the recovery times as JSON."""
    return json.dumps([fault.recovery_s for fault in tally.faults])


@pytest.mark.parametrize("target", [SERVER, COLLECTOR], ids=str)
def test_a_servers_clock_that_is_set_changes_nothing(
    target: Target, folder: Path, engine: None, tally: Tally, capsys: pytest.CaptureFixture[str]
) -> None:
    """The server's or the collector's clock jumps by an hour: the schedule continues, and no check fails."""
    with FakedStack(folder, [target.service], **SETTINGS) as stack:
        stack.up(clients=len(NAMES))
        stack.receipted(10, "client-2")
        shift_repeatedly(stack, tally, Containers(stack), target, TIMES if target == SERVER else COLLECTOR_TIMES)
        with capsys.disabled():
            print("\n" + recoveries_text(tally))
        summary = finish(stack, tally)
        assert [] == failed_checks(summary)
        assert [] == [step for name in NAMES for step in clock_steps_us(stack, name)]
