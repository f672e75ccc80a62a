"""Makes sure that no other server uses this ledger folder, before a run in it is opened, abandoned or left.

A lock file would outlive its process on some mounts, and locks do not work on all. So a server touches its newest
ledger every 2 s while it lives, even after the run has ended. A starting server that cannot join the newest run watches
its ledgers, and is refused if one changes. It need not watch a ledger that was last changed long ago, or whose writer
is proven to have ended or has announced its stop, so a restart takes no extra time, also after a crash.
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
from services.runtime.regular_files import open_regular
from services.runtime.volumes import run_folders
from services.server.runs import ledger_lock, process_identity
from services.server.runs.decisions import has_left
from services.server.runs.process_identity import ProcessIdentity

WATCH_SECONDS = 6.0
"""A ledger that has not changed for this long belongs to no live server: three times the interval of the touches."""
LOOK_SECONDS = 0.1
"""Interval between two looks at a watched folder."""
LOCK_SECONDS = 10.0
"""Time to wait for another server that is opening its run, which takes a few written and synced lines."""

_MAX_EMPTY_RUNS = 10
"""Number of runs without a ledger, left behind by crashes, that are skipped."""
_HEAD_BYTES = 16 * 1024
_TAIL_BYTES = 64 * 1024

FileStamp = tuple[int, int]
"""When a file was last changed, in ns by the clock of its file system, and its size in bytes."""


class StoppedWhileWatching(Exception):
    """The process was asked to stop while it watched."""


class FolderSnapshot(NamedTuple):
    """The ledgers of the newest run at one time.

    Attributes:
        run: its name; empty without a run.
        ledgers: stamps of its ledgers, by file name.
    """

    run: str
    ledgers: Mapping[str, FileStamp]

    def has_changed_since(self, before: FolderSnapshot) -> bool:
        """Return whether a ledger is new or was changed since an earlier snapshot."""
        if run_order(self.run) < run_order(before.run):
            # The newest run was removed meanwhile, which is no sign of a live server.
            return False
        known = before.ledgers if before.run == self.run else {}
        return any(known.get(name) != stamp for name, stamp in self.ledgers.items())

    def recent_ledgers(self, now_ns: int | None, seconds: float) -> list[str]:
        """Return the ledgers changed within ``seconds``; all of them if the file system's time is unknown.

        A time in the future, left by a clock that was set back since, counts as recent.
        """
        limit_ns = None if now_ns is None else now_ns - round(seconds * 1e9)
        return [name for name, (changed_ns, _) in self.ledgers.items() if limit_ns is None or changed_ns >= limit_ns]


def take_snapshot(root: Path) -> FolderSnapshot:
    """Return the ledgers of the newest run that has any; a server that opens a run makes the folder first."""
    for run in _runs_newest_first(root)[:_MAX_EMPTY_RUNS]:
        if ledgers := stamps(root / run):
            return FolderSnapshot(run, ledgers)
    return FolderSnapshot("", {})


def _runs_newest_first(root: Path) -> list[str]:
    try:
        return sorted(run_folders(root), key=run_order, reverse=True)
    except OSError:
        return []


def stamps(folder: Path) -> dict[str, FileStamp]:
    """Return the stamps of the ledgers in the folder of a run, by file name."""
    found: dict[str, FileStamp] = {}
    for path in folder.glob("*.jsonl"):
        with contextlib.suppress(OSError):
            status = path.stat()
            if stat.S_ISREG(status.st_mode):
                # The size too: some file systems store times in whole seconds.
                found[path.name] = (status.st_mtime_ns, status.st_size)
    return found


def ensure_alone(
    root: Path,
    is_stopped: Callable[[], bool] = lambda: False,
    *,
    watch_seconds: float = WATCH_SECONDS,
    look_seconds: float = LOOK_SECONDS,
) -> FolderSnapshot:
    """Make sure that no other server uses the folder; return its contents. Blocks for up to ``watch_seconds``.

    Args:
        root: the folder of the ledgers; it is left unchanged.
        is_stopped: returns whether this process was asked to stop.
        watch_seconds: how long a ledger must stay unchanged.
        look_seconds: interval between two looks.

    Raises:
        AnotherServer: a ledger of the newest run was changed meanwhile.
        StoppedWhileWatching: this process was asked to stop.
    """
    before, reader = take_snapshot(root), process_identity.own()
    folder = root / before.run
    recent = before.recent_ledgers(_file_system_ns(root), watch_seconds) if before.ledgers else []
    suspects = _without_successor(folder, before, recent)
    until = time.monotonic() + watch_seconds
    while suspects := [name for name in suspects if not _has_ended(folder / name, reader)]:
        if is_stopped():
            raise StoppedWhileWatching
        time.sleep(look_seconds)
        now = take_snapshot(root)
        if now.has_changed_since(before):
            raise AnotherServer(now.run, str(root))
        if time.monotonic() > until:
            break
    return before


@contextlib.contextmanager
def start_lock(root: Path, timeout_seconds: float = LOCK_SECONDS) -> Iterator[None]:
    """Hold a lock so that only one server of this machine at a time opens a run in this folder.

    The lock is on the folder itself, so no file is left behind, and it ends with its process. It is advisory: after
    the timeout, or on a file system without locks, the server starts without it.
    """
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        until = time.monotonic() + timeout_seconds
        with contextlib.suppress(OSError):
            while not _try_lock(descriptor) and time.monotonic() < until:
                time.sleep(LOOK_SECONDS / 10)
        yield
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _file_system_ns(root: Path) -> int | None:
    """Return the time by the clock that stamps the files of this folder; None if no file can be created in it.

    A network file system stamps files by its own clock, which may differ from this machine's.
    """
    try:
        with tempfile.TemporaryFile(dir=root) as file:
            return os.fstat(file.fileno()).st_mtime_ns
    except OSError:
        return None


def _without_successor(folder: Path, snapshot: FolderSnapshot, names: Sequence[str]) -> list[str]:
    """Return those of the named ledgers that were touched after every other ledger was opened.

    The server that opened a later ledger has watched the earlier one and found that its server was gone.
    """
    opened_us = {name: _opened_us(folder / name) for name in snapshot.ledgers} if names else {}
    return [
        name
        for name in names
        if not any(at_us * 1000 >= snapshot.ledgers[name][0] for other, at_us in opened_us.items() if other != name)
    ]


def _opened_us(path: Path) -> int:
    """Return when a ledger was opened, epoch microseconds by its server's clock; 0 if that is unreadable."""
    try:
        with open_regular(path) as file:
            first = _decode(file.readline(_HEAD_BYTES))
        return utc_us(first.at) if isinstance(first, ledger.OpenEntry) else 0
    except (OSError, ValueError, OverflowError):
        return 0


