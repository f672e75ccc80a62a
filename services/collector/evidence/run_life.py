"""Where a run is in its life: known from its ledger, or for an external feed, which has none, from the clients' logs.

`RunEvidence` decides once which of the two it asks.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from services.collector.evidence.ledger_evidence import LedgerEvidence
from services.collector.evidence.log_evidence import LogEvidence
from services.contract.scalars import utc_text
from services.contract.summary import RunState


class RunLife(Protocol):
    """How a run began and ended."""

    @property
    def state(self) -> RunState:
        """Where the run is in its life."""

    @property
    def started_us(self) -> int | None:
        """From when the elapsed time counts, epoch microseconds; None before it is known."""

    @property
    def ended_at(self) -> str | None:
        """When the run ended, RFC 3339; None while it runs."""

    @property
    def is_finished(self) -> bool:
        """Whether the run was played to its end."""

    @property
    def admits_late_clients(self) -> bool:
        """Whether the evidence may still grow after the end by clients that ask to take part too late."""

    @property
    def lacks_ledger(self) -> bool:
        """Whether the ledger is lost: clients have logged under a subscription, and no line of a ledger exists."""


class LedgerLife:
    """The life of a run of the own feed. Its server records it, so the logs are asked only whether a ledger is lost."""

    def __init__(self, ledger: LedgerEvidence, logs: Collection[LogEvidence]) -> None:
        self._ledger, self._logs = ledger, logs

    @property
    def state(self) -> RunState:
        """Where the run is, by the lines of all servers."""
        return self._ledger.state

    @property
    def started_us(self) -> int | None:
        """When the first record was due."""
        return self._ledger.start_us

    @property
    def ended_at(self) -> str | None:
        """The time of the line that ended the run."""
        return self._ledger.end.at if self._ledger.end else None

    @property
    def is_finished(self) -> bool:
        """Whether a server has recorded the end."""
        return bool(self._ledger.ends)

    @property
    def admits_late_clients(self) -> bool:
        """True: the server refuses them, and records that."""
        return True

    @property
    def lacks_ledger(self) -> bool:
        """Whether clients have logged under a subscription, and no ledger has a line."""
        is_empty = not any(file.chain.number for file in self._ledger.files)
        return is_empty and any(log.opens for log in self._logs)


class LogsLife:
    """The life of a run of an external feed, by the logs of its clients."""

    def __init__(self, logs: Collection[LogEvidence]) -> None:
        self._logs = logs

    @property
    def state(self) -> RunState:
        """``ended`` when every client that has logged sealed its log."""
        return "ended" if all(log.is_sealed() for log in self._logs if log.opens) else "running"

    @property
    def started_us(self) -> int | None:
        """When the first record was received by any client."""
        return min((log.times.first_us for log in self._logs if log.times.first_us), default=None)

    @property
    def ended_at(self) -> str | None:
        """When the last record so far was received by any client."""
        return max((utc_text(log.times.last_us) for log in self._logs if log.times.last_us), default=None)

    @property
    def is_finished(self) -> bool:
        """Whether any client stayed until its end."""
        return any("finished" in log.last_reasons() for log in self._logs)

    @property
    def admits_late_clients(self) -> bool:
        """False: a client that comes after the end of the feed begins another run."""
        return False

    @property
    def lacks_ledger(self) -> bool:
        """False: an external feed has no ledger."""
        return False
