"""Invocations of ``python -m services``: their names, and which run of an external feed belongs to which of them.

An invocation is named ``20261122T073000Z.1f0c9a7be2d4``: its start time and twelve random hex digits. The parent passes
the name to its children in the environment; the clients of an external feed write it into the run's ``feed.json``.
"""

from __future__ import annotations

import json
import os
import re
import stat
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

from services.contract.scalars import RUN_PATTERN
from services.runtime import volumes

VARIABLE = "STREAMGAUGE_INVOCATION"
NOTE = "feed.json"
"""The file in ``logs/<run>/`` that names the external feed of the run."""

_PATTERN = re.compile(r"[0-9]{8}T[0-9]{6}Z\.[0-9a-f]{12}\Z")
_MAX_NOTE_BYTES = 64 * 1024


def draw(now_us: int) -> str:
    """Return the name of a new invocation that starts at ``now_us`` (epoch microseconds)."""
    return f"{volumes.run_name(now_us)}.{uuid.uuid4().hex[:12]}"


def current(environment: Mapping[str, str]) -> str | None:
    """Return the invocation that an environment names; None if it names none or the name is malformed."""
    text = environment.get(VARIABLE, "")
    return text if _PATTERN.match(text) else None


def run_names(invocation: str) -> Iterator[str]:
    """Yield the names that the run of an invocation may have, in the order in which all of its clients try them."""
    return volumes.run_names(invocation.partition(".")[0])


def own_run(logs: Path, invocation: str) -> str | None:
    """Return the run of an external feed that the clients of an invocation opened; None while there is none.

    Args:
        logs: the folder with one folder of logs per run.
        invocation: its name.
    """
    # The run is named after the start of its invocation, with a number if another run has that name.
    stem = invocation.partition(".")[0]
    for name in sorted(path.name for path in logs.glob(f"{stem}*")):
        if re.match(RUN_PATTERN, name) and _invocation_of(logs / name) == invocation:
            return name
    return None


def _invocation_of(folder: Path) -> object:
    try:
        note = json.loads(read_note(folder) or b"null")
    except (ValueError, RecursionError):
        return None
    return note.get("invocation") if isinstance(note, dict) else None


def read_note(folder: Path) -> bytes | None:
    """Return the content of ``feed.json`` in a run's folder; None unless it is a regular file of at most 64 KiB."""
    if folder.is_symlink():
        return None
    try:
        # Another user of the volume may have put a link or a FIFO there: follow neither, and do not block.
        descriptor = os.open(folder / NOTE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_size > _MAX_NOTE_BYTES:
            return None
        return os.read(descriptor, _MAX_NOTE_BYTES)
    except OSError:
        return None
    finally:
        os.close(descriptor)
