"""Who writes to which file: looked at while it happens, and proved from the files when it is over."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from services.contract import blocklog
from services.contract.jsonl import FIRST
from tests.readers import Volumes, lines_of

LOOK_SECONDS = 0.05


def written_by(pid: int, root: str) -> set[str]:
    """Return the log files below ``root`` that a process has open for writing now."""
    found = set()
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            path = os.readlink(f"/proc/{pid}/fd/{fd}").removesuffix(" (deleted)")
            if path.startswith(root) and path.endswith(".jsonl") and _is_for_writing(pid, fd):
                found.add(path)
    except OSError:  # it has ended, or has closed the file since
        pass
    return found


def _is_for_writing(pid: int, fd: str) -> bool:
    with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii") as info:
        flags = next(line for line in info if line.startswith("flags:"))
    return bool(int(flags.split()[1], 8) & os.O_ACCMODE)


class Watch:
    """Looks, again and again, at the files that some processes have open for writing."""

    def __init__(self, root: Path | str, pids: Callable[[], Iterable[int]], every: float = LOOK_SECONDS) -> None:
        """Begin with no look; ``root`` is the folder as the processes see it, ``every`` in seconds."""
        self._root, self._pids, self._every = os.path.realpath(root), pids, every
        self.writers: dict[str, set[int]] = {}
        """Every process that was ever seen to have a file open for writing. A name that was given back may be
        claimed again, so more than one is no fault by itself."""
        self.together: list[tuple[str, set[int]]] = []
        """Files that two processes had open for writing in one look."""
        self.looks = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._over.wait(self._every):
            self.look()

    def look_at(self, pid: int) -> set[str]:
        """Return which files a process has open for writing now."""
        return written_by(pid, self._root)

    def look(self) -> dict[str, set[int]]:
        """Look once; return who has which file open for writing."""
        now: dict[str, set[int]] = {}
        for pid in self._pids():
            for path in written_by(pid, self._root):
                now.setdefault(path, set()).add(pid)
        # One process after the other: a file may have been closed by one before the other opened it.
        shared = {path: pids for path, pids in now.items() if len(pids) > 1}
        for path, pids in shared.items():
            still = {pid for pid in pids if path in written_by(pid, self._root)}
            if len(still) > 1:
                self.together.append((path, still))
        for path, pids in now.items():
            self.writers.setdefault(path, set()).update(pids)
        self.looks += 1
        return now

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        self._over.set()
        self._thread.join(10)


def assert_one_writer_each(volumes: Volumes) -> int:
    """Hold every file to one process, one session, one client and one unbroken chain; return how many lines it has."""
    lines, owners, ends = 0, dict[tuple[str, int], str](), dict[tuple[str, str], str]()
    for name in volumes.clients():
        for path in volumes.files(name):
            said = [blocklog.codec.decode(line) for line in lines_of(path)]
            lines += len(said)
            for sealed, _ in said:
                # A later segment goes on where the one before stopped.
                session = name, path.name[:4]
                assert ends.get(session, FIRST) == sealed.prev, f"{path}: the chain is broken"
                ends[session] = sealed.crc
            opens = [entry for _, entry in said if isinstance(entry, blocklog.OpenLine)]
            assert len(opens) == min(1, len(said)), f"{path}: {len(opens)} open lines"
            for entry in opens:
                assert (name, path.name) == (entry.client, blocklog.file_name(entry.session, entry.segment)), path
                owner = owners.setdefault((name, entry.session), entry.instance)
                assert owner == entry.instance, f"{path}: session {entry.session} has two processes"
            for block in (entry for _, entry in said if isinstance(entry, blocklog.Block)):
                assert (name, path.name[:4]) == (block.client, f"{block.session:04d}"), f"{path}: a mixed block"
                seqs = [message.seq for message in block.messages]
                assert len(seqs) == block.count == len(set(seqs)), f"{path}: block {block.block} is mixed"
    return lines
