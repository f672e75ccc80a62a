"""Writes the block log: one call of the logging module per block, durable before anybody is told.

A file that refuses a write or a sync is cut back to its last good line and given up; what it refused is written to a
new segment, and not before the cut has succeeded, else it would stand twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections import deque
from typing import Any, Generic, TypeVar

import msgspec
from pythonjsonlogger.core import BaseJsonFormatter

from services.client.fence import Fence, Superseded
from services.contract import blocklog
from services.contract.jsonl import FIRST, fields, seal
from services.contract.scalars import Span, utc_text
from services.runtime.clock import Clock
from services.runtime.durable_file import LineFile
from services.runtime.saturation import SaturationWindow


class LineFormatter(BaseJsonFormatter):
    """Formats a logged mapping as a line of the block log: checked, and chained to the line before.

    ``prev`` is the digest of the last line that is known to be written, ``crc`` that of the one formatted last.
    """

    def __init__(self) -> None:
        # No field of the logging module's own: a line holds what its format says.
        super().__init__([])
        self.prev = self.crc = FIRST
        self._encoder = msgspec.json.Encoder()
        self._buffer = bytearray()

    def line(self, record: logging.LogRecord) -> bytes:
        """Return the line with its newline: what `format` returns, as the bytes that a file takes."""
        log_data: dict[str, Any] = {}
        self.add_fields(log_data, record, dict(record.msg) if isinstance(record.msg, dict) else {})
        return self._sealed(self.process_log_record(log_data))

    def jsonify_log_record(self, log_data: dict[str, Any]) -> str:
        """Return the line with its newline, as text."""
        return self._sealed(log_data).decode()

    def _sealed(self, log_data: dict[str, Any]) -> bytes:
        # Into the same memory every time: a block has hundreds of kilobytes.
        self._encoder.encode_into(log_data, self._buffer)
        line, self.crc = seal(self._buffer, self.prev)
        return line


class DurableHandler(logging.Handler):
    """Appends formatted lines to the current segment. Unlike the stock handlers it lets a refusal be known."""

    def __init__(self, formatter: LineFormatter) -> None:
        super().__init__()
        self.lines = formatter
        self.setFormatter(formatter)
        self.file: LineFile | None = None
        self.sha256 = hashlib.sha256()

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line with one call.

        Raises:
            OSError: it is not in the file.
        """
        if self.file is None:
            raise OSError("no segment is open")
        line = self.lines.line(record)
        self.file.append(line)
        self.lines.prev = self.lines.crc
        self.sha256.update(line)


Written = TypeVar("Written", blocklog.BlockHeader, blocklog.ExternalBlockHeader | blocklog.ConnectionLine)
"""Blocks of our own feed; or blocks of an external feed, and what became of the connections to it."""
_BLOCKS = (blocklog.BlockHeader, blocklog.ExternalBlockHeader)


def messages_in(
    entry: blocklog.BlockHeader | blocklog.ExternalBlockHeader | blocklog.ConnectionLine,
) -> int:
    """Return how many messages a line holds; a line that is no block holds none."""
    return 0 if isinstance(entry, blocklog.ConnectionLine) else entry.count


def _begins_after(
    entry: blocklog.BlockHeader | blocklog.ExternalBlockHeader | blocklog.ConnectionLine, seq: int
) -> bool:
    # A line that is no block holds nothing that another process could have asked for.
    return isinstance(entry, blocklog.ConnectionLine) or entry.begins_after(seq)


