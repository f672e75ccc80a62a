"""A sign of life that costs nothing: a file touched while the event loop turns.

``python -m services.runtime.heartbeat`` is the containers' probe. It compares the file's age and has no side
effect, so it may be run by hand; it imports nothing outside the standard library, so it starts fast.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

MAX_AGE_SECONDS = 5.0


def place() -> Path | None:
    """Return the file: the images name one (``HEARTBEAT``); a process outside containers has none."""
    named = os.environ.get("HEARTBEAT", "")
    return Path(named) if named else None


async def beat(path: Path | None = None, alive: Callable[[], bool] = lambda: True) -> None:
    """Touch the file every second while ``alive``, for ever.

    A folder that cannot be written to is no fault of the service.
    """
    # Here, so that the probe, which runs every few seconds in every container, does not pay for it.
    import asyncio  # noqa: PLC0415

    path = place() if path is None else path
    while path is not None:
        try:
            if alive():
                path.touch()
        except OSError as problem:
            # A process that is out of files may have some again the next time.
            if problem.errno not in (errno.EMFILE, errno.ENFILE):
                return
        await asyncio.sleep(1.0)


def age_seconds(path: Path | None = None) -> float | None:
    """Return the age of the last beat, None when there was none."""
    path = place() if path is None else path
    try:
        return time.time() - path.stat().st_mtime if path is not None else None
    except OSError:
        return None


if __name__ == "__main__":
    age = age_seconds()
    sys.exit(0 if age is not None and age < MAX_AGE_SECONDS else 1)
