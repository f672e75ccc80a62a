"""Reads files that something else may have put there: regular files only, line by line, in bounded memory."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PIECE = 256 * 1024
_NO_FILE = frozenset({errno.ELOOP, errno.EACCES, errno.EPERM, errno.ENXIO, errno.ENODEV, errno.EISDIR, errno.ENOTDIR})


class NotARegularFile(OSError):
    """What has a file's name is not a file that this process can read: a link, a pipe, a folder, another user's."""


class FileLine(NamedTuple):
    """A line of a file.

    Attributes:
        at: its offset in bytes.
        size: its length in bytes, newline included.
        data: its bytes; None when it is longer than the reader takes.
        ended: whether it ends in a newline; only the last line of a file may not.
    """

    at: int
    size: int
    data: bytes | None
    ended: bool


def in_the_way(problem: OSError) -> bool:
    """Tell whether an error says that something else than a file of ours has its name."""
    return isinstance(problem, NotARegularFile) or problem.errno in _NO_FILE


def open_regular(path: str | Path) -> BinaryIO:
    """Open a regular file for reading; never follow a link and never wait for the other end of a pipe.

    Raises:
        InTheWay: something else has this name, or this process may not read it.
        OSError: it cannot be opened for another reason.
    """
    try:
        descriptor = os.open(path, _FLAGS)
    except OSError as problem:
        if in_the_way(problem):
            raise NotARegularFile(problem.errno, problem.strerror, str(path)) from problem
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotARegularFile(errno.EINVAL, "not a regular file", str(path))
    return open(descriptor, "rb", buffering=_PIECE)


def lines(file: BinaryIO, most: int, limit: int) -> Iterator[FileLine]:
    """Yield the lines of a file from where it stands.

    Args:
        file: open for reading, buffered.
        most: bytes of a line that are given out; of a longer one only place and size are.
        limit: bytes of the file that are looked at; the line that reaches beyond is cut there.
    """
    at = file.tell()
    end = at + limit
    while at < end and (data := file.readline(min(most, end - at))):
        line = FileLine(at, len(data), data, ended=data.endswith(b"\n"))
        if not line.ended and len(data) == most:
            del data
            line = _skipped(file, line, end)
        yield line
        at += line.size


def _skipped(file: BinaryIO, line: FileLine, end: int) -> FileLine:
    """Pass over the rest of a line that is too long."""
    size, ended = line.size, False
    while not ended and line.at + size < end and (piece := file.readline(min(_PIECE, end - line.at - size))):
        size, ended = size + len(piece), piece.endswith(b"\n")
    return FileLine(line.at, size, None, ended)
