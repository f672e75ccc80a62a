"""The server processes that wrote the ledgers of one run: whether they played one schedule, and which were measured.

A server is known by the digest of its open line, so copies of one ledger file are one server. Servers follow one
another when a run is continued after a stop or a crash; servers whose ledgers overlap in time played side by side.
Only the times inside the lines count, never those of the files.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import NamedTuple

from services.contract import ledger

Stretch = tuple[int, int, float | int | None]
"""From which record on, due when (epoch microseconds), at how many records per second (None: a pause)."""


class RateChange(NamedTuple):
    """A pace line, with the number of the line and its digest: they put lines of one microsecond in order."""

    pace: ledger.PaceEntry
    number: int
    crc: str

    def order(self) -> tuple[int, str, int, str]:
        """Return the key for the order of the feed: of equal ``first`` the last line counts."""
        return self.pace.first, self.pace.at, self.number, self.crc

    def entered(self) -> tuple[str, int, str]:
        """Return the key for the order in which the lines were entered."""
        return self.pace.at, self.number, self.crc


@dataclass
class ServerProcess:
    """One server process, by its own ledger.

    Attributes:
        open: its first line.
        last_at: when its last line was entered, RFC 3339.
        paces: its pace lines, by digest.
        ends: its end lines, by digest; at most one unless lines were forged.
        took_part: it entered a pace, a subscription or a ``sent`` line.
    """

    open: ledger.OpenEntry
    last_at: str
    paces: dict[str, RateChange] = field(default_factory=dict)
    ends: dict[str, ledger.EndEntry] = field(default_factory=dict)
    took_part: bool = False

    def add_entry(self, entry: ledger.Entry, number: int, crc: str) -> None:
        """Add one line of its ledger."""
        self.last_at = max(self.last_at, entry.at)
        if isinstance(entry, ledger.PaceEntry):
            known = self.paces.get(crc)
            self.paces[crc] = RateChange(entry, number if known is None else min(number, known.number), crc)
            self.took_part = True
        elif isinstance(entry, ledger.SubscribeEntry | ledger.SentEntry):
            self.took_part = True
        elif isinstance(entry, ledger.EndEntry):
            self.ends[crc] = entry

    def is_continued(self, every: Iterable[ServerProcess]) -> bool:
        """Tell whether another server was started later, when this one had entered its last line."""
        return any(other.open.at >= self.last_at and other.open.at > self.open.at for other in every)


def unmeasured(every: Collection[ServerProcess]) -> list[ServerProcess]:
    """Return the servers that took part and did not record how late they were, in a run that has an end.

    A server that a later one continued was stopped or crashed, which does not count against the run.
    """
    if not any(server.ends for server in every):
        return []
    found = [one for one in every if one.took_part and not one.ends and not one.is_continued(every)]
    return sorted(found, key=_age)


def conflict(every: Collection[ServerProcess]) -> tuple[ServerProcess, ServerProcess, int] | None:
    """Return two servers that played side by side by different schedules, and from which record on; None for none.

    A server that starts reads the paces that stand in the ledgers, so those count as its own. A pace that only one of
    two servers entered does not count when the other had entered its last line before: it was no longer there.
    """
    ordered = sorted((server for server in every if server.took_part), key=_age)
    for place, earlier in enumerate(ordered):
        for later in ordered[place + 1 :]:
            if later.open.at < earlier.last_at:
                record = _differs(_schedule(earlier, every), _schedule(later, every), earlier, later)
                if record is not None:
                    return earlier, later, record
    return None


def _age(server: ServerProcess) -> tuple[str, str, str]:
    return server.open.at, server.open.instance, server.last_at


def _schedule(server: ServerProcess, every: Iterable[ServerProcess]) -> list[RateChange]:
    """Return by which paces a server played: those that it found and those that it entered."""
    found = {
        crc: one
        for other in every
        for crc, one in other.paces.items()
        if other is server or one.pace.at < server.open.at
    }
    played: list[RateChange] = []
    for one in sorted(found.values(), key=RateChange.entered):
        while played and played[-1].pace.first >= one.pace.first:
            played.pop()
        played.append(one)
    return played


def _differs(some: list[RateChange], others: list[RateChange], one: ServerProcess, other: ServerProcess) -> int | None:
    for mine, theirs in zip_longest(some, others):
        if mine is not None and theirs is not None:
            if _stretch(mine) != _stretch(theirs):
                return min(mine.pace.first, theirs.pace.first)
        elif mine is not None and mine.pace.at < other.last_at:
            return mine.pace.first
        elif theirs is not None and theirs.pace.at < one.last_at:
            return theirs.pace.first
    return None


def _stretch(one: RateChange) -> Stretch:
    return one.pace.first, one.pace.due_us, one.pace.rate
