"""The token that a node requires of the collectors that pull its files: one line in a file that the operator makes."""

from __future__ import annotations

import re
from pathlib import Path

from services.runtime.errors import BadSettings

_MOST_BYTES = 1024


def read(setting: str, path: str) -> str:
    """Return the token in the file that a setting names.

    Raises:
        BadSettings: the setting is empty, or the file has no token.
    """
    if not path:
        raise BadSettings(
            [f"{setting}: expected a file with a token, which every node and the collector have in common"]
        )
    try:
        with Path(path).open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as problem:
        why = problem.strerror if isinstance(problem, OSError) else str(problem)
        raise BadSettings([f"{setting}={path!r}: cannot be read: {(why or '').lower()}"]) from problem
    token = data.strip()
    # It is sent in an HTTP header. The token itself is in no error.
    if len(data) > _MOST_BYTES or not re.fullmatch(rb"[!-~]{1,512}", token):
        raise BadSettings([f"{setting}={path!r}: expected one line of 1 to 512 ASCII characters without spaces"])
    return token.decode("ascii")
