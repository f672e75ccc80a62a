"""The server processes that wrote the ledgers of one run: whether they sent by one schedule, and which were measured.

A server is identified by the digest of its open line, so copies of a ledger file are one server. A run that was stopped
or crashed is continued by another server; servers whose ledgers overlap in time ran at the same time. Only the times in
the lines count, not those of the files.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import NamedTuple

import msgspec

from services.collector.evidence.timestamps import bounded, moment
from services.contract import ledger
from services.contract.scalars import utc_text

RateSegment = tuple[int, int, float | int | None]
"""First record, its due time in epoch microseconds, and records per second, None for a pause."""

UNMEASURED_US = 6_000_000
"""A server that was killed may have sent for this long after its last measurement, of which it writes one a second:
a server that shows no activity for this long counts as gone."""


class RateChange(NamedTuple):
    """A pace line with its line number and its digest, by which lines of the same microsecond are ordered."""

    pace: ledger.PaceEntry
    number: int
    crc: str

    def order(self) -> tuple[int, str, int, str]:
        """Return the sort key for the order of the feed. Of lines with equal ``first`` the last one counts."""
        return self.pace.first, self.pace.at, self.number, self.crc

    def entered(self) -> tuple[str, int, str]:
        """Return the sort key for the order in which the lines were written."""
        return self.pace.at, self.number, self.crc


@dataclass
class ServerProcess:
    """One server process, by its ledger.

    Attributes:
        open: its first line.
        last_at: time of its last line, RFC 3339.
        paces: its pace lines, by digest.
        ends: its end lines, by digest: at most one, unless lines were forged.
        took_part: whether it wrote a pace, a subscription or a ``sent`` line.
        measured: the last line with its own lateness, None without one.
    """

    open: ledger.OpenEntry
    last_at: str
    paces: dict[str, RateChange] = field(default_factory=dict)
    ends: dict[str, ledger.EndEntry] = field(default_factory=dict)
    took_part: bool = False
    measured: ledger.MeasuredEntry | None = None
    _acted_at: str = ""

    def note_line(self, entry: ledger.Entry) -> None:
        """Note a line of its ledger that is not about the server itself, such as a receipt."""
        self.last_at = max(self.last_at, entry.at)

    def add_entry(self, entry: ledger.Entry, number: int, crc: str) -> None:
        """Add one line of its ledger."""
        self.note_line(entry)
        if isinstance(entry, ledger.PaceEntry):
            known = self.paces.get(crc)
            self.paces[crc] = RateChange(entry, number if known is None else min(number, known.number), crc)
        elif isinstance(entry, ledger.MeasuredEntry):
            self.measured = max(self.measured or entry, entry, key=_measured_order)
        elif isinstance(entry, ledger.EndEntry):
            self.ends[crc] = entry
        if isinstance(entry, ledger.PaceEntry | ledger.SubscribeEntry | ledger.SentEntry):
            self.took_part, self._acted_at = True, max(self._acted_at, entry.at)

    @property
    def is_measured(self) -> bool:
        """Whether it recorded how late it was until shortly before it was last active."""
        measured_us = moment(self.measured.at) if self.measured is not None else None
        acted_us = moment(self._acted_at)
        return measured_us is not None and acted_us is not None and acted_us - measured_us <= UNMEASURED_US

    def is_continued(self, servers: Iterable[ServerProcess]) -> bool:
        """Return whether another server was started after this one had written its last line."""
        # Equal times count: a server's clock never goes back behind the ledger that it continues, so after a clock was
        # set back the times are equal.
        # Without the second condition a server that wrote only its open line would continue itself.
        return any(other.open.at >= self.last_at and other.open.at > self.open.at for other in servers)


def unmeasured(servers: Collection[ServerProcess]) -> list[ServerProcess]:
    """Return the servers that took part in a run that has an end, and did not record how late they were.

    A server that a later one continued was stopped or crashed, which does not count against the run. Nor does one that
    measured itself until then, while others played the run to its end.
    """
    if not any(server.ends for server in servers):
        return []
    unknown = [
        server
        for server in servers
        if server.took_part and not server.ends and not server.is_measured and not server.is_continued(servers)
    ]
    return sorted(unknown, key=_age)


def feed_differences(servers: Iterable[ServerProcess]) -> tuple[str, ...]:
    """Return in which settings the servers of a run differ that played it: each setting with its values.

    A server that only abandoned the run, because its own settings are others, played no feed in it.
    """
    opens = [server.open for server in servers if all(end.reason != "abandoned" for end in server.ends.values())]
    values = {
        "feed": {opened.feed for opened in opens},
        "RECORDS": {f"{opened.total}" for opened in opens},
        "RATE": {opened.plan or f"{opened.rate:g}" for opened in opens},
        # A server without START_AT ends the run when its own clients are done.
        "START_AT": {_time_text(opened.start_us) for opened in opens},
        "end by START_AT": {_time_text(opened.end_us) for opened in opens},
    }
    return tuple(f"{name} {' and '.join(sorted(found))}" for name, found in values.items() if len(found) > 1)


def _time_text(epoch_us: int | None) -> str:
    return "not set" if epoch_us is None else utc_text(bounded(epoch_us))


def conflict(servers: Collection[ServerProcess]) -> tuple[ServerProcess, ServerProcess, int] | None:
    """Return two servers that ran at the same time by different schedules, and the first record that differs.

    None if there are no such servers. A server that starts reads the paces in the ledgers, so they are part of its
    schedule. Two servers are compared by the paces that were entered and had begun before either wrote its last line:
    a server that was killed has no part in what changed later.
    """
    ordered = sorted((server for server in servers if server.took_part), key=_age)
    for index, earlier in enumerate(ordered):
        for later in ordered[index + 1 :]:
            if later.open.at < earlier.last_at:
                until = min(earlier.last_at, later.last_at)
                record = _differs(_schedule(earlier, servers, until), _schedule(later, servers, until))
                if record is not None:
                    return earlier, later, record
    return None


def _measured_order(entry: ledger.MeasuredEntry) -> tuple[str, bytes]:
    return entry.at, msgspec.json.encode(entry)


def _age(server: ServerProcess) -> tuple[str, str, str]:
    return server.open.at, server.open.instance, server.last_at


def _schedule(server: ServerProcess, servers: Iterable[ServerProcess], until: str) -> list[RateChange]:
    """Return the paces of a server before a time: those that it read when it started and those that it wrote."""
    changes = {
        crc: change
        for other in servers
        for crc, change in other.paces.items()
        if (other is server or change.pace.at < server.open.at) and _began_before(change.pace, until)
    }
    schedule: list[RateChange] = []
    seen: set[RateSegment] = set()
    for change in sorted(changes.values(), key=RateChange.entered):
        # Every server of a run enters the same change, one of them perhaps after it has entered the next one itself.
        if _segment(change) in seen:
            continue
        seen.add(_segment(change))
        # A later line replaces those that begin with the same or a later record.
        while schedule and schedule[-1].pace.first >= change.pace.first:
            schedule.pop()
        schedule.append(change)
    return schedule


def _began_before(pace: ledger.PaceEntry, until: str) -> bool:
    until_us = moment(until)
    return pace.at < until and (until_us is None or pace.due_us < until_us)


def _differs(ours: list[RateChange], others: list[RateChange]) -> int | None:
    for pair in zip_longest(ours, others):
        changes = [change for change in pair if change is not None]
        if len({_segment(change) for change in changes}) > 1 or len(changes) == 1:
            return min(change.pace.first for change in changes)
    return None


def _segment(change: RateChange) -> RateSegment:
    # Not the time of the line: two servers of one schedule write the same change at different times.
    return change.pace.first, change.pace.due_us, change.pace.rate
