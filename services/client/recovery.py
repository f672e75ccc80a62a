"""What this client's own logs of a run already hold: where to resume, and what to say again."""

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

from services.contract import blocklog, wire
from services.contract.errors import LineError
from services.contract.rangeset import RangeSet
from services.contract.scalars import MAX_INTEGER
from services.runtime.durable_file import LineFile
from services.runtime.jsonlogs import LogOnce
from services.runtime.regular_files import NotARegularFile, is_not_regular, lines, open_regular

log = logging.getLogger(__name__)

MAX_FILE = 4 * blocklog.SEGMENT_BYTES
"""Bytes of a file that are read back. A segment of ours ends with the line that reaches a quarter of that."""

_PIECE = 256 * 1024
_MOST_CLAIMED = MAX_INTEGER - 1_000_000
_told = LogOnce()


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
        held: the seqs of all blocks that count.
        receipts: one for each of them.
        tails: what a crash left, to be cut off.
        doubted: whether one of the tails holds whole lines.
        sizes: of the files, by session and segment, as they were read.
    """

    held: RangeSet = field(default_factory=RangeSet)
    receipts: list[wire.Receipt] = field(default_factory=list)
    tails: list[TornTail] = field(default_factory=list)
    doubted: bool = False
    sizes: dict[tuple[int, int], int] = field(default_factory=dict)


def receipt_of(block: blocklog.BlockHeader) -> wire.Receipt:
    """Return the receipt for a block that is on disk."""
    return wire.Receipt(
        session=block.session,
        block=block.block,
        first=block.first,
        last=block.last,
        count=block.count,
        missing=block.missing,
        digest=block.digest,
        took_ns=block.duration_ns,
    )


def read(folder: Path, *, doubt: bool = True) -> OwnHistory:
    """Read all logs in a client's folder; one that does not exist is an empty history.

    What is read is forced to disk: it will be receipted, and the process that wrote it may have crashed before it
    came to that. A damaged line is no history: what it held is the collector's to report. What is no file of ours,
    a link or a pipe, is passed over, and logged once.

    Args:
        folder: the client's, in one run.
        doubt: where the session before broke off, what stands behind a damaged line counts as torn, too: a power
            cut keeps of what was not synced what it likes, a later block without an earlier one. Right unless some
            of that was receipted: then it was synced, the damage came later, and good lines are never touched.

    Raises:
        OSError: the disk refuses.
    """
    history, files = OwnHistory(), dict(_files(folder))
    history.sizes = {name: read.size for name, read in files.items()}
    broken_off = max((name for name, read in files.items() if read.size), default=None)
    for name, read_file in files.items():
        good = read_file.good
        if doubt and name == broken_off and read_file.damaged is not None and not read_file.sealed:
            history.doubted, good = True, read_file.damaged
        if good < read_file.size and read_file.whole:
            history.tails.append(TornTail(folder / blocklog.file_name(*name), good, read_file.size - good))
        for at, receipt in read_file.blocks:
            if at < good:
                _take(history, receipt)
    return history


def torn_tails(folder: Path) -> list[TornTail]:
    """Return what crashes left behind the last newline of each file, whatever its lines say.

    Raises:
        OSError: the disk refuses.
    """
    tails = []
    for _, path in _paths(folder):
        with _passing_over(path), open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            good = _after_last_newline(file, size)
            if good is None:
                raise NotARegularFile(errno.EFBIG, f"no line ends in its last {blocklog.MAX_LINE} bytes", str(path))
            if good < size:
                tails.append(TornTail(path, good, size - good))
    return tails


def sizes(folder: Path) -> dict[tuple[int, int], int]:
    """Return the sizes of all log files, by session and segment."""
    found = {}
    for name, path in _paths(folder):
        with contextlib.suppress(FileNotFoundError):
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                found[name] = status.st_size
    return found


def _paths(folder: Path) -> list[tuple[tuple[int, int], Path]]:
    named = ((blocklog.parse_file_name(path.name), path) for path in folder.glob("*.jsonl"))
    return sorted((name, path) for name, path in named if name is not None and max(name) <= MAX_INTEGER)


@contextlib.contextmanager
def _passing_over(path: Path) -> Iterator[None]:
    """Pass over what is no file of ours, and say so once; what vanishes meanwhile was claimed and given back."""
    try:
        yield
    except FileNotFoundError:
        pass
    except OSError as problem:
        if not is_not_regular(problem):
            raise
        if _told.due(str(path)):
            log.warning("file passed over", extra={"path": str(path), "why": problem.strerror or str(problem)})


def _after_last_newline(file: BinaryIO, size: int) -> int | None:
    """Return the offset behind the last newline, 0 without one; None when a line's length was searched in vain."""
    end = size
    while end > 0 and size - end <= blocklog.MAX_LINE:
        start = max(end - _PIECE, 0)
        file.seek(start)
        if (place := file.read(end - start).rfind(b"\n")) >= 0:
            return start + place + 1
        end = start
    return 0 if end <= 0 else None


