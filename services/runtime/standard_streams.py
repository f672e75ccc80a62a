"""Standard input, output and error: open, and able to print every character."""

from __future__ import annotations

import io
import os
import sys


def make_usable() -> None:
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


def _null() -> io.TextIOWrapper:
    return open(os.devnull, "w", encoding="utf-8")
