"""Whether another server plays in this ledger folder: several servers on one folder are not supported yet.

A server touches its newest ledger every 2 s while it lives, also when the run has ended. So a ledger of the newest run
that changes while a starting server watches is another server's, and the starting one is refused. It watches only when
it must: not a ledger that was last changed long ago, nor one whose writer is proven to have ended.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from services.contract import ledger
from services.contract.errors import LineError
from services.contract.scalars import run_order, utc_us
from services.runtime.errors import AnotherServer
from services.runtime.volumes import run_folders
from services.server.runs import process_identity
from services.server.runs.process_identity import ProcessIdentity

WATCH_SECONDS = 6.0
"""A ledger that has not changed for so long belongs to no live server: three times the interval of the touches."""
LOOK_SECONDS = 0.1
LOCK_SECONDS = 10.0
"""How long to wait for another server that is opening its run; it writes and syncs a few lines."""

_MOST_EMPTY = 10
"""So many runs without a ledger are passed over, which crashes may have left."""
_HEAD_BYTES = 16 * 1024
_TAIL_BYTES = 64 * 1024

FileMark = tuple[int, int]
"""When a file was last changed, in ns by the clock of its file system, and its size in bytes."""


class StoppedWhileWatching(Exception):
    """The process was asked to stop while it watched."""


class FolderLook(NamedTuple):
    """What was seen at one moment: the newest run, empty when there is none, and its ledgers by name."""

    run: str
    ledgers: Mapping[str, FileMark]

    def has_changed_since(self, before: FolderLook) -> bool:
        """Tell whether there is a ledger now that was not there before, or was changed."""
        if run_order(self.run) < run_order(before.run):
            # The newest run was removed meanwhile.
            return False
        known = before.ledgers if before.run == self.run else {}
        return any(known.get(name) != mark for name, mark in self.ledgers.items())

    def recent(self, now_ns: int | None) -> list[str]:
        """Return the ledgers changed within `WATCH_SECONDS`; all of them when the file system's time is unknown.

        One that was changed in the future, by a clock that was set back since, counts as recent.
        """
        limit = None if now_ns is None else now_ns - round(WATCH_SECONDS * 1e9)
        return [name for name, (changed_ns, _) in self.ledgers.items() if limit is None or changed_ns >= limit]


def newest_run(root: Path) -> str:
    """Return the name of the newest run that has a folder here, empty when there is none."""
    return next(iter(_runs(root)), "")


def look(root: Path) -> FolderLook:
    """Look at the ledgers of the newest run that has any: a server that opens a run makes its folder first."""
    for run in _runs(root)[:_MOST_EMPTY]:
        if ledgers := _ledgers(root / run):
            return FolderLook(run, ledgers)
    return FolderLook("", {})


def _runs(root: Path) -> list[str]:
    """Return the names of the runs that have a folder here, newest first."""
    try:
        return sorted(run_folders(root), key=run_order, reverse=True)
    except OSError:
        return []


def _ledgers(folder: Path) -> dict[str, FileMark]:
    found: dict[str, FileMark] = {}
    for path in folder.glob("*.jsonl"):
        with contextlib.suppress(OSError):
            status = path.stat()
            if stat.S_ISREG(status.st_mode):
                found[path.name] = (status.st_mtime_ns, status.st_size)
    return found


def watch(root: Path, stopped: Callable[[], bool] = lambda: False) -> FolderLook:
    """Make sure that no other server plays here; return what was seen. Takes up to `WATCH_SECONDS`, mostly no time.

    Args:
        root: the folder of the ledgers; nothing is left behind in it.
        stopped: whether the process was asked to stop.

    Raises:
        AnotherServer: a ledger of the newest run was changed meanwhile.
        Stopped: it was asked to stop.
    """
    seen, reader = look(root), process_identity.own()
    suspects = _not_continued(root / seen.run, seen, seen.recent(_file_system_ns(root))) if seen.ledgers else []
    until = time.monotonic() + WATCH_SECONDS
    while suspects := [name for name in suspects if not _is_over(root / seen.run / name, reader)]:
        if stopped():
            raise StoppedWhileWatching
        time.sleep(LOOK_SECONDS)
        now = look(root)
        if now.has_changed_since(seen):
            raise AnotherServer(now.run, str(root))
        if time.monotonic() > until:
            break
    return seen


@contextlib.contextmanager
def turn(root: Path) -> Iterator[None]:
    """Let one server at a time open a run in this folder, of those on this machine.

    The lock is on the folder itself, so that no file is left, and ends with its process, however that ends. A file
    system that knows no locks is no reason not to start.
    """
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        until = time.monotonic() + LOCK_SECONDS
        with contextlib.suppress(OSError):
            while not _locked(descriptor) and time.monotonic() < until:
                time.sleep(LOOK_SECONDS / 10)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _file_system_ns(root: Path) -> int | None:
    """Return the time by the clock that stamps the files of this folder; None when it takes no file."""
    try:
        with tempfile.TemporaryFile(dir=root) as file:
            return os.fstat(file.fileno()).st_mtime_ns
    except OSError:
        return None


def _not_continued(folder: Path, seen: FolderLook, names: Sequence[str]) -> list[str]:
    """Return the ledgers of these that were touched after every other one was opened.

    The server that opened a later one has watched an earlier one, and found that its server was gone.
    """
    opened_us = {name: _opened_us(folder / name) for name in seen.ledgers} if names else {}
    return [
        name
        for name in names
        if not any(at_us * 1000 >= seen.ledgers[name][0] for other, at_us in opened_us.items() if other != name)
    ]


def _opened_us(path: Path) -> int:
    """Return when a ledger was opened, epoch microseconds by its server's clock; 0 when it does not say."""
    try:
        with path.open("rb") as file:
            first = _entry(file.readline(_HEAD_BYTES))
        return utc_us(first.at) if isinstance(first, ledger.OpenEntry) else 0
    except (OSError, ValueError, OverflowError):
        return 0


def _is_over(path: Path, reader: ProcessIdentity | None) -> bool:
    """Tell whether a ledger's writer is this process, has ended, or was stopping when it wrote last."""
    try:
        with path.open("rb") as file:
            first = _entry(file.readline(_HEAD_BYTES))
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - _TAIL_BYTES, 0))
            lines = file.read(_TAIL_BYTES).splitlines(keepends=True)
    except OSError:
        return False
    writer = process_identity.parsed(first.process) if isinstance(first, ledger.OpenEntry) else None
    if writer is not None and writer == reader:
        return True
    return _is_stopping(lines) or process_identity.is_gone(writer, reader)


def _is_stopping(lines: Sequence[bytes]) -> bool:
    """Tell by the last lines of a ledger whether its server has sent its clients away and admitted none since.

    Receipts that were on their way then are entered behind that.
    """
    for line in reversed(lines):
        entry = _entry(line)
        if isinstance(entry, ledger.LeaveEntry) and entry.cause == "draining":
            return True
        if isinstance(entry, ledger.SubscribeEntry | ledger.SentEntry | ledger.OpenEntry | ledger.EndEntry):
            return False
    return False


def _entry(line: bytes) -> ledger.Entry | None:
    try:
        return ledger.codec.decode(line)[1]
    except LineError:
        return None
