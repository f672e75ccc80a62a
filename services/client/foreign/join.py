"""Agrees with the other clients on a run, since no server of ours opens one: the first that comes opens it.

A run is a folder ``logs/<run>/`` with a ``feed.json`` that says which feed it is of and until when. Whoever finds one
that is on joins it; else a new one is opened by making its folder, which only one process can.
"""

from __future__ import annotations

import re
import time
from pathlib import Path

import msgspec

from services.contract.fields import RUN_PATTERN, run_order, utc_text, utc_us
from services.runtime import files

NAME = "feed.json"
_SETTLE_SECONDS = 0.5
"""Who opened a run looks once more after this long: another process may have opened one at the same time."""
_LOOKS, _LOOK_SECONDS = 40, 0.05
"""So often it is looked for the note of a run that was opened just before: its process may wait for the disk."""
_TOGETHER_US = 5_000_000
"""Of two runs that were opened within this time the older one is meant by both."""
_LONGEST_US = 86_400_000_000
"""A run without an end is joined on the day that it was opened."""


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """What ``feed.json`` says: times are RFC 3339, ``until`` is null for a run that ends when its clients do."""

    run: str
    url: str
    opened_at: str
    until: str | None

    def is_on(self, now_us: int) -> bool:
        """Tell whether the run still goes on."""
        end_us = utc_us(self.until) if self.until else utc_us(self.opened_at) + _LONGEST_US
        return now_us < end_us


def join(logs: Path, url: str, seconds: float, now_us: int) -> Opened:
    """Return the run of a feed that is on, opened by this process when there was none.

    Args:
        logs: the folder of all runs' logs.
        url: the feed, as it may be shown.
        seconds: how long a run lasts, 0 for as long as its clients.
        now_us: epoch microseconds.

    Raises:
        OSError: the folder refuses.
    """
    found = _on(logs, url, now_us)
    if found:
        return found[0]
    mine = _open(logs, url, seconds, now_us)
    time.sleep(_SETTLE_SECONDS)
    for _ in range(_LOOKS):
        if not _unsaid(logs, mine):
            break
        time.sleep(_LOOK_SECONDS)
    for other in _on(logs, url, now_us):
        is_older = run_order(other.run) < run_order(mine.run)
        if is_older and utc_us(mine.opened_at) - utc_us(other.opened_at) < _TOGETHER_US:
            (logs / mine.run / NAME).unlink(missing_ok=True)
            (logs / mine.run).rmdir()
            return other
    return mine


def _on(logs: Path, url: str, now_us: int) -> list[Opened]:
    """Return the runs of this feed that are on, the oldest first."""
    runs = sorted((path.name for path in logs.glob("2*Z*") if re.match(RUN_PATTERN, path.name)), key=run_order)
    opened = (_load(logs / run / NAME) for run in runs)
    return [one for one in opened if one is not None and one.url == url and one.is_on(now_us)]


def _unsaid(logs: Path, mine: Opened) -> bool:
    """Tell whether there is a folder of about the same time that does not say yet of which feed it is."""
    since = _run_of(utc_us(mine.opened_at) - _TOGETHER_US)
    names = [path.name for path in logs.glob("2*Z*") if re.match(RUN_PATTERN, path.name)]
    earlier = [name for name in names if run_order(since) < run_order(name) < run_order(mine.run)]
    return any(not (logs / name / NAME).exists() for name in earlier)


def _run_of(now_us: int) -> str:
    return utc_text(now_us)[:19].replace("-", "").replace(":", "") + "Z"


def _load(path: Path) -> Opened | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Opened)
    except (OSError, msgspec.MsgspecError):
        return None


def _open(logs: Path, url: str, seconds: float, now_us: int) -> Opened:
    stem = _run_of(now_us)
    number = 1
    while True:
        run = stem if number == 1 else f"{stem}-{number}"
        try:
            (logs / run).mkdir()
            break
        except FileExistsError:
            number += 1
    until = utc_text(now_us + round(seconds * 1_000_000)) if seconds else None
    opened = Opened(run=run, url=url, opened_at=utc_text(now_us), until=until)
    files.replace(logs / run / NAME, msgspec.json.encode(opened) + b"\n")
    return opened
