"""What this client's own logs of a run already hold: where to resume, and what to say again."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from services.contract import blocklog, wire
from services.contract.errors import LineError
from services.contract.ranges import Ranges


@dataclass
class Tail:
    """A torn tail that a crash left: the file is good up to ``good`` bytes, ``torn`` more follow."""

    path: Path
    good: int
    torn: int


@dataclass
class History:
    """A client's logs of one run, read back."""

    held: Ranges = field(default_factory=Ranges)
    receipts: list[wire.Receipt] = field(default_factory=list)
    tails: list[Tail] = field(default_factory=list)


def receipt_of(block: blocklog.Block) -> wire.Receipt:
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


def read(folder: Path) -> History:
    """Read all logs in a client's folder; one that does not exist is an empty history.

    What is read is forced to disk: it will be receipted, and the process that wrote it may have crashed before it
    came to that. A damaged line is no history: what it held is the collector's to report.

    Raises:
        OSError: the disk refuses.
    """
    history = History()
    for path in sorted(folder.glob("*.jsonl")):
        if blocklog.parse_file_name(path.name) is None:
            continue
        with path.open("rb") as file:
            data = file.read()
            os.fsync(file.fileno())
        good = data.rfind(b"\n") + 1
        if good < len(data):
            history.tails.append(Tail(path, good, len(data) - good))
        for line in data[:good].splitlines(keepends=True):
            try:
                entry = blocklog.codec.decode(line)[1]
            except LineError:
                continue
            if isinstance(entry, blocklog.Block):
                for first, last in Ranges([(entry.first, entry.last)]) - Ranges(entry.missing):
                    history.held.add(first, last)
                history.receipts.append(receipt_of(entry))
    return history


def last_session(folder: Path) -> int:
    """Return the highest session number that was claimed in a client's folder, 0 for none."""
    named = (blocklog.parse_file_name(path.name) for path in folder.glob("*.jsonl"))
    return max((name[0] for name in named if name is not None), default=0)


def cut_off(tail: Tail) -> None:
    """Cut a torn tail off: the one change that is ever made to a file of an earlier session."""
    fd = os.open(tail.path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        os.ftruncate(fd, tail.good)
        os.fsync(fd)
    finally:
        os.close(fd)
