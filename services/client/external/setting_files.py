"""Reads the small files that an operator's settings name, such as logins and headers; no error shows their contents."""

from __future__ import annotations

import os

from services.runtime.errors import BadSettings

MAX_BYTES = 1024 * 1024


def text_in(path: str, setting: str, encoding: str = "utf-8") -> str:
    """Return the text of a file.

    Args:
        path: of the file.
        setting: which setting names it.
        encoding: of the text.

    Raises:
        BadSettings: the file cannot be read, is longer than `MAX_BYTES`, or is no such text.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise BadSettings([f"{setting}={path!r}: expected at most {MAX_BYTES:,} bytes"])
        return data.decode(encoding)
    except (OSError, UnicodeDecodeError) as problem:
        raise BadSettings([f"{setting}={path!r}: {refusal(problem)}"]) from problem


def refusal(problem: Exception) -> str:
    """Return why a file cannot be used, without its name; for a lack of permission also the user id of this process."""
    if isinstance(problem, UnicodeDecodeError):
        return f"expected {problem.encoding.upper()} text"
    why = (isinstance(problem, OSError) and problem.strerror) or str(problem)
    return f"{why}; uid {os.geteuid()} must be able to read it" if isinstance(problem, PermissionError) else why
