"""All evidence of one run: the ledger of its servers and the block logs of its clients.

Pure: it is given lines, and the order in which the files are read does not matter.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Protocol

from services.collector.cpu_yield import no_yield
from services.collector.evidence.ledger_evidence import LedgerEvidence, LedgerFileReader
from services.collector.evidence.line_chain import FileDamage
from services.collector.evidence.log_evidence import FilesOverlap, LogEvidence
from services.collector.evidence.log_file_reader import LogFileReader
from services.collector.evidence.timestamps import bounded, moment
from services.collector.evidence.timing import RunTiming
from services.collector.scan import FileTail, Source
from services.contract import blocklog, ledger
from services.contract.nodes import PulledRun
from services.contract.scalars import utc_text
from services.contract.summary import RunState


class RunEvidence:
    """The ledger of a run, the log of each client, and their times.

    Code that loops over all clients calls ``yield_cpu`` after each: with many clients the loop takes long, and the
    collector must not take the processor from the system that it measures (see `cpu_yield`).
    """

    def __init__(self, run: str, yield_cpu: Callable[[], None] = no_yield) -> None:
        self.run = run
        self.yield_cpu = yield_cpu
        self.times = RunTiming()
        self.ledger = LedgerEvidence()
        self.logs: dict[str, LogEvidence] = {}
        self.pulled: PulledRun | None = None
        """How far the files were pulled from other hosts; None if they are those of this host's services."""
        self._reader: LogFileReader | None = None

    def without(self, sources: Collection[str | None]) -> RunEvidence:
        """Return the evidence of the same run without the logs of some clients, and for None without the ledger.

        Logs that are left out have to be added again. The logs that stay are shared with this evidence, not copied.
        """
        rest = RunEvidence(self.run, self.yield_cpu)
        rest.pulled = self.pulled
        rest.logs = {name: log for name, log in self.logs.items() if name not in sources}
        if None not in sources:
            rest.ledger = self.ledger
        return rest

    def merge(self, other: RunEvidence) -> None:
        """Add other files of the run, as if they had been read here. ``other`` must not be used any more.

        Raises:
            FilesOverlap: both have files of a client, or of the ledger, that cannot be read apart. Neither can be used
                any more.
        """
        self.times.merge(other.times)
        if other.ledger.files:
            if self.ledger.files:
                raise FilesOverlap("ledger")
            self.ledger = other.ledger
            for log in self.logs.values():
                self._grant(log)
        for name, log in other.logs.items():
            if name in self.logs:
                self.logs[name].merge(log)
            else:
                self.logs[name] = log
                log.join(self.times)
                self._grant(log)

    def add_lines(self, source: Source, lines: Sequence[bytes]) -> None:
        """Add lines with their newlines. The lines of a file have to be added in order, the files in any order."""
        if source.client is not None:
            # Nearly all lines are of the file of the lines before them: then no file is looked up.
            if self._reader is None or self._reader.source is not source:
                self._reader = self._log(source.client).file(source)
            self._reader.add_lines(lines)
            return
        for entry in self.ledger.add_lines(source, lines):
            self._note_entry(entry)

    def add_line(self, source: Source, line: bytes) -> None:
        """Add one line, as `add_lines` does."""
        self.add_lines(source, (line,))

    def _note_entry(self, entry: ledger.Entry) -> None:
        if isinstance(entry, ledger.SubscribeEntry):
            # The log may have been read before the ledger; `_log` handles the opposite order.
            if not entry.observe and entry.client in self.logs:
                self.logs[entry.client].times.catch_up.grant(entry.fence, entry.session)
        elif isinstance(entry, ledger.PaceEntry):
            # The time from the first due record on, and below the time until the end, is drawn even without messages.
            if entry.first == 1:
                self.times.buckets.cover(bounded(entry.due_us))
        elif isinstance(entry, ledger.EndEntry):
            at_us = moment(entry.at)
            if at_us is not None:
                self.times.buckets.cover(at_us)

    def add_sources(self, sources: Iterable[Source]) -> None:
        """Add files that may have no line yet: a client claims a session by creating its file."""
        for source in sources:
            self._file(source)

    def add_tails(self, tails: Iterable[FileTail]) -> None:
        """Add the torn ends of files and refused files, once no process writes them any more."""
        for tail in tails:
            file = self._file(tail.source)
            if tail.refused:
                file.chain.damages.append(
                    FileDamage(tail.source, 0, "unreadable", f"the file cannot be read: {tail.refused}", 0)
                )
            else:
                self._add_torn(file, tail.size)

    @property
    def is_one_sided(self) -> bool:
        """Whether the clients received an external feed: then no ledger records which records were sent."""
        return any(log.is_external for log in self.logs.values())

    @property
    def names(self) -> set[str]:
        """The names of all clients that the ledger or a log names."""
        return {*self.ledger.clients, *self.logs}

    @property
    def until_us(self) -> int | None:
        """When a run of an external feed is to end, epoch microseconds; None for not known."""
        return max((log.until_us for log in self.logs.values() if log.until_us is not None), default=None)

    @property
    def life(self) -> RunLife:
        """How the run began and ended: by the ledger, or by the logs of an external feed."""
        logs = self.logs.values()
        return LogsLife(logs) if self.is_one_sided else LedgerLife(self.ledger, logs)

    @property
    def state(self) -> RunState:
        """Where the run is in its life."""
        return self.life.state

    @property
    def ended_at(self) -> str | None:
        """When the run ended, RFC 3339; None while it runs."""
        return self.life.ended_at

    @property
    def lacks_ledger(self) -> bool:
        """Whether the ledger is lost."""
        return self.life.lacks_ledger

    def subscription(self, client: str, session: int) -> ledger.SubscribeEntry | None:
        """Return the first subscription of a client's session by the ledger, None if it has none."""
        known = self.ledger.clients.get(client)
        entries = [entry for entry in known.subscriptions.values() if entry.session == session] if known else []
        return min(entries, key=lambda entry: entry.fence, default=None)

    def is_sealed(self, client: str, session: int | None = None) -> bool:
        """Return whether a client sealed its log in a session, by default in its last one."""
        log = self.logs.get(client)
        return log is not None and log.is_sealed(session)

    def _file(self, source: Source) -> LogFileReader | LedgerFileReader:
        if source.client is None:
            return self.ledger.file(source)
        return self._log(source.client).file(source)

    def _log(self, client: str) -> LogEvidence:
        log = self.logs.get(client)
        if log is None:
            log = self.logs[client] = LogEvidence(client, self.times)
            self._grant(log)
        return log

    def _grant(self, log: LogEvidence) -> None:
        # The ledger may have been read before the first file of this client.
        known = self.ledger.clients.get(log.client)
        if known is not None and known.first_session is not None:
            log.times.catch_up.grant(*known.first_session)

    def _add_torn(self, file: LogFileReader | LedgerFileReader, size: int) -> None:
        chain = file.chain
        chain.number += 1
        kind, detail = "torn", f"{size} bytes without a newline: the writer was cut short"
        if isinstance(file, LogFileReader):
            # The next session records the tail under this name in its open line, and the two must not count twice.
            named = blocklog.file_name(*file.segment) if file.segment else file.source.name
            torn = file.log.torn
            torn[named] = max(size, torn.get(named, 0))
            # The process that wrote the end line writes nothing after it, so this is no line that was cut short.
            if file.ended:
                kind, detail = "misplaced", f"{size} bytes after the end line"
        chain.add_fault(kind, detail)


class RunLife(Protocol):
    """How a run began and ended: known from its ledger, or without one from the clients' logs."""

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
        # Damaged lines count: then the ledger is not lost, and its damage is reported.
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
