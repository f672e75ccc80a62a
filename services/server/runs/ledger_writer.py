"""The ledger file of one server process: appends entries at once, syncs them 5 times a second, reads all back at start.

A disk that refuses a write stops the sending of records but not the server.
"""

from __future__ import annotations

import heapq
import logging
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from operator import itemgetter
from pathlib import Path

from services.contract import bounds, ledger
from services.contract.errors import LineError, MalformedLine, TornLine, UnsupportedVersion
from services.contract.histogram import Histogram
from services.contract.jsonl import FIRST
from services.contract.scalars import MAX_INTEGER, utc_us
from services.runtime.durable_file import LineFile, make_folder
from services.runtime.regular_files import FileLine, NotARegularFile, lines, open_regular
from services.server.runs import ledger_lock
from services.server.runs.exchange import LedgerListener

log = logging.getLogger(__name__)

Then = Callable[[], None]
"""Called once an entry has been written."""

MAX_LINE = bounds.LEDGER_LINE_BYTES.value
"""Longest line, in bytes, that is read back."""

_READ_BYTES = 256 * 1024
_MAX_REASON_LENGTH = 300


class LedgerWriter:
    """Writes one server process's ledger of one run.

    While the disk refuses, entries wait in order, and so do the callbacks that must follow them, such as the frame that
    confirms a receipt; `is_writable` is False then, and no record may be sent.

    After a failed sync the kernel may consider pages clean that never reached the disk, so the next sync would succeed
    without effect. Therefore everything since the last good sync is written again, in its place, before the next one.

    Args:
        path: of the file.
        listener: is informed of its progress; None where other servers read the file itself.

    Attributes:
        path: of the file.
        lock: that this process holds on it, as `ledger_lock.hold` returns it.
        line_count: number of lines written.
        sync_durations: of the syncs that succeeded, nanoseconds.
    """

    def __init__(self, path: Path, listener: LedgerListener | None = None) -> None:
        """Create the file.

        Raises:
            FileExistsError: another process has claimed the name.
            OSError: the disk refuses.
        """
        self.path, self._listener = path, listener
        make_folder(path.parent)
        self._file = LineFile(path)
        self.lock = ledger_lock.hold(self._file.fileno())
        self._prev = FIRST
        self._waiting: deque[tuple[ledger.Entry | None, Then | None]] = deque()
        self._unsynced: list[bytes] = []
        self._synced_bytes = 0
        # `sync` runs in a thread beside the event loop, and `close` may call it at the same time.
        self._sync_lock = threading.Lock()
        self._has_write_failed = self._has_sync_failed = False
        self.line_count = 0
        self.sync_durations = Histogram()

    @property
    def waiting_lines(self) -> int:
        """Number of entries that the disk has not accepted yet."""
        return sum(entry is not None for entry, _ in self._waiting)

    @property
    def is_writable(self) -> bool:
        """Whether every entry so far has been written and the last sync did not fail."""
        return not self._waiting and not self._has_sync_failed

    def append(self, entry: ledger.Entry, then: Then | None = None) -> None:
        """Write an entry; call ``then`` once it is written."""
        # Known limit: the event loop itself writes, so a slow write delays sending by as long. Syncs have a thread.
        self._enqueue(entry, then)

    def when_written(self, then: Then) -> None:
        """Call ``then`` once every entry so far is written."""
        self._enqueue(None, then)

    def _enqueue(self, entry: ledger.Entry | None, then: Then | None) -> None:
        self._waiting.append((entry, then))
        if len(self._waiting) == 1:
            self.flush()

    def flush(self) -> None:
        """Write the waiting entries until the disk refuses one."""
        while self._waiting:
            entry, then = self._waiting[0]
            if entry is not None and not self._write(entry):
                return
            # Removed before the callback, which may append the next entry.
            self._waiting.popleft()
            if then is not None:
                then()

    def _write(self, entry: ledger.Entry) -> bool:
        """Write one entry; return whether the disk accepted it."""
        line, crc = ledger.codec.encode(entry, self._prev)
        try:
            if self._has_write_failed:
                # The failed write may have left a part of the line behind.
                self._file.cut_back(self._file.size)
            self._file.append(line)
        except OSError as problem:
            if not self._has_write_failed:
                log.warning("ledger refused, sending stops", extra={"path": str(self.path), "why": str(problem)})
            self._has_write_failed = True
            return False
        if self._has_write_failed:
            log.info("ledger accepts again", extra={"path": str(self.path)})
            self._has_write_failed = False
        self._prev = crc
        self._unsynced.append(line)
        self.line_count += 1
        return True

    def sync(self) -> None:
        """Force the written lines to disk; may run in a thread beside `append`.

        Raises:
            OSError: they may not be on disk; the next call writes them again in their place and syncs again.
        """
        with self._sync_lock:
            self._sync()

    def _sync(self) -> None:
        # A copy: the event loop may append lines meanwhile, which the next call syncs.
        lines = self._unsynced[:]
        if not lines:
            return
        data, began_ns = b"".join(lines), time.monotonic_ns()
        try:
            if self._has_sync_failed:
                self._file.write_again(data, self._synced_bytes)
            self._file.sync()
        except OSError as problem:
            if not self._has_sync_failed:
                log.warning("ledger not synced, sending stops", extra={"path": str(self.path), "why": str(problem)})
            self._has_sync_failed = True
            raise
        self.sync_durations.record([time.monotonic_ns() - began_ns])
        del self._unsynced[: len(lines)]
        self._synced_bytes += len(data)
        if self._listener is not None:
            self._listener.synced(self._synced_bytes)
        if self._has_sync_failed:
            log.info("ledger synced again", extra={"path": str(self.path)})
            self._has_sync_failed = False

    def touch(self) -> None:
        """Update the file's modification time, which shows other servers that this one lives."""
        self._file.touch()
        if self._listener is not None:
            self._listener.touched()

    def close(self) -> None:
        """Write the waiting entries, sync and close.

        Raises:
            OSError: the disk refused twice; a later call tries again.
        """
        if self._file.is_open:
            self.flush()
            try:
                self.sync()
            except OSError:
                # The second sync first writes again what the failed one may have dropped.
                self.sync()
            self._file.close()


