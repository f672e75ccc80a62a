"""A run as the ledgers of earlier server processes have it: what a server that starts can continue. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from services.contract import ledger
from services.contract.scalars import utc_us
from services.server.runs.agreement import DecidedEntry, entry_key
from services.server.runs.run_state import RecordedRun

_UNREADABLE = "a line of its ledger is intact but in an unknown format"
_UNPLAYABLE = "its ledger has a gap in the schedule, or no fence is left for another subscription"


class PastRun:
    """A run as the ledgers of earlier server processes have it.

    Attributes:
        opening: first entry of the oldest ledger; None without one.
        recorded: the state of the run.
        last_us: time of the latest entry, epoch microseconds; 0 without one.
        entered: keys of the decided entries in the ledgers, as `entry_key` returns them.
    """

    def __init__(self, entries: Iterable[ledger.Entry | None]) -> None:
        """Fold the entries, in the order of their times; None stands for an intact line in an unknown format."""
        self.opening: ledger.OpenEntry | None = None
        self.recorded = RecordedRun(1)
        self.entered: set[object] = set()
        self._is_readable, last = True, ""
        for entry in entries:
            if entry is None:
                self._is_readable = False
                continue
            last = max(last, entry.at)
            if isinstance(entry, ledger.OpenEntry):
                self.recorded.boots.add(entry.boot)
                if self.opening is None:
                    self.opening = entry
                    self.recorded.total = self.recorded.schedule.total = entry.total
            if isinstance(entry, DecidedEntry):
                # Each server of the run has entered it, the slowest one perhaps after later ones.
                if entry_key(entry) in self.entered:
                    continue
                self.entered.add(entry_key(entry))
            self.recorded.apply(entry)
        try:
            self.last_us = utc_us(last) if last else 0
        except ValueError:  # a text that is no time
            self.last_us, self._is_readable = 0, False

    @property
    def has_ended(self) -> bool:
        """Whether the run has an end entry."""
        return self.recorded.end is not None

    @property
    def obstacle(self) -> str | None:
        """Why no server can continue the run, with any settings; None if one can."""
        if not self._is_readable:
            return _UNREADABLE
        return None if self.recorded.can_be_continued else _UNPLAYABLE
