"""What this client's own logs of a run already hold: where to resume, and what to say again."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from services.contract import blocklog, wire
from services.contract.errors import LineError
from services.contract.ranges import Ranges
from services.runtime.files import LineFile


@dataclass
class Tail:
    """A torn tail that a crash left: the file is good up to ``good`` bytes, ``torn`` more follow."""

    path: Path
    good: int
    torn: int


@dataclass
class History:
    """A client's logs of one run, read back.

    Attributes:
        held: the seqs of all blocks that count.
        receipts: one for each of them.
        tails: what a crash left, to be cut off.
        doubted: whether one of the tails holds whole lines.
        sizes: of the files, by session and segment, as they were read.
    """

    held: Ranges = field(default_factory=Ranges)
    receipts: list[wire.Receipt] = field(default_factory=list)
    tails: list[Tail] = field(default_factory=list)
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


def read(folder: Path, *, doubt: bool = True) -> History:
    """Read all logs in a client's folder; one that does not exist is an empty history.

    What is read is forced to disk: it will be receipted, and the process that wrote it may have crashed before it
    came to that. A damaged line is no history: what it held is the collector's to report.

    Args:
        folder: the client's, in one run.
        doubt: where the session before broke off, what stands behind a damaged line counts as torn, too: a power
            cut keeps of what was not synced what it likes, a later block without an earlier one. Right unless some
            of that was receipted: then it was synced, the damage came later, and good lines are never touched.

    Raises:
        OSError: the disk refuses.
    """
    files = _files(folder)
    history = History(sizes={name: len(data) for name, data in files.items()})
    broken_off = max((name for name, data in files.items() if data), default=None)
    for name, data in files.items():
        good = data.rfind(b"\n") + 1
        entries, damaged = _entries(data[:good])
        sealed = bool(entries) and isinstance(entries[-1][1], blocklog.End)
        if doubt and name == broken_off and damaged is not None and not sealed:
            history.doubted, good = True, damaged
        if good < len(data):
            history.tails.append(Tail(folder / blocklog.file_name(*name), good, len(data) - good))
        for at, entry in entries:
            if at < good and isinstance(entry, blocklog.Block):
                _take(history, entry)
    return history


def torn_tails(folder: Path) -> list[Tail]:
    """Return what crashes left behind the last newline of each file, whatever its lines say.

    Raises:
        OSError: the disk refuses.
    """
    tails = []
    for _, path in _paths(folder):
        with contextlib.suppress(FileNotFoundError):
            data = path.read_bytes()
            good = data.rfind(b"\n") + 1
            if good < len(data):
                tails.append(Tail(path, good, len(data) - good))
    return tails


def sizes(folder: Path) -> dict[tuple[int, int], int]:
    """Return the sizes of all log files, by session and segment."""
    return {name: path.stat().st_size for name, path in _paths(folder) if path.exists()}


def _paths(folder: Path) -> list[tuple[tuple[int, int], Path]]:
    named = ((blocklog.parse_file_name(path.name), path) for path in folder.glob("*.jsonl"))
    return sorted((name, path) for name, path in named if name is not None)


def _files(folder: Path) -> dict[tuple[int, int], bytes]:
    """Return the bytes of all log files by session and segment, in the order in which they were written."""
    found = {}
    for name, path in _paths(folder):
        # What another process claimed and gave back meanwhile held nothing.
        with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
            found[name] = file.read()
            os.fsync(file.fileno())
    return found


def _entries(data: bytes) -> tuple[list[tuple[int, blocklog.Entry]], int | None]:
    """Return the good lines, each with its place in the file, and the place of the first damaged one."""
    entries: list[tuple[int, blocklog.Entry]] = []
    damaged, at = None, 0
    for line in data.split(b"\n")[:-1]:
        try:
            entries.append((at, blocklog.codec.decode(line + b"\n")[1]))
        except LineError:
            damaged = at if damaged is None else damaged
        at += len(line) + 1
    return entries, damaged


def _take(history: History, block: blocklog.Block) -> None:
    for first, last in Ranges([(block.first, block.last)]) - Ranges(block.missing):
        history.held.add(first, last)
    history.receipts.append(receipt_of(block))


def last_session(folder: Path) -> int:
    """Return the highest session number that was claimed in a client's folder, 0 for none."""
    return max((session for (session, _), _ in _paths(folder)), default=0)


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


def cut_off(tail: Tail) -> None:
    """Cut a torn tail off: the one change that is ever made to a file of an earlier session."""
    fd = os.open(tail.path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.ftruncate(fd, tail.good)
        os.fsync(fd)
    finally:
        os.close(fd)