def read_entries(folder: Path) -> Iterator[ledger.Entry | None]:
    """Yield the entries of all ledgers of a run in the order of their times, in little memory.

    Torn and damaged lines are skipped: the collector reports them. An intact line in an unknown format yields None,
    because its effect on the run is unknown.
    """
    # The merge is stable: entries of one file keep their order even if the clock was set back between them.
    timed = heapq.merge(*(_timed_entries(path) for path in sorted(folder.glob("*.jsonl"))), key=itemgetter(0))
    return (entry for _, entry in timed)


def _timed_entries(path: Path) -> Iterator[tuple[str, ledger.Entry | None]]:
    """Yield the entries of one ledger, each with the latest time so far, so that the times ascend."""
    at, skipped, why = "", 0, ""
    for line in _read_lines(path):
        entry: ledger.Entry | None = None
        try:
            if line.data is None:
                raise (MalformedLine if line.ended else TornLine)(
                    f"{line.size} bytes; a line of a ledger has at most {MAX_LINE}"
                )
            entry = ledger.codec.decode(line.data)[1]
            at = max(at, _checked_time(entry.at))
            yield at, entry
        except LineError as problem:
            skipped, why = skipped + 1, why or f"at byte {line.at}: {problem}"[:_MAX_REASON_LENGTH]
            if isinstance(problem, (MalformedLine, UnsupportedVersion)):
                yield at, None
    if skipped:
        log.warning("ledger lines skipped", extra={"path": str(path), "lines": skipped, "why": why})


def _read_lines(path: Path) -> Iterator[FileLine]:
    """Yield the lines of a file, which is opened again for each piece of it.

    All ledgers of a run are merged at once, and there may be more of them than this process may open files.
    """
    offset, has_more = 0, True
    while has_more:
        piece, began, has_more = list[FileLine](), offset, False
        try:
            with open_regular(path) as file:
                file.seek(offset)
                for line in lines(file, MAX_LINE, MAX_INTEGER):
                    piece.append(line)
                    offset = line.at + line.size
                    if has_more := offset - began >= _READ_BYTES:
                        break
        except NotARegularFile as problem:
            log.warning("not a ledger", extra={"path": str(path), "why": str(problem)})
        yield from piece


def _checked_time(at: str) -> str:
    """Return the time of an entry.

    Raises:
        MalformedLine: it is not a time, or not within the integers that every JSON reader keeps exact.
    """
    try:
        is_valid = 0 <= utc_us(at) <= MAX_INTEGER
    except (ValueError, OverflowError):
        is_valid = False
    if not is_valid:
        raise MalformedLine(f"{at[:40]!r} is not a time")
    return at


def last_alive_us(folder: Path) -> int:
    """Return when a server last touched a ledger of this run, epoch microseconds; 0 without a ledger."""
    # As in `read_entries`, only regular files are ledgers: a link may lead elsewhere, or to itself.
    states = (path.lstat() for path in folder.glob("*.jsonl"))
    return max((state.st_mtime_ns // 1000 for state in states if stat.S_ISREG(state.st_mode)), default=0)
