"""The ledger's file: lines are written at once and synced every 200 ms; a refusal stops the sending, not the server."""

from __future__ import annotations

import heapq
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from operator import itemgetter
from pathlib import Path

from services.contract import ledger
from services.contract.errors import LineError, MalformedLine, TornLine, UnsupportedVersion
from services.contract.histogram import Histogram
from services.contract.jsonl import FIRST
from services.contract.scalars import MAX_INTEGER, utc_us
from services.runtime.durable_file import LineFile, make_folder
from services.runtime.regular_files import FileLine, NotARegularFile, lines, open_regular

log = logging.getLogger(__name__)

Then = Callable[[], None]

MAX_LINE = 1024 * 1024
"""Bytes of a line that is read back. The longest ones are receipts, made of frames of 64 KiB."""

_PIECE = 256 * 1024
_MOST_SAID = 300


class LedgerWriter:
    """One server process's ledger of one run.

    While the disk refuses, lines wait in order; ``writable`` is false, nobody may be sent anything, and
    what was to follow an entry (a *recorded*, say) waits with it. A sync that failed is not simply tried again:
    what it was to force to disk is written once more first.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        make_folder(path.parent)
        self._file = LineFile(path)
        self._prev = FIRST
        self._waiting: deque[tuple[ledger.Entry | None, Then | None]] = deque()
        self._unsynced: list[bytes] = []
        self._synced = 0
        self._syncing = threading.Lock()
        self._refused = self._doubtful = False
        self.lines = 0
        self.syncs = Histogram()
        """How long those that succeeded took."""

    @property
    def waiting(self) -> int:
        """How many lines wait for the disk to take them."""
        return sum(entry is not None for entry, _ in self._waiting)

    @property
    def writable(self) -> bool:
        """Whether everything entered so far has been written, and the last sync did not fail."""
        return not self._waiting and not self._doubtful

    def enter(self, entry: ledger.Entry, then: Then | None = None) -> None:
        """Write an entry; call ``then`` once it is written."""
        self._take(entry, then)

    def follow(self, then: Then) -> None:
        """Call ``then`` once everything entered so far is written."""
        self._take(None, then)

    def _take(self, entry: ledger.Entry | None, then: Then | None) -> None:
        self._waiting.append((entry, then))
        if len(self._waiting) == 1:
            self.flush()

    def flush(self) -> None:
        """Write what waits, as far as the disk takes it."""
        while self._waiting:
            entry, then = self._waiting[0]
            if entry is not None and not self._written(entry):
                return
            self._waiting.popleft()
            if then is not None:
                then()

    def _written(self, entry: ledger.Entry) -> bool:
        line, crc = ledger.codec.encode(entry, self._prev)
        try:
            if self._refused:
                # A part of the line may stand there still.
                self._file.cut_back(self._file.size)
            self._file.append(line)
        except OSError as problem:
            if not self._refused:
                log.warning("ledger refused, sending stops", extra={"path": str(self.path), "why": str(problem)})
            self._refused = True
            return False
        if self._refused:
            log.info("ledger accepts again", extra={"path": str(self.path)})
            self._refused = False
        self._prev = crc
        self._unsynced.append(line)
        self.lines += 1
        return True

    def sync(self) -> None:
        """Force to disk what was written; may run in a thread beside `enter`.

        Raises:
            OSError: it may not be there; the next call writes it again, in its place, and tries again.
        """
        with self._syncing:
            self._sync()

    def _sync(self) -> None:
        # A line that is written meanwhile is synced by the next call.
        lines = self._unsynced[:]
        if not lines:
            return
        data, began = b"".join(lines), time.monotonic_ns()
        try:
            if self._doubtful:
                self._file.write_again(data, self._synced)
            self._file.sync()
        except OSError as problem:
            if not self._doubtful:
                log.warning("ledger not synced, sending stops", extra={"path": str(self.path), "why": str(problem)})
            self._doubtful = True
            raise
        self.syncs.record([time.monotonic_ns() - began])
        del self._unsynced[: len(lines)]
        self._synced += len(data)
        if self._doubtful:
            log.info("ledger synced again", extra={"path": str(self.path)})
            self._doubtful = False

    def touch(self) -> None:
        """Show in the file's time that this server lives."""
        self._file.touch()

    def close(self) -> None:
        """Sync and close.

        Raises:
            OSError: the disk refuses, the second time too; a later call tries again.
        """
        if self._file.is_open:
            self.flush()
            try:
                self.sync()
            except OSError:
                self.sync()
            self._file.close()


def entries(folder: Path) -> Iterator[ledger.Entry | None]:
    """Yield the lines of all ledgers of a run in the order of their times, a piece of each file in memory at a time.

    Torn tails are a crash's, damaged lines the collector's to report: both are passed over here. For a line that is
    whole and not of the format, so that nobody knows what it did to the run, None comes instead.
    """
    # Stable: lines of one file keep their order, whatever their times.
    timed = heapq.merge(*(_timed(path) for path in sorted(folder.glob("*.jsonl"))), key=itemgetter(0))
    return (entry for _, entry in timed)


def _timed(path: Path) -> Iterator[tuple[str, ledger.Entry | None]]:
    """Yield the lines of one ledger, each with its time, which never goes back."""
    at, passed_over, why = "", 0, ""
    for line in _lines(path):
        entry: ledger.Entry | None = None
        try:
            if line.data is None:
                raise (MalformedLine if line.ended else TornLine)(
                    f"{line.size} bytes; a line of a ledger has at most {MAX_LINE}"
                )
            entry = ledger.codec.decode(line.data)[1]
            at = max(at, _checked(entry.at))
            yield at, entry
        except LineError as problem:
            passed_over, why = passed_over + 1, why or f"at byte {line.at}: {problem}"[:_MOST_SAID]
            if isinstance(problem, (MalformedLine, UnsupportedVersion)):
                yield at, None
    if passed_over:
        log.warning("ledger lines passed over", extra={"path": str(path), "lines": passed_over, "why": why})


def _lines(path: Path) -> Iterator[FileLine]:
    """Yield the lines of a file that is not held open between pieces: a run may have more ledgers than descriptors."""
    at, more = 0, True
    while more:
        piece, began, more = list[FileLine](), at, False
        try:
            with open_regular(path) as file:
                file.seek(at)
                for line in lines(file, MAX_LINE, MAX_INTEGER):
                    piece.append(line)
                    at = line.at + line.size
                    if more := at - began >= _PIECE:
                        break
        except NotARegularFile as problem:
            log.warning("not a ledger", extra={"path": str(path), "why": str(problem)})
        yield from piece


def _checked(at: str) -> str:
    """Return the time of a line.

    Raises:
        MalformedLine: it is none, or none that can be counted in our integers.
    """
    try:
        good = 0 <= utc_us(at) <= MAX_INTEGER
    except (ValueError, OverflowError):
        good = False
    if not good:
        raise MalformedLine(f"{at[:40]!r} is no time")
    return at


def last_alive_us(folder: Path) -> int:
    """Return when a server last showed life in this run, epoch microseconds."""
    return max((path.stat().st_mtime_ns // 1000 for path in folder.glob("*.jsonl")), default=0)