@dataclass
class _File:
    """What one file says. Places are offsets in bytes; ``whole`` is whether all of it was looked at."""

    size: int = 0
    good: int = 0
    damaged: int | None = None
    sealed: bool = False
    whole: bool = True
    blocks: list[tuple[int, wire.Receipt]] = field(default_factory=list)


def _files(folder: Path) -> Iterator[tuple[tuple[int, int], _File]]:
    """Yield what all log files say, by session and segment, in the order in which they were written."""
    for name, path in _paths(folder):
        with _passing_over(path), open_regular(path) as file:
            read_file = _read(file)
            os.fsync(file.fileno())
            if not read_file.whole and _told.due(str(path)):
                log.warning("file is no log of ours, its end is passed over", extra={"path": str(path)})
            yield name, read_file


def _read(file: BinaryIO) -> _File:
    """Read one file, a line at a time."""
    said = _File()
    for line in lines(file, blocklog.MAX_LINE, MAX_FILE):
        said.size = line.at + line.size
        if not line.ended:
            break
        said.good = said.size
        try:
            entry = blocklog.codec.decode(line.data)[1] if line.data is not None else None
        except LineError:
            entry = None
        if entry is None:
            said.damaged = line.at if said.damaged is None else said.damaged
            continue
        said.sealed = isinstance(entry, blocklog.EndLine)
        if isinstance(entry, blocklog.Block):
            said.blocks.append((line.at, receipt_of(entry)))
    status = os.fstat(file.fileno())
    if said.size >= MAX_FILE and status.st_size > said.size:
        said.size, said.whole = status.st_size, False
    return said


def _take(history: OwnHistory, receipt: wire.Receipt) -> None:
    for first, last in RangeSet([(receipt.first, receipt.last)]) - RangeSet(receipt.missing):
        history.held.add(first, last)
    history.receipts.append(receipt)


def last_session(folder: Path) -> int:
    """Return the highest session number that was claimed in a client's folder, 0 for none.

    Numbers that leave no room for those that follow are nobody's.
    """
    return max((session for (session, _), _ in _paths(folder) if session <= _MOST_CLAIMED), default=0)


def claim(folder: Path) -> tuple[LineFile, int]:
    """Claim the next session by creating its first file; return that, empty, and the session's number.

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
    """Cut a torn tail off: the one change that is ever made to a file of an earlier session.

    Raises:
        OSError: the disk refuses.
    """
    fd = os.open(tail.path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        os.ftruncate(fd, tail.good)
        os.fsync(fd)
    finally:
        os.close(fd)


def cut_all(tails: Iterable[TornTail]) -> list[TornTail]:
    """Cut torn tails off; return those that are off. One that this process may not cut is left, and said once.

    Raises:
        OSError: the disk refuses.
    """
    cut = []
    for tail in tails:
        with _passing_over(tail.path):
            cut_off(tail)
            cut.append(tail)
    return cut
