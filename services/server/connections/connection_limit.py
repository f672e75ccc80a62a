"""How many connections the server holds: fewer than the process may open files, so that its ledger always finds one."""

from __future__ import annotations

import resource
from collections.abc import Callable

RESERVED = 96
"""File descriptors that connections leave to the ledger, the heartbeat, the metrics, and to what is accepted in one
turn of the loop before it is counted."""

SPARE = 16
"""Of all places, those that are left to plain requests and to holders of the token when all others are taken."""

_LEAST = 2 * SPARE
_UNLIMITED = 1_000_000


class ConnectionLimit:
    """Counts the connections of one process against the most that it may hold.

    ``most`` is asked for every connection: a limit of open files may be changed while the process runs.
    """

    def __init__(self, most: Callable[[], int]) -> None:
        self.most = most
        self.taken = 0

    def take(self) -> bool:
        """Take a place for a connection; return False when there is none."""
        if self.taken >= self.most():
            return False
        self.taken += 1
        return True

    @property
    def crowded(self) -> bool:
        """Whether only spare places are left."""
        return self.taken > self.most() - SPARE

    def leave(self) -> None:
        """Give a place back."""
        self.taken -= 1


def most_connections() -> int:
    """Return how many connections fit into this process's limit of open files (``RLIMIT_NOFILE``)."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _UNLIMITED if soft == resource.RLIM_INFINITY else max(soft - RESERVED, _LEAST)
