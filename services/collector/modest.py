"""The collector gives way: an instrument must not slow down what it measures.

What it has no time for now still lies in the files, and is read the moment there is room.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

NICE = 10
"""A tenth of the processor at most, wherever server and clients want all of it."""
_AUTOGROUP = Path("/proc/self/autogroup")


def give_way() -> None:
    """Let every other process go first, as far as the system lets one say so."""
    os.nice(max(0, NICE - os.nice(0)))
    # Linux may weigh sessions before it weighs their processes; but a terminal's session is not ours to weigh.
    if os.getsid(0) == os.getpid():
        with suppress(OSError):
            _AUTOGROUP.write_text(str(NICE), encoding="ascii")
