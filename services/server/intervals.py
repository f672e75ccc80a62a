"""How often the server does its periodic work."""

from __future__ import annotations

from dataclasses import dataclass

from services.server.connections.connection import QUIET_SECONDS


@dataclass(frozen=True)
class ServerIntervals:
    """Intervals of the server's periodic work, in seconds.

    Attributes:
        sync: between two syncs of the ledger; a crash loses at most the entries of this time.
        touch: between two touches of the ledger, which show other servers that this one lives.
        measure: between two entries with this server's lateness, beside other servers.
        step: between two decisions whether the run starts, resumes or ends.
        stall_check: between two looks for clients that do not read; with thousands a look takes milliseconds.
        keep_alive: between two looks for quiet peers.
        quiet: after which a quiet peer is sent a ping.
        count: between two counts of the client containers, while a run waits for clients.
        recount: the same while it runs, when further containers may still be started.
        between_runs: from the end of a run to the next, for clients to seal their logs and the collector to close.
        remove_old: between two removals of old runs.
    """

    sync: float = 0.2
    touch: float = 2.0
    measure: float = 1.0
    step: float = 0.05
    stall_check: float = 0.25
    keep_alive: float = 5.0
    quiet: float = QUIET_SECONDS
    count: float = 0.2
    recount: float = 2.0
    between_runs: float = 2.0
    remove_old: float = 5.0
