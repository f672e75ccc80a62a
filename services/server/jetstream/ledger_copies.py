"""Copies of other servers' ledgers, in the folder of this server: made of pieces that arrive in any number of repeats.

A piece has its place in the file, so a repeated piece changes nothing, and a missing one ends the copy there. The
original is never touched: it exists before the first piece of it is sent, and is never shorter than what was sent.
"""

from __future__ import annotations

import logging
import os
import re
import time
from pathlib import Path

from services.contract.scalars import is_run

log = logging.getLogger(__name__)

_INSTANCE = re.compile(r"[0-9a-f]{12}")
_RECENT_SECONDS = 3.0


class LedgerCopies:
    """The copies below one folder.

    Args:
        root: folder with one folder for each run.
        own: instance whose ledgers this process writes itself.

    Attributes:
        sizes: bytes of each ledger, by run and instance, that are known from pieces; those of ``own`` included.
    """

    def __init__(self, root: Path, own: str) -> None:
        self._root, self._own = root, own
        self.sizes: dict[tuple[str, str], int] = {}
        self._broken: set[tuple[str, str]] = set()

    def add(self, run: str, instance: str, offset: int, data: bytes, at_us: int) -> None:
        """Add a piece.

        Args:
            run: name of the run.
            instance: server process that wrote the ledger.
            offset: of the piece in the ledger, in bytes.
            data: the bytes.
            at_us: when the piece was sent, epoch microseconds; old pieces must not make a dead server look alive.

        Raises:
            OSError: the disk refuses; the same piece can be added again.
        """
        if not is_run(run) or not _INSTANCE.fullmatch(instance) or offset < 0:
            log.warning("not a piece of a ledger", extra={"run": run[:80], "instance": instance[:80]})
            return
        key, end = (run, instance), offset + len(data)
        if instance != self._own:
            path = self._root / run / f"{instance}.jsonl"
            if self._has_gap(path, offset, key):
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            self._write(path, offset, data)
            age_seconds = time.time() - at_us / 1_000_000
            if age_seconds > _RECENT_SECONDS:
                os.utime(path, ns=(at_us * 1000, at_us * 1000))
        self.sizes[key] = max(self.sizes.get(key, 0), end)

    def _has_gap(self, path: Path, offset: int, key: tuple[str, str]) -> bool:
        """Return whether bytes before a piece are missing."""
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            size = 0
        if offset > size and key not in self._broken:
            self._broken.add(key)
            log.warning("copy of a ledger has a gap", extra={"path": str(path), "has": size, "next": offset})
        return offset > size

    @staticmethod
    def _write(path: Path, offset: int, data: bytes) -> None:
        """Append what the file lacks of a piece."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o664)
        try:
            size = os.fstat(descriptor).st_size
            missing = memoryview(data)[size - offset :]
            while missing:
                written = os.pwrite(descriptor, missing, size)
                size, missing = size + written, missing[written:]
        finally:
            os.close(descriptor)

    def touch(self, run: str, instance: str) -> None:
        """Note that a server lives: its copy is touched, as it touches the original."""
        if instance != self._own and (run, instance) in self.sizes:
            try:
                os.utime(self._root / run / f"{instance}.jsonl")
            except OSError as problem:
                log.debug("copy not touched", extra={"why": str(problem)})
