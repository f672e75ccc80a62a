"""Both sides of the books of one run. A pure fold: it takes lines and gives back what they say, in any order."""

from __future__ import annotations

from collections.abc import Iterable

from services.collector.reconcile.chain import Damage
from services.collector.reconcile.ledgerside import LedgerBook, LedgerFile
from services.collector.reconcile.logside import LogBook, LogFile
from services.collector.reconcile.times import RunTimes
from services.collector.scan import Source, Tail
from services.contract import blocklog


class RunBooks:
    """One run: the ledger, and the log of every client."""

    def __init__(self, run: str) -> None:
        self.run = run
        self.times = RunTimes()
        self.ledger = LedgerBook()
        self.logs: dict[str, LogBook] = {}

    def take(self, source: Source, line: bytes) -> None:
        """Enter one line, newline included. A file's lines come in their order, the files in any."""
        self._file(source).take(line)

    def take_sources(self, sources: Iterable[Source]) -> None:
        """Note files that may not have a line yet: a client has claimed them."""
        for source in sources:
            self._file(source)

    def take_tails(self, tails: Iterable[Tail]) -> None:
        """Enter what remained of files that nobody writes any more."""
        for tail in tails:
            file = self._file(tail.source)
            if tail.refused:
                file.chain.damages.append(
                    Damage(tail.source, 0, "unreadable", f"the file cannot be read: {tail.refused}", 0)
                )
            else:
                self._torn(file, tail.size)

    @property
    def ended_at(self) -> str | None:
        """When the run ended by its ledger, None while it has not."""
        return self.ledger.end.at if self.ledger.end else None

    @property
    def lacks_ledger(self) -> bool:
        """Whether clients have logged under a subscription, and no server's ledger tells of it: it is lost."""
        is_empty = not any(file.chain.number for file in self.ledger.files)
        return is_empty and any(log.opens for log in self.logs.values())

    def is_sealed(self, client: str, session: int | None = None) -> bool:
        """Tell whether a client closed a session well, its last one unless another is named."""
        log = self.logs.get(client)
        # A session that only claimed its file has nothing to close.
        segments = {*log.opens, *log.ends} if log else set()
        if session is not None:
            segments = {segment for segment in segments if segment[0] == session}
        if log is None or not segments:
            return False
        reasons = set(log.ends.get(max(segments), {}).values())
        # After these two a further segment has to follow.
        return bool(reasons) and not reasons & {"rotated", "error"}

    def _file(self, source: Source) -> LogFile | LedgerFile:
        if source.client is None:
            return self.ledger.file(source)
        if source.client not in self.logs:
            self.logs[source.client] = LogBook(source.client, self.times)
        return self.logs[source.client].file(source)

    def _torn(self, file: LogFile | LedgerFile, size: int) -> None:
        chain = file.chain
        chain.number += 1
        kind, detail = "torn", f"{size} bytes without a newline: the writer was cut short"
        if isinstance(file, LogFile):
            named = blocklog.file_name(*file.segment) if file.segment else file.source.name
            torn = file.book.torn
            torn[named] = max(size, torn.get(named, 0))
            if file.ended:
                kind, detail = "misplaced", f"{size} bytes after the end line"
        chain.note(kind, detail)