def _has_ended(path: Path, reader: ProcessIdentity | None) -> bool:
    """Return whether a ledger's writer is this process, has ended, or has announced its stop."""
    try:
        with open_regular(path) as file:
            first = _decode(file.readline(_HEAD_BYTES))
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - _TAIL_BYTES, 0))
            last_lines = file.read(_TAIL_BYTES).splitlines(keepends=True)
    except OSError:
        return False
    if not isinstance(first, ledger.OpenEntry):
        return _was_stopping(last_lines)
    writer = process_identity.parse(first.process)
    if writer is not None and writer == reader:
        return True
    is_gone = process_identity.is_gone(writer, reader) or (
        reader is not None and ledger_lock.is_released(path, first, reader.boot)
    )
    return is_gone or _was_stopping(last_lines) or has_left(path.parent, path.stem)


def _was_stopping(lines: Sequence[bytes]) -> bool:
    """Return whether, by the last lines of its ledger, a server had disconnected its clients and admitted none since.

    Receipts that were under way at that time follow the `leave` entries.
    """
    for line in reversed(lines):
        entry = _decode(line)
        if isinstance(entry, ledger.LeaveEntry) and entry.cause == "draining":
            return True
        if isinstance(entry, ledger.SubscribeEntry | ledger.SentEntry | ledger.OpenEntry | ledger.EndEntry):
            return False
    return False


def _decode(line: bytes) -> ledger.Entry | None:
    try:
        return ledger.codec.decode(line)[1]
    except LineError:
        return None
