"""The ledger of a stack's run while it grows: read once, by one thread, for whoever waits for a receipt."""

from __future__ import annotations

import threading
from bisect import bisect_left
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from services.contract.ledger import ReceiptEntry
from services.contract.ledger import codec as ledger_codec
from services.server.runs.run_state import RecordedRun
from tests.readers import Volumes

POLL_SECONDS = 0.1


class Follower:
    """Tails the ledger of the only run of some volumes. Times are epoch seconds."""

    def __init__(self, volumes: Volumes, total: int) -> None:
        self._volumes, self._book = volumes, RecordedRun(total)
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._offsets: dict[Path, int] = {}
        self._receipts: dict[str, list[tuple[float, int]]] = {}
        self._problem: Exception | None = None
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join()

    def head(self, at: float) -> int:
        """Return the last seq that was due at a time."""
        with self._lock:
            return self._book.schedule.head(int(at * 1_000_000))

    def receipted(self, client: str) -> int:
        """Return the last seq that a client has a receipt for, 0 for none."""
        self._raise()
        with self._lock:
            return max((last for _, last in self._receipts.get(client, [])[-20:]), default=0)

    def fresh(self, client: str, since: float) -> float | None:
        """Return when a client first had a receipt for a record that was not due at a time; None while it has not."""
        self._raise()
        beyond = self.head(since)
        with self._lock:
            receipts = self._receipts.get(client, [])
            later = receipts[bisect_left(receipts, (since, 0)) :]
        return next((at for at, last in later if last > beyond), None)

    def _raise(self) -> None:
        if self._problem is not None:
            raise self._problem

    def _follow(self) -> None:
        try:
            while not self._stop.wait(POLL_SECONDS):
                self._read()
        except Exception as problem:  # noqa: BLE001 - whoever asks next is told
            self._problem = problem

    def _read(self) -> None:
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
                    self._take(line)

    def _take(self, line: bytes) -> None:
        _, entry = ledger_codec.decode(line)
        self._book.apply(entry)
        if isinstance(entry, ReceiptEntry):
            at = datetime.fromisoformat(entry.at).timestamp()
            self._receipts.setdefault(entry.client, []).append((at, entry.last))
