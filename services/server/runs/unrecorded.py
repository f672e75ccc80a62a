"""What servers of a run may have sent without a line in the ledgers that this one reads. Pure."""

from __future__ import annotations

from services.server.runs.run import Run


def may_lack_entries(run: Run) -> bool:
    """Return whether a ledger of the run may have lost its last lines with a machine's power.

    Unknown for a ledger that was written under another kernel, before a restart of this machine or on another one.
    """
    return bool((run.recorded.boots | run.agreement.boots()) - {run.boot})


def unrecorded_through(run: Run) -> int:
    """Return the last seq that another server may have sent without a line in the ledgers here; 0 for none.

    With ``START_AT`` the others may have folders of their own, and any client may have been theirs. Otherwise an
    operator may have put an older copy of the ledgers back before this process took the run over: that looks like an
    ordinary restart.
    """
    return run.taken_over_at if run.times is None else run.total
