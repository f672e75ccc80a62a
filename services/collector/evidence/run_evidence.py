"""Both sides of the books of one run. A pure fold: it takes lines and gives back what they say, in any order."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from services.collector.evidence.ledger_evidence import LedgerEvidence, LedgerFileReader
from services.collector.evidence.line_chain import FileDamage
from services.collector.evidence.log_evidence import LogEvidence, LogFileReader
from services.collector.evidence.timing import RunTiming
from services.collector.scan import FileTail, Source
from services.contract import blocklog
from services.contract.scalars import utc_text
from services.contract.summary import RunState


def unhurried() -> None:
    """Do not rest."""


class RunEvidence:
    """One run: the ledger, and the log of every client.

    Whoever sums them up calls ``rest`` between one client and the next: with many it takes long, and a collector that
    measures beside what it measures must not hold up a processor.
    """

    def __init__(self, run: str, rest: Callable[[], None] = unhurried) -> None:
        self.run = run
        self.rest = rest
        self.times = RunTiming()
        self.ledger = LedgerEvidence()
        self.logs: dict[str, LogEvidence] = {}

    def take(self, source: Source, line: bytes) -> None:
        """Enter one line, newline included. A file's lines come in their order, the files in any."""
        self._file(source).take(line)

    def take_sources(self, sources: Iterable[Source]) -> None:
        """Note files that may not have a line yet: a client has claimed them."""
        for source in sources:
            self._file(source)

    def take_tails(self, tails: Iterable[FileTail]) -> None:
        """Enter what remained of files that nobody writes any more."""
        for tail in tails:
            file = self._file(tail.source)
            if tail.refused:
                file.chain.damages.append(
                    FileDamage(tail.source, 0, "unreadable", f"the file cannot be read: {tail.refused}", 0)
                )
            else:
                self._torn(file, tail.size)

    def settle(self) -> None:
        """Tell catch-up from latency by all that is known now; to be called before either is asked for."""
        for name, log in self.logs.items():
            if log.times.catch_up.is_open:
                client = self.ledger.clients.get(name)
                if client is not None and (first := client.first_session) is not None:
                    log.times.catch_up.granted(*first)

    @property
    def ended_at(self) -> str | None:
        """When the run ended by its ledger, None while it has not; without one of ours, when the last record came."""
        if self.is_one_sided:
            return max((utc_text(log.times.last_us) for log in self.logs.values() if log.times.last_us), default=None)
        return self.ledger.end.at if self.ledger.end else None

    @property
    def is_one_sided(self) -> bool:
        """Whether the clients listened to a feed that is not ours: nobody says then what was sent."""
        return any(log.is_external for log in self.logs.values())

    @property
    def until_us(self) -> int | None:
        """When a run without a server of ours is to end, epoch microseconds; None when nothing says so."""
        return max((log.until_us for log in self.logs.values() if log.until_us is not None), default=None)

    @property
    def state(self) -> RunState:
        """Where the run stands in its life."""
        if not self.is_one_sided:
            return self.ledger.state
        logging = [name for name, log in self.logs.items() if log.opens]
        return "ended" if all(self.is_sealed(name) for name in logging) else "running"

    @property
    def is_finished(self) -> bool:
        """Whether the run was played to its end: without a server of ours a client says so that stayed until then."""
        if not self.is_one_sided:
            return bool(self.ledger.ends)
        return any("finished" in self.last_reasons(name) for name in self.logs)

    @property
    def lacks_ledger(self) -> bool:
        """Whether clients have logged under a subscription, and no server's ledger tells of it: it is lost."""
        is_empty = not any(file.chain.number for file in self.ledger.files)
        return is_empty and not self.is_one_sided and any(log.opens for log in self.logs.values())

    def is_sealed(self, client: str, session: int | None = None) -> bool:
        """Tell whether a client closed a session well, its last one unless another is named."""
        log = self.logs.get(client)
        # A session that only claimed its file has nothing to close.
        segments = {*log.opens, *log.ends} if log else set()
        if session is not None:
            segments = {segment for segment in segments if segment[0] == session}
        if log is None or not segments:
            return False
        reasons = self.last_reasons(client, session)
        # After these two a further segment has to follow.
        return bool(reasons) and not reasons & {"rotated", "error"}

    def last_reasons(self, client: str, session: int | None = None) -> set[str]:
        """Return how a client closed the last file of a session, its last one unless another is named."""
        log = self.logs[client]
        segments = {segment for segment in (*log.opens, *log.ends) if session in (None, segment[0])}
        return set(log.ends.get(max(segments), {}).values()) if segments else set()

    def _file(self, source: Source) -> LogFileReader | LedgerFileReader:
        if source.client is None:
            return self.ledger.file(source)
        if source.client not in self.logs:
            self.logs[source.client] = LogEvidence(source.client, self.times)
        return self.logs[source.client].file(source)

    def _torn(self, file: LogFileReader | LedgerFileReader, size: int) -> None:
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
