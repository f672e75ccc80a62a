"""Reads files that another program may have put in the folder: regular files only, line by line, in bounded memory."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

# Links may lead out of the folder, and opening a FIFO without O_NONBLOCK would wait for a writer.
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PIECE = 256 * 1024
_NO_FILE = frozenset({errno.ELOOP, errno.EACCES, errno.EPERM, errno.ENXIO, errno.ENODEV, errno.EISDIR, errno.ENOTDIR})


class NotARegularFile(OSError):
    """A path is not a regular file that this process may read: a link, a pipe, a folder, or a file of another user."""


class FileLine(NamedTuple):
    """A line of a file.

    Attributes:
        at: its offset in bytes.
        size: its length in bytes, newline included.
        data: its bytes; None if it is longer than the limit of the reader.
        ended: whether it ends in a newline; False only for the last line.
    """

    at: int
    size: int
    data: bytes | None
    ended: bool


def is_not_regular(error: OSError) -> bool:
    """Return whether an error of opening a path means that it is not a regular file that this process may read."""
    return isinstance(error, NotARegularFile) or error.errno in _NO_FILE


def open_regular(path: str | Path) -> BinaryIO:
    """Open a regular file for reading, without following a link and without waiting for the other end of a pipe.

    Raises:
        NotARegularFile: the path is something else, or this process may not read it.
        OSError: the file cannot be opened for another reason.
    """
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError as error:
        if is_not_regular(error):
            raise NotARegularFile(error.errno, error.strerror, str(path)) from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotARegularFile(errno.EINVAL, "not a regular file", str(path))
    return open(descriptor, "rb", buffering=_PIECE)


def lines(file: BinaryIO, max_line_bytes: int, max_bytes: int) -> Iterator[FileLine]:
    """Yield the lines of a file from its current position.

    Args:
        file: open for reading, buffered.
        max_line_bytes: longest line that is returned; of a longer line only offset and size are.
        max_bytes: number of bytes to read; a line that extends beyond is cut there.
    """
    at = file.tell()
    end = at + max_bytes
    while at < end and (data := file.readline(min(max_line_bytes, end - at))):
        line = FileLine(at, len(data), data, ended=data.endswith(b"\n"))
        if not line.ended and len(data) == max_line_bytes:
            # Released before the rest is read, since a line may be as long as the memory that is allowed for it.
            del data
            line = _skipped(file, line, end)
        yield line
        at += line.size


def _skipped(file: BinaryIO, line: FileLine, end: int) -> FileLine:
    """Skip the rest of a line that is too long; return it without its bytes."""
    size, ended = line.size, False
    while not ended and line.at + size < end and (piece := file.readline(min(_PIECE, end - line.at - size))):
        size, ended = size + len(piece), piece.endswith(b"\n")
    return FileLine(line.at, size, None, ended)
