"""Standard input, output and error as every process of ours needs them: open, and refusing no character."""

from __future__ import annotations

import io
import os
import sys


def settle() -> None:
    """Make the standard streams usable, whatever this process was started with.

    A locale that cannot print a character gets a question mark in its place and no error. A stream that is closed
    leads to the null device: else the next file that is opened would take its number and get what is printed.
    """
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is taken, which is this one, for the lower ones are open.
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
