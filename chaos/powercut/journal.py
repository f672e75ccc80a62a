"""Runs in a client process: records in a journal what was synced, and slows the syncs down.

An entry is written only after the sync has returned, with the size from before the call, so a sync that was
interrupted by the kill does not count. Each entry is one ``write`` to a file that is opened for appending, outside of
the folder that loses power.
"""

from __future__ import annotations

import base64
import json
import os
import random
import signal
import stat
import threading
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch


class Recorder:
    """Wraps ``fsync``, ``fdatasync`` and ``ftruncate`` of one process."""

    def __init__(self, journal: Path, seed: str, slow_s: float, dies_at_call: int) -> None:
        """Prepare the wrappers.

        Args:
            journal: file for the entries.
            seed: decides the delays.
            slow_s: largest delay of a sync of a file's data, in seconds.
            dies_at_call: number of the call at which the process kills itself, 0 for none.
        """
        self._journal = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._dice, self._slow_s, self._dies_at_call = random.Random(seed), slow_s, dies_at_call
        self._calls = 0
        self._lock = threading.Lock()
        self._fsync, self._fdatasync, self._ftruncate = os.fsync, os.fdatasync, os.ftruncate

    def install(self) -> None:
        """Replace the three functions of ``os`` until the process ends."""
        for name in ("fsync", "fdatasync", "ftruncate"):
            patch.object(os, name, getattr(self, name)).start()

    def fsync(self, fd: int) -> None:
        """Sync, and record the file's size or the folder's names from before the call."""
        self._synced(self._fsync, fd, self._slow_s / 10)

    def fdatasync(self, fd: int) -> None:
        """Sync, and record the file's size from before the call."""
        self._synced(self._fdatasync, fd, self._slow_s)

    def ftruncate(self, fd: int, size: int) -> None:
        """Record the bytes that are cut off, since a power cut before the next sync may restore them; then truncate."""
        path = os.readlink(f"/proc/self/fd/{fd}")
        data = Path(path).read_bytes()
        self._write_entry(cut=path, size=size, tail=base64.b64encode(data[size:]).decode())
        self._count_call()
        self._ftruncate(fd, size)

    def _synced(self, sync: Any, fd: int, slow_s: float) -> None:
        path, status = os.readlink(f"/proc/self/fd/{fd}"), os.fstat(fd)
        is_folder = stat.S_ISDIR(status.st_mode)
        names = os.listdir(fd) if is_folder else []
        self._count_call()
        time.sleep(self._dice.uniform(0, slow_s))
        sync(fd)
        if is_folder:
            self._write_entry(folder=path, names=names)
        else:
            self._write_entry(file=path, size=status.st_size)

    def _count_call(self) -> None:
        with self._lock:
            self._calls += 1
            if self._calls == self._dies_at_call:
                os.kill(os.getpid(), signal.SIGKILL)

    def _write_entry(self, **fields: object) -> None:
        os.write(self._journal, json.dumps(fields).encode() + b"\n")
