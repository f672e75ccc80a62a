"""Checks that each file has one writer: by sampling open files during the run, and from the files afterwards."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

from chaos.polling_thread import PollingThread
from services.contract import blocklog
from services.contract.jsonl import FIRST
from tests.readers import Volumes, lines_of

SAMPLE_SECONDS = 0.05


def written_by(pid: int, root: str) -> set[str]:
    """Return the log files below ``root`` that a process has open for writing."""
    paths = set()
    try:
        for fd in os.listdir(f"/proc/{pid}/fd"):
            path = os.readlink(f"/proc/{pid}/fd/{fd}").removesuffix(" (deleted)")
            if path.startswith(root) and path.endswith(".jsonl") and _is_for_writing(pid, fd):
                paths.add(path)
    except OSError:  # the process has ended, or has closed the file meanwhile
        pass
    return paths


def _is_for_writing(pid: int, fd: str) -> bool:
    with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii") as info:
        flags = next(line for line in info if line.startswith("flags:"))
    return bool(int(flags.split()[1], 8) & os.O_ACCMODE)


class WriterWatch(PollingThread):
    """Samples the files that processes have open for writing."""

    def __init__(self, root: Path | str, pids: Callable[[], Iterable[int]], interval_s: float = SAMPLE_SECONDS) -> None:
        """Watch the log files below ``root``, the folder as the processes see it."""
        super().__init__(self.sample, interval_s)
        self._root, self._pids = os.path.realpath(root), pids
        self.writers: dict[str, set[int]] = {}
        """All processes that had each file open for writing at some time. More than one is no error by itself, since a
        name that was given back may be claimed again."""
        self.shared: list[tuple[str, set[int]]] = []
        """Files that two processes had open for writing in one sample."""
        self.samples = 0

    def open_files(self, pid: int) -> set[str]:
        """Return the files that a process has open for writing."""
        return written_by(pid, self._root)

    def sample(self) -> dict[str, set[int]]:
        """Take one sample; return the processes that have each file open for writing."""
        writers_now: dict[str, set[int]] = {}
        for pid in self._pids():
            for path in written_by(pid, self._root):
                writers_now.setdefault(path, set()).add(pid)
        # Processes are sampled one after the other, so check again: one may have closed it before the other opened it.
        shared = {path: pids for path, pids in writers_now.items() if len(pids) > 1}
        for path, pids in shared.items():
            still = {pid for pid in pids if path in written_by(pid, self._root)}
            if len(still) > 1:
                self.shared.append((path, still))
        for path, pids in writers_now.items():
            self.writers.setdefault(path, set()).update(pids)
        self.samples += 1
        return writers_now


def assert_one_writer_each(volumes: Volumes) -> int:
    """Check that every file has one process, session and client, and an unbroken chain; return the number of lines."""
    lines, owners, last_checksums = 0, dict[tuple[str, int], str](), dict[tuple[str, str], str]()
    for name in volumes.clients():
        for path in volumes.files(name):
            entries = [blocklog.codec.decode(line) for line in lines_of(path)]
            lines += len(entries)
            for sealed, _ in entries:
                # The chain continues over the segments of a session.
                session = name, path.name[:4]
                assert last_checksums.get(session, FIRST) == sealed.prev, f"{path}: the chain is broken"
                last_checksums[session] = sealed.crc
            opens = [entry for _, entry in entries if isinstance(entry, blocklog.OpenLine)]
            assert len(opens) == min(1, len(entries)), f"{path}: {len(opens)} open lines"
            for entry in opens:
                assert (name, path.name) == (entry.client, blocklog.file_name(entry.session, entry.segment)), path
                owner = owners.setdefault((name, entry.session), entry.instance)
                assert owner == entry.instance, f"{path}: session {entry.session} has two processes"
            for block in (entry for _, entry in entries if isinstance(entry, blocklog.Block)):
                assert (name, path.name[:4]) == (block.client, f"{block.session:04d}"), f"{path}: a mixed block"
                seqs = [message.seq for message in block.messages]
                assert len(seqs) == block.count == len(set(seqs)), f"{path}: block {block.block} is mixed"
    return lines
