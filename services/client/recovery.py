"""Reads a client's own logs of one run after a restart: seqs held, receipts, and torn tails to cut off."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from services.client.receipts import receipt_of
from services.contract import blocklog, bounds, wire
from services.contract.errors import LineError
from services.contract.jsonl import fields
from services.contract.rangeset import RangeSet
from services.contract.scalars import MAX_INTEGER
from services.runtime.durable_file import LineFile
from services.runtime.jsonlogs import LogOnce
from services.runtime.regular_files import NotARegularFile, is_not_regular, lines, open_regular

log = logging.getLogger(__name__)

MAX_FILE = bounds.LOG_FILE_BYTES.value
"""Bytes of a file that are read back, at most. A client's segment ends with the line that reaches a quarter of that."""

_CHUNK = 256 * 1024
# A file name with a higher session was forged: counting on from it could leave the integers that JSON keeps exact.
_MAX_CLAIMED = MAX_INTEGER - 1_000_000
_logged = LogOnce()


@dataclass
class TornTail:
    """A torn tail that a crash left: the file is good up to ``good`` bytes, ``torn`` more follow."""

    path: Path
    good: int
    torn: int


@dataclass
class OwnHistory:
    """A client's logs of one run, read back.

    Attributes:
        held: seqs of all good blocks.
        receipts: one for each good block.
        tails: torn tails, to be cut off.
        is_doubted: whether one of the tails contains complete lines.
        sizes: bytes of each file when it was read, by session and segment.
        fence: the highest by which a server granted one of the sessions, 0 for none.
    """

    held: RangeSet = field(default_factory=RangeSet)
    receipts: list[wire.Receipt] = field(default_factory=list)
    tails: list[TornTail] = field(default_factory=list)
    is_doubted: bool = False
    sizes: dict[tuple[int, int], int] = field(default_factory=dict)
    fence: int = 0


def read(folder: Path, *, doubt: bool = True) -> OwnHistory:
    """Read all logs in a client's folder; a folder that does not exist is an empty history.

    The files are synced, since their blocks will be receipted and the process that wrote them may have crashed before
    its own sync. Damaged lines are skipped: the collector reports their loss. Links, pipes and other things that
    are not regular files are skipped and logged once.

    Args:
        folder: the folder of the client in one run.
        doubt: whether, in the file where the last session broke off, everything after a damaged line counts as torn. A
            power cut may keep any of the unsynced sectors: a later block without an earlier one. False when the server
            has a receipt for something after the damage: then it was synced, the damage happened later, and complete
            lines are never removed.

    Raises:
        OSError: the disk refuses.
    """
    history, files = OwnHistory(), dict(_files(folder))
    history.sizes = {name: file.size for name, file in files.items()}
    history.fence = max((file.fence for file in files.values()), default=0)
    broken_off = max((name for name, file in files.items() if file.size), default=None)
    for name, file in files.items():
        good = file.good
        if doubt and name == broken_off and file.damaged is not None and not file.is_sealed:
            history.is_doubted, good = True, file.damaged
        if good < file.size and file.is_complete:
            history.tails.append(TornTail(folder / blocklog.file_name(*name), good, file.size - good))
        for offset, receipt in file.receipts:
            if offset < good:
                _add(history, receipt)
    return history


def torn_tails(folder: Path) -> list[TornTail]:
    """Return what follows the last newline of each file, without reading its lines.

    Raises:
        OSError: the disk refuses.
    """
    tails = []
    for _, path in _paths(folder):
        with _skipping_other_files(path), open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            good = _after_last_newline(file, size)
            if good is None:
                raise NotARegularFile(errno.EFBIG, f"no line ends in its last {blocklog.MAX_LINE} bytes", str(path))
            if good < size:
                tails.append(TornTail(path, good, size - good))
    return tails


def sizes(folder: Path) -> dict[tuple[int, int], int]:
    """Return the sizes of all log files, by session and segment."""
    sizes_by_name = {}
    for name, path in _paths(folder):
        with contextlib.suppress(FileNotFoundError):
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                sizes_by_name[name] = status.st_size
    return sizes_by_name


def last_session(folder: Path) -> int:
    """Return the highest session number that was claimed in a client's folder, 0 for none.

    Numbers so high that they leave no room for later sessions were not claimed by a client, and are ignored.
    """
    return max((session for (session, _), _ in _paths(folder) if session <= _MAX_CLAIMED), default=0)


def claim(folder: Path) -> tuple[LineFile, int]:
    """Claim the next session by creating its first file; return the file, empty, and the session's number.

    Raises:
        OSError: the folder refuses.
    """
    session = last_session(folder)
    while True:
        session += 1
        try:
            return LineFile(folder / blocklog.file_name(session, 1)), session
        except FileExistsError:
            continue


