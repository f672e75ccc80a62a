"""Limits the number of open connections, so that the process always has file descriptors left for its ledger."""

from __future__ import annotations

import resource
from collections.abc import Callable

RESERVED = 96
"""File descriptors that connections leave free for the ledger, the heartbeat and the metrics, and for connections that
one turn of the event loop accepts before they are counted."""

SPARE = 16
"""When only this many places are left they are kept for plain requests and for peers that hold the control token."""

_MIN_CONNECTIONS = 2 * SPARE
_UNLIMITED = 1_000_000


class ConnectionLimit:
    """Counts the open connections of one process.

    Args:
        maximum: returns the greatest allowed number. It is called for every connection, since a process's limit of
            open files may be changed while it runs.
    """

    def __init__(self, maximum: Callable[[], int]) -> None:
        self.maximum = maximum
        self.in_use = 0

    def acquire(self) -> bool:
        """Count a connection; return False, and count nothing, if the limit is reached."""
        if self.in_use >= self.maximum():
            return False
        self.in_use += 1
        return True

    @property
    def is_nearly_reached(self) -> bool:
        """Whether only spare places are left."""
        return self.in_use > self.maximum() - SPARE

    def release(self) -> None:
        """Stop counting a connection that was acquired."""
        self.in_use -= 1


def max_connections() -> int:
    """Return the number of connections that this process's limit of open files (``RLIMIT_NOFILE``) allows."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _UNLIMITED if soft == resource.RLIM_INFINITY else max(soft - RESERVED, _MIN_CONNECTIONS)
