"""What servers use to act as one where they have no common folder. `services.server.jetstream` has the one that exists.

Each server keeps its own ledger in its own folder, and has copies of the others' ledgers beside it. So everything that
reads the folder, to join a run or to follow the others, is the same with a common folder and without.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from services.server.runs.decisions import Decision


class DecisionStore(Protocol):
    """The decisions about one run."""

    @property
    def place(self) -> str:
        """Where they are, for messages."""

    @property
    def is_required(self) -> bool:
        """Whether a server without a sign of others may not decide for itself: they may be there, unseen."""

    def news(self) -> list[Decision]:
        """Return the decisions since the last call."""

    def decide(self, decision: Decision, *, patiently: bool = False) -> bool:
        """Make a decision; return False if another one was made since the last call of `news`.

        Args:
            decision: to be made.
            patiently: whether no record is due, so that the answer may take seconds.

        Raises:
            OSError: it cannot be said whether it was made; `news` may return it later.
        """


class LedgerListener(Protocol):
    """Is informed of the progress of a ledger that this server writes."""

    def synced(self, size: int) -> None:
        """The first ``size`` bytes of the file are on disk."""

    def touched(self) -> None:
        """The file was touched, as every 2 s."""


class LedgerExchange(Protocol):
    """The exchange of decisions and ledgers with servers on other machines.

    Attributes:
        instance: this server process.
        lead_us: with other servers, a rate begins this long after it was decided.
    """

    instance: str
    lead_us: int

    def settle(self, is_stopped: Callable[[], bool]) -> None:
        """Return once the newest run that a server has claimed has a ledger, or that server has had its time."""

    def claim_run(self, now_us: int) -> str | None:
        """Claim a new run, make its folder and return its name; None if another server has claimed one.

        Raises:
            OSError: that cannot be said.
        """

    def announce_run(self, run: str) -> None:
        """Let servers that start later begin with this run."""

    def decisions(self, run: str) -> DecisionStore:
        """Return the decisions about a run."""

    def listener(self, run: str) -> LedgerListener:
        """Return what is to be informed of this server's ledger of a run."""
