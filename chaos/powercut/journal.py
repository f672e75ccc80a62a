"""Loaded into a client process: notes what its disk has been told to keep, and makes that disk slow.

What was synced is written down only when the call has returned, with the size from before the call, so a sync that
the kill interrupted counts for nothing. Each note is one ``write`` to a file opened for appending, outside of the
folder that loses power.
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
    """Stands before ``fsync``, ``fdatasync`` and ``ftruncate`` of one process."""

    def __init__(self, journal: Path, seed: str, slow_s: float, dies_at: int) -> None:
        """Note into ``journal``; delay each sync of a file's data by up to ``slow_s`` seconds.

        ``dies_at`` is the number of the call that the process does not survive, 0 for none.
        """
        self._journal = os.open(journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self._dice, self._slow_s, self._dies_at = random.Random(seed), slow_s, dies_at
        self._calls = 0
        self._lock = threading.Lock()
        self._fsync, self._fdatasync, self._ftruncate = os.fsync, os.fdatasync, os.ftruncate

    def install(self) -> None:
        """Take the place of the three calls for the rest of this process's life."""
        for name in ("fsync", "fdatasync", "ftruncate"):
            patch.object(os, name, getattr(self, name)).start()

    def fsync(self, fd: int) -> None:
        """Sync, and note what was there before: a file's bytes, or a folder's names."""
        self._synced(self._fsync, fd, self._slow_s / 10)

    def fdatasync(self, fd: int) -> None:
        """Sync, and note the file's size before."""
        self._synced(self._fdatasync, fd, self._slow_s)

    def ftruncate(self, fd: int, size: int) -> None:
        """Note what is about to be cut off: until the next sync it may come back. Then cut."""
        path = os.readlink(f"/proc/self/fd/{fd}")
        data = Path(path).read_bytes()
        self._note(cut=path, size=size, tail=base64.b64encode(data[size:]).decode())
        self._live()
        self._ftruncate(fd, size)

    def _synced(self, sync: Any, fd: int, slow_s: float) -> None:
        path, status = os.readlink(f"/proc/self/fd/{fd}"), os.fstat(fd)
        is_folder = stat.S_ISDIR(status.st_mode)
        names = os.listdir(fd) if is_folder else []
        self._live()
        time.sleep(self._dice.uniform(0, slow_s))
        sync(fd)
        if is_folder:
            self._note(folder=path, names=names)
        else:
            self._note(file=path, size=status.st_size)

    def _live(self) -> None:
        with self._lock:
            self._calls += 1
            if self._calls == self._dies_at:
                os.kill(os.getpid(), signal.SIGKILL)

    def _note(self, **said: object) -> None:
        os.write(self._journal, json.dumps(said).encode() + b"\n")
