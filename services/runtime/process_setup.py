"""What a process sets up before anything else: usable standard streams, and an allocator that keeps freed memory."""

from __future__ import annotations

import io
import os
import sys

_THRESHOLD_BYTES = 8 * 1024 * 1024


def make_streams_usable() -> None:
    """Make the standard streams usable in every environment.

    A character that the locale cannot print is replaced by a question mark. A stream that is closed is connected to the
    null device: otherwise the next opened file would get its number, and with it everything that is printed.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # open() returns the lowest free number, which is this one, because the lower ones are open.
            os.open(os.devnull, os.O_RDWR)
    if sys.stdout is None:
        sys.stdout = _null()
    if sys.stderr is None:
        sys.stderr = _null()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def keep_freed_memory() -> None:
    """Make glibc keep freed memory for later allocations, up to 16 MiB of it.

    Lines and batches have some hundred kilobytes. By default glibc maps blocks of that size from the kernel and unmaps
    them when they are freed, so that each allocation gets new pages, which the kernel has to zero: a sixth of the time
    of a process that reads line after line. glibc raises its mmap threshold to the largest mapped block freed so far,
    and its trim threshold to twice that; so allocating and freeing 8 MiB once raises both. Nothing writes to the block,
    so it never occupies physical memory.
    """
    _ = bytes(_THRESHOLD_BYTES)


def _null() -> io.TextIOWrapper:
    return open(os.devnull, "w", encoding="utf-8")
