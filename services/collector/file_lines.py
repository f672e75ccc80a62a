"""Reads the lines of one open file in batches. The length of a line and the holes of a file are bounded."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from io import FileIO

from services.contract.blocklog import MAX_LINE

PIECE = 512 * 1024
"""Bytes in one read: more do not fit into a processor's cache, and every line is processed several times."""
BATCH = 64 * 1024
"""Bytes after which a batch of lines ends: less than a millisecond of reading. A longer line is a batch by itself."""


def hole(file: FileIO, offset: int) -> int | None:
    """Return the offset of the first hole after ``offset`` if all holes together exceed `MAX_LINE` bytes, else None.

    A sparse file occupies no disk space, however long it is. Shorter holes are read as zeros: a power cut may leave one
    at the end of a file. Changes the position of the file.
    """
    descriptor, first, holes = file.fileno(), None, 0
    try:
        size = os.fstat(descriptor).st_size
        while holes <= MAX_LINE and size - offset > MAX_LINE - holes:
            begin = os.lseek(descriptor, offset, os.SEEK_HOLE)
            first = begin if first is None else first
            offset = _data(descriptor, begin, size)
            holes += offset - begin
    except (OSError, AttributeError):
        # The file system or the platform does not support SEEK_HOLE.
        return None
    return first if holes > MAX_LINE else None


def _data(descriptor: int, offset: int, size: int) -> int:
    try:
        return os.lseek(descriptor, offset, os.SEEK_DATA)
    except OSError as problem:
        if problem.errno != errno.ENXIO:
            raise
        return size


def reader(file: FileIO, end: int | None) -> Callable[[], bytes]:
    """Return a function that reads the next piece, up to offset ``end`` or the end of the file."""
    if end is None:
        return lambda: file.read(PIECE)
    return lambda: file.read(max(0, min(PIECE, end - file.tell())))


def cut(read: Callable[[], bytes]) -> Iterator[list[bytes]]:
    """Yield the lines of the pieces in batches; bytes after the last newline come last.

    No line is longer than `MAX_LINE`.
    """
    parts, room, batch, size = list[bytes](), MAX_LINE, list[bytes](), 0
    while piece := read():
        start = 0
        while start < len(piece):
            end = piece.find(b"\n", start, start + room) + 1 or min(start + room, len(piece))
            # This slice is the only copy of most lines, since joining one part returns the part itself.
            part = piece[start:end]
            parts.append(part)
            start, room, size = end, room - len(part), size + len(part)
            if not room or part.endswith(b"\n"):
                batch.append(b"".join(parts))
                parts.clear()
                room = MAX_LINE
                if size >= BATCH:
                    yield batch
                    batch, size = [], 0
    rest = [b"".join(parts)] if parts else []
    if batch or rest:
        yield batch + rest
