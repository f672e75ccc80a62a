"""The block log of one session: chained lines in segment files, one call of the logging module per line.

A line is returned to the caller once it is durable by the ``FSYNC`` policy, never before. A file that refuses a write
or a sync is cut back to its last durable line and given up; the lines it lost are written to a new segment. The cut
must succeed before that, or a block would be in the log twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections import deque
from collections.abc import Sequence
from typing import Any

import msgspec
from pythonjsonlogger.core import BaseJsonFormatter

from services.client.block_encoder import PendingLine
from services.client.fence import Fence, Superseded
from services.contract import blocklog
from services.contract.jsonl import FIRST, fields, seal
from services.contract.scalars import Span, utc_text
from services.runtime.clock import Clock
from services.runtime.durable_file import LineFile
from services.runtime.saturation import SaturationWindow


class LineFormatter(BaseJsonFormatter):
    """Formats a logged mapping as a line of the block log, with its checksum and a link to the line before.

    Attributes:
        prev: ``crc`` of the last line that was written.
        crc: ``crc`` of the last line that was formatted.
    """

    def __init__(self) -> None:
        # No fields of the logging module: a line holds exactly the fields that its format defines.
        super().__init__([])
        self.prev = self.crc = FIRST
        self._encoder = msgspec.json.Encoder()
        self._buffer = bytearray()

    def line(self, record: logging.LogRecord) -> bytes:
        """Return the line with its newline, as `format` does, but as bytes: blocks are large and need no decoding."""
        log_data: dict[str, Any] = {}
        self.add_fields(log_data, record, record.msg if isinstance(record.msg, dict) else {})
        return self._sealed(self.process_log_record(log_data))

    def jsonify_log_record(self, log_data: dict[str, Any]) -> str:
        """Return the line with its newline, as text."""
        return self._sealed(log_data).decode()

    def _sealed(self, log_data: dict[str, Any]) -> bytes:
        # One buffer for all lines: a block has hundreds of kilobytes, which the allocator would return to the system.
        self._encoder.encode_into(log_data, self._buffer)
        line, self.crc = seal(self._buffer, self.prev)
        return line


class DurableHandler(logging.Handler):
    """Appends formatted lines to the current segment. Unlike the stock handlers it raises when a write fails."""

    def __init__(self, formatter: LineFormatter) -> None:
        super().__init__()
        self.lines = formatter
        self.setFormatter(formatter)
        self.file: LineFile | None = None
        self.sha256 = hashlib.sha256()

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line with one system call.

        Raises:
            OSError: the line is not in the file.
        """
        if self.file is None:
            raise OSError("no segment is open")
        line = self.lines.line(record)
        self.file.append(line)
        self.lines.prev = self.lines.crc
        self.sha256.update(line)


