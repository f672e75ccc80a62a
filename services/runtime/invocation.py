"""Which invocation of ``python -m services`` a process belongs to, and which run of an external feed is its own.

An invocation is named ``20261122T073000Z.1f0c9a7be2d4``: when it began, and twelve random hex digits. The parent hands
the name to its children by the environment; the clients of an external feed write it into the run's ``feed.json``.
"""

from __future__ import annotations

import json
import os
import re
import stat
import uuid
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path

from services.contract.scalars import RUN_PATTERN, utc_text

VARIABLE = "STREAMGAUGE_INVOCATION"
NOTE = "feed.json"
"""The file in ``logs/<run>/`` that says of which feed the run is."""

_PATTERN = re.compile(r"[0-9]{8}T[0-9]{6}Z\.[0-9a-f]{12}\Z")
_MOST_NOTE_BYTES = 64 * 1024


def draw(now_us: int) -> str:
    """Return the name of a new invocation that begins at ``now_us`` (epoch microseconds)."""
    return f"{run_name(now_us)}.{uuid.uuid4().hex[:12]}"


def current(environment: Mapping[str, str]) -> str | None:
    """Return the invocation that an environment names, None when it names none or something else."""
    text = environment.get(VARIABLE, "")
    return text if _PATTERN.match(text) else None


def run_name(now_us: int) -> str:
    """Return the name of a run that is opened at ``now_us`` (epoch microseconds)."""
    return utc_text(now_us)[:19].replace("-", "").replace(":", "") + "Z"


def run_names(invocation: str) -> Iterator[str]:
    """Return the names that the run of an invocation may have, in the order in which all of its clients try them."""
    stem = invocation.partition(".")[0]
    yield stem
    yield from (f"{stem}-{number}" for number in count(2))


def own_run(logs: Path, invocation: str) -> str | None:
    """Return the run of an external feed that the clients of an invocation opened, None while there is none.

    Args:
        logs: the folder of all runs' logs.
        invocation: its name.
    """
    stem = invocation.partition(".")[0]
    for name in sorted(path.name for path in logs.glob(f"{stem}*")):
        if re.match(RUN_PATTERN, name) and _invocation_of(logs / name) == invocation:
            return name
    return None


def _invocation_of(folder: Path) -> object:
    try:
        said = json.loads(read_note(folder) or b"null")
    except (ValueError, RecursionError):
        return None
    return said.get("invocation") if isinstance(said, dict) else None


def read_note(folder: Path) -> bytes | None:
    """Return what ``feed.json`` in a run's folder says; None where there is no such plain file of a sane size."""
    if folder.is_symlink():
        return None
    try:
        descriptor = os.open(folder / NOTE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > _MOST_NOTE_BYTES:
            return None
        return os.read(descriptor, _MOST_NOTE_BYTES)
    except OSError:
        return None
    finally:
        os.close(descriptor)
