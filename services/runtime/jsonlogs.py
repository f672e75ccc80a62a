"""The services' own logs and limits on how often an event is logged: JSON lines, or short text on a terminal.

The block log, which records the received messages, is a different file: see ``services/client/block_log.py``.
"""

from __future__ import annotations

import logging
import sys
from typing import TextIO

from pythonjsonlogger.json import JsonFormatter

from services.runtime.output.terminal_lines import TerminalLines

_PREFIX_WIDTH = len("collector")
_MAX_KINDS = 100
"""How many kinds of an event are distinguished, to bound the memory if a kind is a text from a peer."""


def configure(service: str, level: int = logging.INFO) -> None:
    """Write every log record of this process to standard output as one JSON line, or as text on a terminal."""
    handler = _StdoutHandler(service)
    handler.setFormatter(
        JsonFormatter(
            ["levelname", "message"],
            rename_fields={"levelname": "level", "message": "event"},
            static_fields={"service": service},
            timestamp="at",
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # The library logs a traceback for every handshake that a port scanner breaks off; the server counts them itself.
    logging.getLogger("websockets").setLevel(logging.CRITICAL)


class _StdoutHandler(logging.StreamHandler[TextIO]):
    """Writes to the current `sys.stdout`, which the live display replaces while it shows a run in place."""

    def __init__(self, service: str) -> None:
        super().__init__()
        prefix = f"{service:<{_PREFIX_WIDTH}} | "
        self._lines = TerminalLines(lambda line: self.stream.write(f"{prefix}{line}{self.terminator}"))

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        # Looked up for every record: the handler was configured before the display replaced the stream.
        self.setStream(sys.stdout)
        if not sys.stdout.isatty():
            super().emit(record)
            return
        try:
            self._lines.accept(self.format(record))
            self.flush()
        except (OSError, ValueError):  # the terminal was closed
            self.handleError(record)


class RateLimitedLog:
    """Decides whether a recurring event is logged: each kind at most once in ``seconds``."""

    def __init__(self, seconds: float = 1.0) -> None:
        self._seconds = seconds
        self._last: dict[str, float] = {}

    def allow(self, now: float, kind: str = "", seconds: float | None = None) -> bool:
        """Return whether to log an event of this kind at ``now`` (monotonic seconds); if so, restart its interval.

        Args:
            now: the present time.
            kind: of the event.
            seconds: least time between two events of this kind; None for that of all kinds.
        """
        if now - self._last.get(kind, float("-inf")) < (self._seconds if seconds is None else seconds):
            return False
        # A kind that is forgotten may be logged again too soon, which is better than memory that a peer can fill.
        if len(self._last) >= _MAX_KINDS:
            self._last.clear()
        self._last[kind] = now
        return True


class LogOnce:
    """Decides whether an event about a thing is logged: once for each of at most ``limit`` things."""

    def __init__(self, limit: int = 1000) -> None:
        self._limit = limit
        self._logged: set[str] = set()

    def allow(self, key: str) -> bool:
        """Return whether to log the event about the thing ``key``: only the first time, and only up to the limit."""
        if key in self._logged or len(self._logged) >= self._limit:
            return False
        self._logged.add(key)
        return True


class ErrorLog:
    """Logs a recurring error once for each event, run and errno; ``count`` is the number of different errors."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._logged: set[tuple[str, str, int | str | None]] = set()

    @property
    def count(self) -> int:
        """Number of different errors so far."""
        return len(self._logged)

    def report(self, event: str, run: str, error: Exception) -> None:
        """Log an error unless the same one was logged before.

        Args:
            event: the log event.
            run: the run that it is about; empty for none.
            error: an OSError is logged as text. Any other exception is a bug and is logged with its traceback.
        """
        key = (event, run, error.errno if isinstance(error, OSError) else type(error).__name__)
        if key in self._logged:
            return
        self._logged.add(key)
        extra = {"run": run or None, "why": str(error)}
        self._log.warning(event, extra=extra, exc_info=None if isinstance(error, OSError) else error)