class BlockLog(Generic[Written]):
    """The files of one session. Blocks are put in, and come out of `push` or `sync` once they are durable.

    Not for two threads at a time.
    """

    def __init__(self, claimed: LineFile, opening: blocklog.OpenLine, clock: Clock, strain: SaturationWindow) -> None:
        """Take over the session's first file, which was claimed empty; ``opening`` is its first line.

        Every file's last line says how much this process was strained in the window.
        """
        self.folder, self._opening, self._clock, self._strain = claimed.path.parent, opening, clock, strain
        self._fence = Fence(self.folder, opening.session)
        self._formatter = LineFormatter()
        self._handler = DurableHandler(self._formatter)
        # Not by getLogger: a log belongs to its session and must not outlive it in the logging module.
        self._logger = logging.Logger(f"blocklog.{opening.client}")  # noqa: LOG001
        self._logger.addHandler(self._handler)
        self._new: LineFile | None = claimed
        self._segment = 1
        self._waiting: deque[Written] = deque()
        self._unsynced: deque[Written] = deque()
        self._good = (0, FIRST)
        self._uncut: tuple[LineFile, int] | None = None
        self._blocks = self._messages = 0

    def put(self, block: Written) -> None:
        """Take a block; `push` writes it."""
        self._waiting.append(block)

    @property
    def waiting(self) -> bool:
        """Whether `push` has something to write."""
        return bool(self._waiting)

    def push(self) -> list[Written]:
        """Write the blocks that wait, up to the end of the segment, and sync as the log's ``fsync`` says.

        Blocks that wait together share a sync. Returns those that are durable now.

        Raises:
            Superseded: another process logs under this name; nothing is written any more.
            OSError: the disk refuses; nothing is lost, and a later call goes on.
        """
        self._fence.hold()
        try:
            self._open_segment()
            while self._waiting and not self._full():
                self._logger.info(fields(self._waiting[0]))
                block = self._waiting.popleft()
                self._unsynced.append(block)
                self._blocks += isinstance(block, _BLOCKS)
                self._messages += messages_in(block)
        except OSError:
            self._give_up()
            raise
        self._hold_again()
        if self._opening.fsync == "none":
            durable = self._settle()
        else:
            durable = self.sync() if self._opening.fsync == "block" or self._full() else []
        if self._full():
            self._rotate()
        return durable

    def _hold_again(self) -> None:
        try:
            self._fence.hold()
        except Superseded as other:
            # Frozen on the way to the disk: the other process asked for whatever it did not find there.
            if all(_begins_after(block, other.after) for block in self._unsynced):
                self._give_up()
            raise

    def sync(self) -> list[Written]:
        """Force to disk what was written; return the blocks that this made durable.

        Raises:
            OSError: they may not be there: they will be written again, elsewhere.
        """
        if self._handler.file is None or not self._unsynced:
            return []
        try:
            self._handler.file.sync()
        except OSError:
            self._give_up()
            raise
        return self._settle()

    def end(self, reason: blocklog.FileEndReason, duplicates: int, reordered: int, corrupt: list[Span]) -> None:
        """Close the current file well, with its last line.

        Raises:
            OSError: the disk refuses; the file is left without that line, and a later call tries again.
        """
        if reason != "error":
            self._open_segment()
        file = self._handler.file
        if file is None:
            return
        kind = blocklog.EndLine if self._opening.external is None else blocklog.ExternalEndLine
        entry = kind(
            reason=reason,
            block_count=self._blocks,
            message_count=self._messages,
            byte_count=file.size,
            duplicates=duplicates,
            reordered=reordered,
            corrupt=corrupt,
            sha256=self._handler.sha256.hexdigest(),
            **self._strain.reading()._asdict(),
        )
        good = file.size, self._formatter.prev, self._handler.sha256.copy()
        try:
            self._logger.info(fields(entry))
            file.sync()
        except OSError:
            size, self._formatter.prev, self._handler.sha256 = good
            if not self._cut(file, size):
                self._handler.file = None
            raise
        self._close()

    def abandon(self) -> None:
        """Close the files as they are: a refusing disk has had its chance."""
        for file in (self._handler.file, self._new, self._uncut[0] if self._uncut is not None else None):
            if file is not None:
                file.close()

    def _full(self) -> bool:
        return self._handler.file is not None and self._handler.file.size >= blocklog.SEGMENT_BYTES

    def _settle(self) -> list[Written]:
        durable = list(self._unsynced)
        if self._handler.file is not None:
            self._unsynced.clear()
            self._good = (self._handler.file.size, self._formatter.prev)
        return durable

    def _rotate(self) -> None:
        try:
            self.end("rotated", 0, 0, [])
        except OSError:
            # All blocks of the segment are durable; only its last line is lacking.
            self._close()

    def _open_segment(self) -> None:
        if self._uncut is not None:
            file, size = self._uncut
            file.cut_back(size)
            file.close()
            self._uncut = None
        if self._handler.file is not None:
            return
        if self._new is None:
            self._segment += 1
            self._new = LineFile(self.folder / blocklog.file_name(self._opening.session, self._segment))
        # A file that takes no first line yet is kept, empty, for the next attempt.
        self._handler.file, self._handler.sha256 = self._new, hashlib.sha256()
        try:
            opening = {**fields(self._opening), "segment": self._segment, "opened_at": utc_text(self._clock.now_us())}
            self._logger.info(opening)
        except OSError:
            self._handler.file = None
            if not self._cut(self._new, 0):
                self._new = None
            raise
        # What earlier sessions left is said once, where this session begins.
        self._opening = msgspec.structs.replace(self._opening, torn=[])
        self._new, self._blocks, self._messages = None, 0, 0
        self._good = (self._handler.file.size, self._formatter.prev)

    def _cut(self, file: LineFile, size: int) -> bool:
        """Cut a file back; one that refuses even that is cut before anything else is written."""
        try:
            file.cut_back(size)
        except OSError:
            self._uncut = (file, size)
        return self._uncut is None

    def _give_up(self) -> None:
        """Cut the file back to what is known to be good and leave it; what it lost waits to be written again."""
        file = self._handler.file
        if file is None:
            return
        size, self._formatter.prev = self._good
        self._blocks -= sum(isinstance(block, _BLOCKS) for block in self._unsynced)
        self._messages -= sum(map(messages_in, self._unsynced))
        self._waiting.extendleft(reversed(self._unsynced))
        self._unsynced.clear()
        self._handler.file = None
        if self._cut(file, size):
            self._say_error(file)
        if self._uncut is None:
            file.close()

    def _say_error(self, file: LineFile) -> None:
        # Best effort: a disk that refused a block may still take this line. The digest of the file is unknown when
        # lines were cut off again, so it is taken of what is there.
        with contextlib.suppress(OSError):
            self._handler.sha256 = hashlib.sha256(file.path.read_bytes())
            self._handler.file = file
            self.end("error", 0, 0, [])
        self._handler.file = None

    def _close(self) -> None:
        if self._handler.file is not None:
            self._handler.file.close()
            self._handler.file = None
