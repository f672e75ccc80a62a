"""The evidence of one run: its ledger, and the block logs of its clients. Pure: lines in, facts out, in any order."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from services.collector.cpu_yield import no_yield
from services.collector.evidence.ledger_evidence import LedgerEvidence, LedgerFileReader
from services.collector.evidence.line_chain import FileDamage
from services.collector.evidence.log_evidence import LogEvidence, LogFileReader
from services.collector.evidence.timestamps import bounded, moment
from services.collector.evidence.timing import RunTiming
from services.collector.scan import FileTail, Source
from services.contract import blocklog, ledger
from services.contract.scalars import utc_text
from services.contract.summary import RunState


class RunEvidence:
    """One run: the ledger, and the log of every client.

    Code that goes through all clients calls ``yield_cpu`` between one and the next: with many clients it takes long,
    and a collector that runs beside what it measures must not keep a processor (see `cpu_yield`).
    """

    def __init__(self, run: str, yield_cpu: Callable[[], None] = no_yield) -> None:
        self.run = run
        self.yield_cpu = yield_cpu
        self.times = RunTiming()
        self.ledger = LedgerEvidence()
        self.logs: dict[str, LogEvidence] = {}

    def without(self, sources: Collection[str | None]) -> RunEvidence:
        """Return the evidence of the same run without the logs of some clients, and for None without the ledger.

        What is left out has to be added again. The logs that stay are shared with this evidence, not copied.
        """
        rest = RunEvidence(self.run, self.yield_cpu)
        rest.logs = {name: log for name, log in self.logs.items() if name not in sources}
        if None not in sources:
            rest.ledger = self.ledger
        return rest

    def add_line(self, source: Source, line: bytes) -> None:
        """Add one line, newline included. The lines of a file come in their order, the files in any."""
        if source.client is not None:
            self._log(source.client).add_line(source, line)
            return
        entry = self.ledger.add_line(source, line)
        if isinstance(entry, ledger.SubscribeEntry):
            if not entry.observe and entry.client in self.logs:
                self.logs[entry.client].times.catch_up.grant(entry.fence, entry.session)
        elif isinstance(entry, ledger.PaceEntry):
            if entry.first == 1:
                self.times.buckets.cover(bounded(entry.due_us))
        elif isinstance(entry, ledger.EndEntry):
            at_us = moment(entry.at)
            if at_us is not None:
                self.times.buckets.cover(at_us)

    def add_sources(self, sources: Iterable[Source]) -> None:
        """Add files that may not have a line yet: a client has claimed them."""
        for source in sources:
            self._file(source)

    def add_tails(self, tails: Iterable[FileTail]) -> None:
        """Add the rests of files that no process writes any more."""
        for tail in tails:
            file = self._file(tail.source)
            if tail.refused:
                file.chain.damages.append(
                    FileDamage(tail.source, 0, "unreadable", f"the file cannot be read: {tail.refused}", 0)
                )
            else:
                self._add_torn(file, tail.size)

    @property
    def ended_at(self) -> str | None:
        """When the run ended by its ledger, None while it goes on; of an external feed, when the last record came."""
        if self.is_one_sided:
            return max((utc_text(log.times.last_us) for log in self.logs.values() if log.times.last_us), default=None)
        return self.ledger.end.at if self.ledger.end else None

    @property
    def is_one_sided(self) -> bool:
        """Whether the clients listened to an external feed: then no ledger says which records were sent."""
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
    def state(self) -> RunState:
        """Where the run is in its life."""
        if not self.is_one_sided:
            return self.ledger.state
        logging = [name for name, log in self.logs.items() if log.opens]
        return "ended" if all(self.is_sealed(name) for name in logging) else "running"

    @property
    def is_finished(self) -> bool:
        """Whether the run was played to its end; of an external feed, whether any client stayed until its end."""
        if not self.is_one_sided:
            return bool(self.ledger.ends)
        return any("finished" in self.last_reasons(name) for name in self.logs)

    @property
    def lacks_ledger(self) -> bool:
        """Whether the ledger is lost: clients have logged under a subscription, and no line of a ledger exists."""
        is_empty = not any(file.chain.number for file in self.ledger.files)
        return is_empty and not self.is_one_sided and any(log.opens for log in self.logs.values())

    def subscription(self, client: str, session: int) -> ledger.SubscribeEntry | None:
        """Return the first subscription of a client's session by the ledger, None if it has none."""
        known = self.ledger.clients.get(client)
        entries = [entry for entry in known.subscriptions.values() if entry.session == session] if known else []
        return min(entries, key=lambda entry: entry.fence, default=None)

    def is_sealed(self, client: str, session: int | None = None) -> bool:
        """Return whether a client sealed its log in a session, in its last one unless another is named."""
        log = self.logs.get(client)
        # A session that only claimed its file has nothing to seal.
        segments = {*log.opens, *log.ends} if log else set()
        if session is not None:
            segments = {segment for segment in segments if segment[0] == session}
        if log is None or not segments:
            return False
        reasons = self.last_reasons(client, session)
        # After these two reasons another segment has to follow.
        return bool(reasons) and not reasons & {"rotated", "error"}

    def last_reasons(self, client: str, session: int | None = None) -> set[str]:
        """Return why the last file of a session was ended; the last session counts unless another is named."""
        log = self.logs[client]
        segments = {segment for segment in (*log.opens, *log.ends) if session in (None, segment[0])}
        return set(log.ends.get(max(segments), {}).values()) if segments else set()

    def _file(self, source: Source) -> LogFileReader | LedgerFileReader:
        if source.client is None:
            return self.ledger.file(source)
        return self._log(source.client).file(source)

    def _log(self, client: str) -> LogEvidence:
        log = self.logs.get(client)
        if log is None:
            log = self.logs[client] = LogEvidence(client, self.times)
            known = self.ledger.clients.get(client)
            if known is not None and known.first_session is not None:
                log.times.catch_up.grant(*known.first_session)
        return log

    def _add_torn(self, file: LogFileReader | LedgerFileReader, size: int) -> None:
        chain = file.chain
        chain.number += 1
        kind, detail = "torn", f"{size} bytes without a newline: the writer was cut short"
        if isinstance(file, LogFileReader):
            named = blocklog.file_name(*file.segment) if file.segment else file.source.name
            torn = file.book.torn
            torn[named] = max(size, torn.get(named, 0))
            if file.ended:
                kind, detail = "misplaced", f"{size} bytes after the end line"
        chain.note(kind, detail)
