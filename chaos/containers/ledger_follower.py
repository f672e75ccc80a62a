"""Follows the ledger of a stack's run as it grows, in one thread, for all threads that wait for receipts."""

from __future__ import annotations

import threading
from bisect import bisect_left
from datetime import datetime
from pathlib import Path

from chaos.polling_thread import PollingThread
from services.contract.ledger import ReceiptEntry
from services.contract.ledger import codec as ledger_codec
from services.server.runs.run_state import RecordedRun
from tests.readers import Volumes

POLL_SECONDS = 0.1


class LedgerFollower(PollingThread):
    """Follows the ledger of a volumes folder with a single run. Times are epoch seconds."""

    def __init__(self, volumes: Volumes, total: int) -> None:
        super().__init__(self._follow, POLL_SECONDS)
        self._volumes, self._recorded = volumes, RecordedRun(total)
        self._lock = threading.Lock()
        self._offsets: dict[Path, int] = {}
        self._receipts: dict[str, list[tuple[float, int]]] = {}
        self._problem: Exception | None = None

    def head(self, at: float) -> int:
        """Return the last seq that was due at a time."""
        with self._lock:
            return self._recorded.schedule.head(int(at * 1_000_000))

    def last_receipted(self, client: str) -> int:
        """Return the last seq for which a client has a receipt, 0 for none."""
        self._raise_problem()
        with self._lock:
            return max((last for _, last in self._receipts.get(client, [])[-20:]), default=0)

    def first_fresh_receipt(self, client: str, since: float) -> float | None:
        """Return when a client got its first receipt for a record not yet due at ``since``; None if it has none."""
        self._raise_problem()
        beyond = self.head(since)
        with self._lock:
            receipts = self._receipts.get(client, [])
            later = receipts[bisect_left(receipts, (since, 0)) :]
        return next((at for at, last in later if last > beyond), None)

    def _raise_problem(self) -> None:
        if self._problem is not None:
            raise self._problem

    def _follow(self) -> None:
        try:
            self._read_new()
        except Exception as problem:  # noqa: BLE001 - the next query raises it
            self._problem = problem

    def _read_new(self) -> None:
        if not self._volumes.runs():
            return
        for path in self._volumes.ledger_files():
            with path.open("rb") as file:
                file.seek(self._offsets.get(path, 0))
                data = file.read()
            whole = data[: data.rfind(b"\n") + 1]
            self._offsets[path] = self._offsets.get(path, 0) + len(whole)
            with self._lock:
                for line in whole.splitlines(keepends=True):
                    self._add_line(line)

    def _add_line(self, line: bytes) -> None:
        _, entry = ledger_codec.decode(line)
        self._recorded.apply(entry)
        if isinstance(entry, ReceiptEntry):
            at = datetime.fromisoformat(entry.at).timestamp()
            self._receipts.setdefault(entry.client, []).append((at, entry.last))
