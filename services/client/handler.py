"""How a block gets from the logging module into its file: one record, one line, one write."""

from __future__ import annotations

import hashlib
import logging
from typing import Any

import msgspec
from pythonjsonlogger.core import BaseJsonFormatter

from services.contract.jsonl import FIRST, seal
from services.runtime.files import LineFile


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
