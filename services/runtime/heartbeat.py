"""Liveness of a service: a file that is touched every second while the event loop runs, and the probe of its age.

``python -m services.runtime.heartbeat`` is the health check of the containers. It has no side effect, so it may be run
by hand; it imports nothing outside the standard library, so that it starts fast.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

# Several beats may be missed before a container counts as unhealthy: a busy machine delays them.
MAX_AGE_SECONDS = 5.0


def path_from_environment() -> Path | None:
    """Return the file, which the images name in ``HEARTBEAT``; None outside of containers."""
    named = os.environ.get("HEARTBEAT", "")
    return Path(named) if named else None


async def beat(path: Path | None = None, alive: Callable[[], bool] = lambda: True) -> None:
    """Touch the file every second in which ``alive`` returns True, for ever.

    Returns if the folder cannot be written to: the service itself works.
    """
    # Imported here because the probe, which runs every few seconds in every container, does not need it.
    import asyncio  # noqa: PLC0415

    path = path_from_environment() if path is None else path
    while path is not None:
        try:
            if alive():
                path.touch()
        except OSError as error:
            # A lack of descriptors may be over by the next time.
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                return
        await asyncio.sleep(1.0)


def age_seconds(path: Path | None = None) -> float | None:
    """Return the age of the file in seconds; None if there is none."""
    path = path_from_environment() if path is None else path
    try:
        return time.time() - path.stat().st_mtime if path is not None else None
    except OSError:
        return None


if __name__ == "__main__":
    age = age_seconds()
    sys.exit(0 if age is not None and age < MAX_AGE_SECONDS else 1)
