"""Files of an operator that are read again when they change while a service runs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from services.runtime.errors import BadSettings

MAX_BYTES = 1024 * 1024

Signature = tuple[tuple[int, int, int], ...]


def signature(paths: Sequence[str]) -> Signature:
    """Return what tells two states of some files apart, also when a link to a file was replaced.

    A file that cannot be looked at has a signature of its own.
    """
    states = []
    for path in paths:
        try:
            status = os.stat(path)
            states.append((status.st_ino, status.st_size, status.st_mtime_ns))
        except OSError:
            states.append((0, 0, 0))
    return tuple(states)


def read_text(setting: str, path: str) -> str:
    """Return the text of a file.

    Raises:
        BadSettings: the file cannot be read, or is no text of at most `MAX_BYTES`.
    """
    try:
        # Not a device or a pipe, on which reading would never end.
        if not Path(path).is_file():
            os.stat(path)
            raise BadSettings([f"{setting}={path!r}: expected a regular file"])
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as problem:
        raise BadSettings([f"{setting}={path!r}: {reason(problem)}"]) from problem
    try:
        if len(data) <= MAX_BYTES:
            return data.decode()
    except UnicodeDecodeError:
        pass
    raise BadSettings([f"{setting}={path!r}: expected UTF-8 text of at most {MAX_BYTES:,} bytes"])


def reason(problem: OSError) -> str:
    """Return why a file cannot be used, without its name; for a lack of permission also this process's user id."""
    why = os.strerror(problem.errno).lower() if problem.errno and problem.errno > 0 else str(problem)
    return f"{why}; uid {os.geteuid()} must be able to read it" if isinstance(problem, PermissionError) else why
