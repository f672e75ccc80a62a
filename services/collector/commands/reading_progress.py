"""Shows how far a long reading of logs is, on standard error: in place on a terminal, else a line now and then.

Nothing is shown of a reading that takes less than `FIRST_SECONDS`, and nothing ever on standard output.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from services.collector import formatting

FIRST_SECONDS = 2.0
"""A shorter reading needs no progress."""
TERMINAL_SECONDS, LINE_SECONDS = 0.2, 5.0
"""Between two updates in place, and between two lines where standard error is no terminal."""
_LOOK_BYTES = 256 * 1024
"""Bytes between two looks at the clock: a tenth of a millisecond of reading."""
_ERASE = "\r\x1b[K"


def progress_text(does: str, done: int, total: int, seconds: float) -> str:
    """Return one line about a reading. Pure.

    Args:
        does: what is done, such as ``reading``.
        done: bytes so far.
        total: bytes in all.
        seconds: how long it has taken.
    """
    # A file may have grown since its size was taken.
    done, per_second = min(done, total), done / seconds
    left = _whole_seconds((total - done) / per_second)
    parts = f"{formatting.size(done)} of {formatting.size(total)}", formatting.percent(done, total)
    return f"{does} {'  '.join(parts)}  {formatting.size(per_second)}/s  {left} left"


def _whole_seconds(seconds: float) -> str:
    """Return a time that is only estimated: ``45 s``, ``3 min 20 s``, ``1 h 5 min``."""
    whole = math.ceil(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"


class ReadingProgress:
    """Counts bytes, and shows them now and then.

    Args:
        does: what is done, such as ``reading``.
        total: bytes in all.
        write: prints a text.
        in_place: the text goes to a terminal.
        now: returns monotonic seconds.
    """

    def __init__(
        self, does: str, total: int, write: Callable[[str], None], *, in_place: bool, now: Callable[[], float]
    ) -> None:
        self._does, self._total, self._write, self._in_place, self._now = does, total, write, in_place, now
        self._done = self._look_at = 0
        self._began = now()
        self._next = self._began + FIRST_SECONDS
        self._is_shown = False

    def add(self, count: int) -> None:
        """Count bytes that were read; show the progress if it is time."""
        self._done += count
        if self._done < self._look_at:
            return
        self._look_at = self._done + _LOOK_BYTES
        if (now := self._now()) >= self._next:
            self._next = now + (TERMINAL_SECONDS if self._in_place else LINE_SECONDS)
            text = progress_text(self._does, self._done, self._total, now - self._began)
            self._write(f"{_ERASE}{text}" if self._in_place else f"{text}\n")
            self._is_shown = self._in_place

    def erase(self) -> None:
        """Remove the progress from a terminal, so that other output can follow."""
        if self._is_shown:
            self._write(_ERASE)
            self._is_shown = False


@contextmanager
def reading(volumes: Path, runs: Iterable[str], *, does: str = "reading", times: int = 1) -> Iterator[ReadingProgress]:
    """Show the progress of reading these runs until the block ends.

    Args:
        volumes: the volumes folder.
        runs: the runs that are read.
        does: what is done with them.
        times: how often each of their bytes is read.
    """
    total = times * sum(_size(volumes / side / run) for run in runs for side in ("ledger", "logs"))
    is_terminal = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    progress = ReadingProgress(does, total, _to_stderr, in_place=is_terminal, now=time.monotonic)
    try:
        yield progress
    finally:
        progress.erase()


def _size(folder: Path) -> int:
    size = 0
    for path in folder.rglob("*.jsonl"):
        with suppress(OSError):
            size += path.lstat().st_size
    return size


def _to_stderr(text: str) -> None:
    # Without a reader of standard error the command goes on.
    with suppress(OSError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()
