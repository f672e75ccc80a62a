"""A sign of life that costs nothing: a file touched while the event loop turns.

``python -m services.runtime.heartbeat`` is the containers' probe. It compares the file's age and has no side
effect, so it may be run by hand; it imports nothing outside the standard library, so it starts fast.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

DEFAULT = Path("/tmp/heartbeat")  # a tmpfs of the container's own
MAX_AGE_SECONDS = 5.0


async def beat(path: Path = DEFAULT, alive: Callable[[], bool] = lambda: True) -> None:
    """Touch the file every second while ``alive``, for ever.

    A folder that cannot be written to is no fault of the service.
    """
    # Here, so that the probe, which runs every few seconds in every container, does not pay for it.
    import asyncio  # noqa: PLC0415

    while True:
        try:
            if alive():
                path.touch()  # noqa: ASYNC240 - a tmpfs never makes us wait
        except OSError:
            return
        await asyncio.sleep(1.0)


def age_seconds(path: Path = DEFAULT) -> float | None:
    """Return the age of the last beat, None when there was none."""
    try:
        return time.time() - path.stat().st_mtime
    except OSError:
        return None


if __name__ == "__main__":
    age = age_seconds()
    sys.exit(0 if age is not None and age < MAX_AGE_SECONDS else 1)