class BlockLog:
    """Writes the files of one session. `put` queues lines, `write` and `sync` return those that became durable.

    Blocking, and not thread-safe: at most one thread may be in a method.
    """

    def __init__(
        self,
        claimed: LineFile,
        opening: blocklog.OpenLine,
        clock: Clock,
        window: SaturationWindow,
        *,
        segment_bytes: int = blocklog.SEGMENT_BYTES,
    ) -> None:
        """Take over the session's first file.

        Args:
            claimed: the file, empty.
            opening: its first line; later segments repeat it.
            clock: for the time at which a segment is opened.
            window: saturation of this process since the first record, for the last line of every file.
            segment_bytes: size from which on a file is closed and the next one begun.
        """
        self._segment_bytes = segment_bytes
        self.folder, self._opening, self._clock, self._window = claimed.path.parent, opening, clock, window
        self._fence = Fence(self.folder, opening.session)
        self._formatter = LineFormatter()
        self._handler = DurableHandler(self._formatter)
        # Not by getLogger: that would keep the logger of every session in memory for as long as the process runs.
        self._logger = logging.Logger(f"blocklog.{opening.client}")  # noqa: LOG001
        self._logger.addHandler(self._handler)
        self._next_file: LineFile | None = claimed
        self._segment = 1
        self._waiting: deque[PendingLine] = deque()
        self._unsynced: deque[PendingLine] = deque()
        # Size and last crc of the file up to which all lines are durable.
        self._durable_end = (0, FIRST)
        self._uncut: tuple[LineFile, int] | None = None
        self._block_count = self._message_count = 0

    def put(self, line: PendingLine) -> None:
        """Queue a line for `write`."""
        self._waiting.append(line)

    @property
    def has_waiting(self) -> bool:
        """Whether lines are queued for `write`."""
        return bool(self._waiting)

    def write(self) -> list[PendingLine]:
        """Write the queued lines, up to the end of the segment, and sync as the ``FSYNC`` policy demands.

        Lines that wait together share one sync: the same promise at a fraction of the cost.

        Returns:
            The lines that are durable now, in order.

        Raises:
            Superseded: another process logs under this name; nothing was written.
            OSError: the disk refuses; no line is lost, and the next call continues.
        """
        self._fence.check()
        try:
            self._open_segment()
            while self._waiting and not self._is_full():
                line = self._waiting[0]
                self._logger.info(line.fields)
                self._waiting.popleft()
                self._unsynced.append(line)
                self._count(line, 1)
        except OSError:
            self._give_up_file()
            raise
        self._check_fence_again()
        if self._opening.fsync == "none":
            durable = self._release_unsynced()
        else:
            durable = self.sync() if self._opening.fsync == "block" or self._is_full() else []
        if self._is_full():
            self._rotate()
        return durable

    def _check_fence_again(self) -> None:
        """Take back lines that were written after another process had read this folder."""
        try:
            self._fence.check()
        except Superseded as successor:
            # This process was frozen before the write: its successor asked the server for everything that it did not
            # find here. Lines that the successor may have read stay, the others would be in the log twice.
            if all(line.begins_after(successor.after) for line in self._unsynced):
                self._give_up_file()
            raise

    def sync(self) -> list[PendingLine]:
        """Force the written lines to disk; return those that this made durable.

        Raises:
            OSError: the lines may not be on disk; they will be written again, to another file.
        """
        if self._handler.file is None or not self._unsynced:
            return []
        try:
            self._handler.file.sync()
        except OSError:
            # After a failed sync the kernel may count dirty pages as clean, so a second sync proves nothing.
            self._give_up_file()
            raise
        return self._release_unsynced()

    def end(
        self,
        reason: blocklog.FileEndReason,
        duplicates: int,
        reordered: int,
        corrupt: list[Span],
        stalls: Sequence[blocklog.Stall] = (),
    ) -> None:
        """Write the last line of the current file and close it.

        Raises:
            OSError: the disk refuses; the file lacks its last line, and a later call tries again.
        """
        if reason != "error":
            self._open_segment()
        file = self._handler.file
        if file is None:
            return
        kind = blocklog.EndLine if self._opening.external is None else blocklog.ExternalEndLine
        entry = kind(
            reason=reason,
            block_count=self._block_count,
            message_count=self._message_count,
            byte_count=file.size,
            duplicates=duplicates,
            reordered=reordered,
            corrupt=corrupt,
            sha256=self._handler.sha256.hexdigest(),
            **self._window.reading()._asdict(),
            stalls=list(stalls),
        )
        # A line that cannot be written must leave no trace in chain and digest, or a later attempt would be wrong.
        before = file.size, self._formatter.prev, self._handler.sha256.copy()
        try:
            self._logger.info(fields(entry))
            file.sync()
        except OSError:
            size, self._formatter.prev, self._handler.sha256 = before
            if not self._cut(file, size):
                self._handler.file = None
            raise
        self._close_segment()

    def close(self) -> None:
        """Close all files as they are, without a last line. May be called again, and after `end`."""
        for file in (self._handler.file, self._next_file, self._uncut[0] if self._uncut is not None else None):
            if file is not None:
                file.close()

    def _is_full(self) -> bool:
        return self._handler.file is not None and self._handler.file.size >= self._segment_bytes

    def _count(self, line: PendingLine, sign: int) -> None:
        self._block_count += sign * line.is_block
        self._message_count += sign * line.message_count

    def _release_unsynced(self) -> list[PendingLine]:
        durable = list(self._unsynced)
        if self._handler.file is not None:
            self._unsynced.clear()
            self._durable_end = (self._handler.file.size, self._formatter.prev)
        return durable

    def _rotate(self) -> None:
        try:
            self.end("rotated", 0, 0, [])
        except OSError:
            # All blocks of the segment are durable; only its last line is missing.
            self._close_segment()

    def _open_segment(self) -> None:
        if self._uncut is not None:
            file, size = self._uncut
            file.cut_back(size)
            file.close()
            self._uncut = None
        if self._handler.file is not None:
            return
        if self._next_file is None:
            self._segment += 1
            self._next_file = LineFile(self.folder / blocklog.file_name(self._opening.session, self._segment))
        # If its first line cannot be written, the file stays, empty, for the next attempt.
        self._handler.file, self._handler.sha256 = self._next_file, hashlib.sha256()
        try:
            opening = {**fields(self._opening), "segment": self._segment, "opened_at": utc_text(self._clock.now_us())}
            self._logger.info(opening)
        except OSError:
            self._handler.file = None
            if not self._cut(self._next_file, 0):
                self._next_file = None
            raise
        # Torn tails of earlier sessions are listed once, in the session's first segment.
        self._opening = msgspec.structs.replace(self._opening, torn=[])
        self._next_file, self._block_count, self._message_count = None, 0, 0
        self._durable_end = (self._handler.file.size, self._formatter.prev)

    def _cut(self, file: LineFile, size: int) -> bool:
        """Cut a file back; return whether it was cut. If not, `_open_segment` cuts it before it opens another."""
        try:
            file.cut_back(size)
        except OSError:
            self._uncut = (file, size)
        return self._uncut is None

    def _give_up_file(self) -> None:
        """Cut the file back to its last durable line, queue the lost lines again, and leave the file."""
        file = self._handler.file
        if file is None:
            return
        size, self._formatter.prev = self._durable_end
        for line in self._unsynced:
            self._count(line, -1)
        self._waiting.extendleft(reversed(self._unsynced))
        self._unsynced.clear()
        self._handler.file = None
        if self._cut(file, size):
            self._write_error_end(file)
        if self._uncut is None:
            file.close()

    def _write_error_end(self, file: LineFile) -> None:
        # Best effort: a disk that refused a block may still accept this short line. The running digest covers lines
        # that were cut off, so the file is read again for it.
        with contextlib.suppress(OSError):
            self._handler.sha256 = hashlib.sha256(file.path.read_bytes())
            self._handler.file = file
            self.end("error", 0, 0, [])
        self._handler.file = None

    def _close_segment(self) -> None:
        if self._handler.file is not None:
            self._handler.file.close()
            self._handler.file = None
