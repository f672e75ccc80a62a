"""Measures how long a client or the collector takes to work again after a fault."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from chaos.containers.active_faults import ActiveFaults
from chaos.containers.container_lookup import Target
from chaos.containers.ledger_follower import LedgerFollower
from tests.poll import poll_until
from tests.readers import Volumes

GONE_SECONDS = 60.0
"""A client without an active fault that takes longer fails the test; shorter recoveries are only reported."""


@dataclass
class Recovery:
    """The recovery of one client, from the end of the last fault that affected it.

    Attributes:
        since: end of that fault, in epoch seconds; 0 while one is active.
        seconds: until a receipt for a record not yet due at ``since``; None if the next fault came first.
    """

    active_faults: ActiveFaults
    follower: LedgerFollower
    client: str
    since: float = 0.0
    seconds: float | None = None

    def is_settled(self) -> bool:
        """Check the ledger again; return whether the client has recovered or the next fault has begun.

        Raises:
            AssertionError: the client has not recovered in time, although no fault affects it.
        """
        now = time.time()
        exposure = self.active_faults.exposure(self.client)
        if not self.since:
            self.since = 0.0 if exposure.is_struck else exposure.ended
            return False
        at = self.follower.first_fresh_receipt(self.client, self.since)
        is_struck_again = exposure.began > self.since
        if at is not None and not (is_struck_again and at > exposure.began):
            self.seconds = round(at - self.since, 3)
            return True
        assert is_struck_again or now - self.since <= GONE_SECONDS, (
            f"{self.client} has not recovered {GONE_SECONDS} s after the last fault, {self.since:.3f}: its last "
            f"receipt is for {self.follower.last_receipted(self.client)}, {self.follower.head(self.since)} was due"
        )
        return is_struck_again


def any_recovering(active_faults: ActiveFaults, follower: LedgerFollower, targets: Iterable[Target]) -> bool:
    """Return whether any of these clients has no active fault and has not recovered yet."""
    for name in map(str, targets):
        exposure = active_faults.exposure(name)
        if exposure.ended and not exposure.is_struck and follower.first_fresh_receipt(name, exposure.ended) is None:
            return True
    return False


def of_client(
    active_faults: ActiveFaults, follower: LedgerFollower, target: Target, patience: float = 300.0
) -> Recovery:
    """Wait until a client has recovered, or the next fault affects it."""
    recovery = Recovery(active_faults, follower, str(target))
    poll_until(recovery.is_settled, f"{target} has recovered", patience)
    return recovery


def of_all(active_faults: ActiveFaults, follower: LedgerFollower, targets: Sequence[Target]) -> Recovery | None:
    """Wait for the recovery of all clients that no other fault affects; return the slowest recovery."""
    free = [str(target) for target in targets if not active_faults.exposure(str(target)).is_struck]
    recovery = [Recovery(active_faults, follower, name) for name in free]
    waiting = list(recovery)

    def all_over() -> bool:
        waiting[:] = [recovery for recovery in waiting if not recovery.is_settled()]
        return not waiting

    poll_until(all_over, "all clients have recovered", 2 * GONE_SECONDS)
    return max(
        (recovery for recovery in recovery if recovery.seconds is not None),
        key=lambda recovery: recovery.seconds or 0.0,
        default=None,
    )


def of_collector(volumes: Volumes, since: float) -> float:
    """Wait until the collector has written a summary after ``since`` (epoch seconds); return the seconds it took."""
    path = volumes.root / "summary" / volumes.newest() / "summary.json"
    at = poll_until(
        lambda: path.stat().st_mtime if path.exists() and path.stat().st_mtime > since else 0.0,
        "the collector has published again",
        GONE_SECONDS,
    )
    return round(at - since, 3)
