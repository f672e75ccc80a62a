"""What the ledger says of a run that another server process played: all that is needed to continue it, or to end it."""

from __future__ import annotations

from collections.abc import Iterable

from services.contract import ledger
from services.contract.scalars import utc_us
from services.server.runs.run_state import RunBook

_UNREADABLE = "a line of its ledger is whole and cannot be understood"
_UNPLAYABLE = "its ledger holds a schedule that cannot be played"


class Past:
    """The fold over a run's ledger, line by line.

    Attributes:
        opening: the first line of the oldest ledger; None when there is none.
        book: the state of the run.
        last_us: the time of the latest line, epoch microseconds; 0 without one.
    """

    def __init__(self, entries: Iterable[ledger.Entry | None]) -> None:
        """Take in the lines in the order of their times; None stands for one that cannot be understood."""
        self.opening: ledger.Open | None = None
        self.book = RunBook(1)
        self._readable, last = True, ""
        for entry in entries:
            if entry is None:
                self._readable = False
                continue
            last = max(last, entry.at)
            if isinstance(entry, ledger.Open) and self.opening is None:
                self.opening = entry
                self.book.total = self.book.schedule.total = entry.total
            self.book.apply(entry)
        self.last_us = utc_us(last) if last else 0

    @property
    def ended(self) -> bool:
        """Whether the run is over."""
        return self.book.end is not None

    @property
    def obstacle(self) -> str | None:
        """Why the run cannot be continued, whatever the settings are; None when it can."""
        if not self._readable:
            return _UNREADABLE
        return None if self.book.playable else _UNPLAYABLE
