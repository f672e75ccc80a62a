"""The set-up that most container tests share: a stack of two clients, and the checks at the end of its run."""

from __future__ import annotations

from collections.abc import Sequence

from chaos.containers.fast_forward import set_rate
from chaos.containers.invariants import assert_all_delivered, count_deliveries, recovery_seconds
from chaos.tally import Tally
from services.contract.summary import Summary
from tests.integration.stack import Stack

NAMES = ["client-1", "client-2"]
RECOVERY_SECONDS = 60.0
"""A client that takes longer to recover fails the test; shorter recoveries are only reported."""


def settings(rate: int, records: int, **more: object) -> dict[str, object]:
    """Return the settings of a run with two clients and small blocks, so that receipts come soon."""
    return {"RATE": rate, "RECORDS": records, "CLIENTS": len(NAMES), "GRACE_SECONDS": 20, **more}


def wait_for_recovery(stack: Stack, records: int, names: Sequence[str] = NAMES) -> dict[str, float]:
    """Wait until each client has a receipt for a record not yet due at the call; return the seconds by client."""
    return recovery_seconds(stack.volumes, records, names, RECOVERY_SECONDS)


def finish_run(stack: Stack, rate: int) -> None:
    """Send the rest of a run at ``rate`` records per second, and wait for its verdict."""
    set_rate(stack, rate)
    stack.wait(timeout=120)


def add_deliveries(stack: Stack, tally: Tally, records: int, *, unnamed: int = 0) -> None:
    """Add the counts of the logs to the tally; ``unnamed`` is the number of faults that a summary does not name.

    Called before the assertions, so that the tally of a failed test is complete.
    """
    count = count_deliveries(stack.volumes, records, NAMES)
    tally.add_checks(count.checked, lost=count.lost, duplicated=count.duplicated, undetected=count.undetected + unnamed)


def assert_run_is_whole(stack: Stack, tally: Tally, records: int, rate: int) -> Summary:
    """Send the rest of a run and check it: every record is logged once, and the summary agrees."""
    finish_run(stack, rate)
    add_deliveries(stack, tally, records)
    return assert_all_delivered(stack.volumes, records, NAMES)
