"""Copies the files of one run from one node into the folder of the collector: it only appends, as files only grow.

The size of a copy is how far its file was pulled, so a collector that starts again continues where it was. Copies are
named after their node, so files with one name at two nodes never mix.
"""

from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from services.collector.formatting import displayable
from services.contract.bounds import FREE_BYTES
from services.contract.nodes import NodeFile, NodeListing, encoded_name
from services.contract.scalars import MAX_INTEGER

SAMPLE = 4096
"""Bytes before the end of a copy that are compared with its file, to detect that it is another one."""
PASS_SECONDS = 5.0
"""A pass that takes longer continues later, so that one run with much data does not hold up the others."""
_LONGEST_NAME = 255
_LONGEST_PREFIX = 128
_LATEST_NS = MAX_INTEGER * 1000
"""In the year 2255; file systems refuse times that are much later."""

ReadPart = Callable[[NodeFile, int], bytes]
"""Returns bytes of a file from an offset on; none at its end."""


@dataclass
class PassReport:
    """What one pass over the files of a run has found.

    Attributes:
        files: how many files the node has.
        has_changed: bytes or files are new.
        is_complete: the copies have every byte that the listing names.
        faults: what contradicts that files only grow, a sentence each.
    """

    files: int = 0
    has_changed: bool = False
    is_complete: bool = True
    faults: list[str] = field(default_factory=list)


def node_prefix(node: str) -> str:
    """Return the begin of the names of a node's copies: ``~`` ends it and is nowhere else in it."""
    prefix = encoded_name(node.encode()).replace("~", "%7E")
    # The name of a file, or its digest, follows; together they have to be a name that file systems accept.
    return (prefix if len(prefix) <= _LONGEST_PREFIX else hashlib.sha256(node.encode()).hexdigest()) + "~"


class NodeCopy:
    """The copies of the files of one node.

    Args:
        volumes: the folder of the collector.
        node: name of the node.
        now: returns monotonic seconds.
    """

    def __init__(self, volumes: Path, node: str, now: Callable[[], float] = time.monotonic) -> None:
        self._volumes, self._prefix, self._now = volumes, node_prefix(node), now
        self._compared: set[Path] = set()
        self._at: Path | None = None

    def pull(self, listing: NodeListing, read: ReadPart) -> PassReport:
        """Append what is new to the copies of a run.

        Args:
            listing: the node's files, as they are now.
            read: reads a file at the node.

        Raises:
            NodeUnreachable: the node does not answer.
            OSError: a copy cannot be written.
        """
        report, until = PassReport(files=len(listing.files)), self._now() + PASS_SECONDS
        places = {self._place(listing.run, file): file for file in listing.files}
        # A block is written before its receipt: with the ledger first, the block of each receipt is there.
        order = sorted(places, key=lambda place: (places[place].client is not None, place))
        # A pass that was cut short continues at its file, so that the last files have their turn too.
        start = order.index(self._at) if self._at in places else 0
        self._at = None
        for number, place in enumerate(order[start:] + order[:start]):
            if number and self._now() > until:
                self._at, report.is_complete = place, False
                break
            self._pull_file(place, places[place], read, report, until)
        gone = sorted(copy for copy in self._copies(listing.run) if copy not in places)
        report.faults += [
            f"{self._shown(copy)} is no longer there, of which {copy.stat().st_size:,} bytes were pulled"
            for copy in gone
        ]
        return report

    def _pull_file(self, place: Path, file: NodeFile, read: ReadPart, report: PassReport, until: float) -> None:
        size = place.lstat().st_size if place.exists() else -1
        if size < 0:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.touch()
            size, report.has_changed = 0, True
        if file.has_hole:
            report.faults.append(f"{self._shown(place)} has a hole after {file.size:,} bytes, as no log has")
        changed_ns = min(max(file.changed_ns, 0), _LATEST_NS)
        is_changed = place.stat().st_mtime_ns != changed_ns
        if file.size < size:
            report.faults.append(f"{self._shown(place)} has {file.size:,} bytes, of which {size:,} were pulled before")
            return
        # A file of the same size may be another one: it is compared if it was changed, and once by each process.
        must_compare = is_changed or place not in self._compared
        if (file.size > size or must_compare) and not self._append(place, file, size, read, report, until):
            return
        self._compared.add(place)
        if is_changed:
            # The time of the last change shows that a server lives: it touches its ledger.
            os.utime(place, ns=(changed_ns, changed_ns))

    def _append(self, place: Path, file: NodeFile, size: int, read: ReadPart, report: PassReport, until: float) -> bool:
        """Append to a copy of ``size`` bytes; return whether it is complete and is one of this file."""
        with place.open("r+b") as copy:
            while True:
                first = max(size - SAMPLE, 0)
                copy.seek(first)
                known, data = copy.read(size - first), read(file, first)
                if not data.startswith(known):
                    report.faults.append(f"{self._shown(place)} is another file than the one that was pulled before")
                    return False
                if len(data) > len(known):
                    _check_room(copy.fileno())
                    copy.seek(size)
                    copy.write(data[len(known) :])
                    report.has_changed = True
                size = first + len(data)
                if size >= file.size:
                    return True
                if len(data) == len(known) or self._now() > until:
                    report.is_complete = False
                    return False

    def _place(self, run: str, file: NodeFile) -> Path:
        name = encoded_name(file.raw_name)
        if len(self._prefix) + len(name) > _LONGEST_NAME:
            name = hashlib.sha256(file.raw_name).hexdigest() + ".jsonl"
        return self._folder(run, file.client) / (self._prefix + name)

    def _folder(self, run: str, client: str | None) -> Path:
        return self._volumes / "ledger" / run if client is None else self._volumes / "logs" / run / client

    def _copies(self, run: str) -> list[Path]:
        folders = [self._folder(run, None), *(self._volumes / "logs" / run).glob("*")]
        return [copy for folder in folders for copy in folder.glob("*.jsonl") if copy.name.startswith(self._prefix)]

    def _shown(self, place: Path) -> str:
        name = place.name.removeprefix(self._prefix)
        return displayable(str(place.parent.relative_to(self._volumes) / name))


def _check_room(descriptor: int) -> None:
    """Raise an error if the disk of a file has no room for more: a node states the sizes of its files itself.

    Raises:
        OSError: with the code of a full disk.
    """
    disk = os.fstatvfs(descriptor)
    if disk.f_bavail * disk.f_frsize < FREE_BYTES.value:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
