"""The services' own logs: JSON lines on standard output, by python-json-logger. Not the block log."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

from pythonjsonlogger.json import JsonFormatter


def configure(service: str, level: int = logging.INFO) -> None:
    """Send every log record of this process to standard output as one JSON line."""
    handler = _Stdout()
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
    # The library tells of every handshake that a port scanner breaks off; ours are counted in /metrics.
    logging.getLogger("websockets").setLevel(logging.CRITICAL)


class _Stdout(logging.StreamHandler[TextIO]):
    """Writes to what standard output is at the time: who shows a run in place on a terminal puts itself before it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        self.setStream(sys.stdout)
        super().emit(record)


_MOST_KINDS = 100
"""Kinds of an event that are told apart, so that they need bounded memory."""


class RateLimitedLog:
    """Lets an event that repeats be logged once a second at most, however many meet it."""

    def __init__(self, seconds: float = 1.0) -> None:
        self._seconds = seconds
        self._last: dict[str, float] = {}

    def due(self, now: float, kind: str = "") -> bool:
        """Tell whether to log an event of this kind at ``now`` (monotonic seconds)."""
        if now - self._last.get(kind, float("-inf")) < self._seconds:
            return False
        if len(self._last) >= _MOST_KINDS:
            self._last.clear()
        self._last[kind] = now
        return True


class LogOnce:
    """Lets what is wrong with a thing be logged once, for as many things as are remembered."""

    def __init__(self, most: int = 1000) -> None:
        self._most = most
        self._said: set[str] = set()

    def due(self, key: str) -> bool:
        """Tell whether nothing was logged about this thing yet; beyond the most of them nothing is logged any more."""
        if key in self._said or len(self._said) >= self._most:
            return False
        self._said.add(key)
        return True


class ErrorLog:
    """Says what went wrong with the files, each kind of trouble with each run once."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._said: set[tuple[str, str, int | str | None]] = set()

    @property
    def count(self) -> int:
        """How many different ones there were."""
        return len(self._said)

    def say(self, event: str, run: str, problem: Exception) -> None:
        """Say it, unless it was said before; without a ``run`` it is of none.

        An error that is none of the system's is one of the program's: it is said with the place where it arose.
        """
        key = (event, run, problem.errno if isinstance(problem, OSError) else type(problem).__name__)
        if key in self._said:
            return
        self._said.add(key)
        extra = {"run": run or None, "why": str(problem)}
        self._log.warning(event, extra=extra, exc_info=None if isinstance(problem, OSError) else problem)