def cut_off(tail: TornTail) -> None:
    """Cut a torn tail off: the only change that is ever made to a file of an earlier session.

    Raises:
        OSError: the disk refuses.
    """
    fd = os.open(tail.path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.ftruncate(fd, tail.good)
        os.fsync(fd)
    finally:
        os.close(fd)


def cut_all(tails: Iterable[TornTail]) -> list[blocklog.Torn]:
    """Cut torn tails off; return those that were, as the first line lists them.

    A tail that this process has no right to cut is left, and logged once.

    Raises:
        OSError: the disk refuses.
    """
    torn = []
    for tail in tails:
        with _skipping_other_files(tail.path):
            cut_off(tail)
            torn.append(blocklog.Torn(tail.path.name, tail.torn))
    return torn


def _paths(folder: Path) -> list[tuple[tuple[int, int], Path]]:
    """Return the log files in a folder, by session and segment, in the order in which they were written."""
    named = ((blocklog.parse_file_name(path.name), path) for path in folder.glob("*.jsonl"))
    return sorted((name, path) for name, path in named if name is not None and max(name) <= MAX_INTEGER)


@contextlib.contextmanager
def _skipping_other_files(path: Path) -> Iterator[None]:
    """Skip anything but a regular file that this process may use, and log that once.

    A file that vanishes meanwhile is skipped silently: another process claimed a session and released it.
    """
    try:
        yield
    except FileNotFoundError:
        pass
    except OSError as problem:
        if not is_not_regular(problem):
            raise
        if _logged.allow(str(path)):
            log.warning("file skipped", extra={"path": str(path), "why": problem.strerror or str(problem)})


def _after_last_newline(file: BinaryIO, size: int) -> int | None:
    """Return the offset after the last newline, 0 without one; None if none is in the last `MAX_LINE` bytes."""
    end = size
    while end > 0 and size - end <= blocklog.MAX_LINE:
        start = max(end - _CHUNK, 0)
        file.seek(start)
        if (index := file.read(end - start).rfind(b"\n")) >= 0:
            return start + index + 1
        end = start
    return 0 if end <= 0 else None


@dataclass
class _ReadFile:
    """The contents of one file, as offsets in bytes.

    Attributes:
        size: length of the file.
        good: end of the last line that ends in a newline.
        damaged: start of the first damaged line, None without one.
        is_sealed: whether its last good line is an end line.
        is_complete: whether all of it was read.
        receipts: offset and receipt of each block.
        fence: by which a server granted its session, 0 if that is not known.
    """

    size: int = 0
    good: int = 0
    damaged: int | None = None
    is_sealed: bool = False
    is_complete: bool = True
    receipts: list[tuple[int, wire.Receipt]] = field(default_factory=list)
    fence: int = 0


def _files(folder: Path) -> Iterator[tuple[tuple[int, int], _ReadFile]]:
    """Yield the contents of all log files, by session and segment, in the order in which they were written."""
    for name, path in _paths(folder):
        with _skipping_other_files(path), open_regular(path) as file:
            contents = _read(file)
            os.fsync(file.fileno())
            if not contents.is_complete and _logged.allow(str(path)):
                log.warning("file is too large for a log, its end is skipped", extra={"path": str(path)})
            yield name, contents


def _read(file: BinaryIO) -> _ReadFile:
    """Read one file, a line at a time."""
    contents = _ReadFile()
    for line in lines(file, blocklog.MAX_LINE, MAX_FILE):
        contents.size = line.at + line.size
        if not line.ended:
            break
        contents.good = contents.size
        try:
            entry = blocklog.codec.decode(line.data)[1] if line.data is not None else None
        except LineError:
            entry = None
        if entry is None:
            contents.damaged = line.at if contents.damaged is None else contents.damaged
            continue
        contents.is_sealed = isinstance(entry, blocklog.EndLine)
        if isinstance(entry, blocklog.OpenLine):
            contents.fence = max(contents.fence, entry.fence or 0)
        if isinstance(entry, blocklog.Block):
            contents.receipts.append((line.at, receipt_of(fields(entry))))
    status = os.fstat(file.fileno())
    if contents.size >= MAX_FILE and status.st_size > contents.size:
        contents.size, contents.is_complete = status.st_size, False
    return contents


def _add(history: OwnHistory, receipt: wire.Receipt) -> None:
    for first, last in RangeSet([(receipt.first, receipt.last)]) - RangeSet(receipt.missing):
        history.held.add(first, last)
    history.receipts.append(receipt)
