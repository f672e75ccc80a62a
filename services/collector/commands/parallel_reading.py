"""Reads the files of a large run in several processes, and merges their evidence.

Each process reads some of the files, and the first one the ledger as well. The evidence is the same as if one process
had read all of them. Files of one client may be read apart unless lines of them are about the same messages; then, and
for an external feed, whose clients are read whole, everything is read again by one process (ADR 62).
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from services.collector.evidence.log_evidence import FilesOverlap
from services.collector.evidence.run_evidence import RunEvidence
from services.collector.scan import FileRewritten, RunFiles, Source, read_file
from services.contract import blocklog
from services.contract.errors import LineError
from services.runtime.errors import EXIT_ABORTED, OperatorError

if TYPE_CHECKING:
    from ctypes import c_longlong
    from multiprocessing.connection import Connection

_LOOK_SECONDS = 0.2
"""Between two looks at how far the other processes are."""
LEAST_BYTES = 64_000_000
"""A smaller run is read by one process: starting others and merging takes longer than they save."""


class ReadingFailed(OperatorError):
    """A process that read some of the files ended early, so there is no verdict."""

    exit_code: ClassVar[int] = EXIT_ABORTED


def cores() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # macOS


def _ignore(_count: int) -> None:
    """Show no progress."""


def read_run(volumes: Path, run: str, jobs: int, on_read: Callable[[int], None] = _ignore) -> RunEvidence:
    """Read the ledger and the block logs of a run, with at most this many processes.

    Args:
        volumes: the volumes folder.
        run: the run.
        jobs: the highest number of processes.
        on_read: called with the number of bytes that were read since the last call.

    Raises:
        FileRewritten: files were rewritten meanwhile.
        ReadingFailed: one of the processes was killed, or failed.
    """
    shares = divided(volumes, run, jobs) if jobs > 1 else []
    if len(shares) > 1:
        try:
            return _read_shares(volumes, run, shares, on_read)
        except FilesOverlap:
            # What these files mean depends on the order of their lines, so one process has to read them.
            pass
    return read_files(volumes, run, on_read=on_read)


def read_files(
    volumes: Path,
    run: str,
    chosen: Callable[[Source], bool] | None = None,
    on_read: Callable[[int], None] = _ignore,
) -> RunEvidence:
    """Read the files of a run for which ``chosen`` returns true, by default all of them.

    Raises:
        FileRewritten: they were rewritten meanwhile.
    """
    # A command reads a run once, so the checksums for comparing it again later would be wasted.
    files, evidence = RunFiles(volumes, run, rechecked=False, chosen=chosen), RunEvidence(run)
    for source, lines in files.batches():
        evidence.add_lines(source, lines)
        on_read(sum(map(len, lines)))
    evidence.add_sources(files.sources())
    evidence.add_tails(files.tails())
    return evidence


def divided(volumes: Path, run: str, jobs: int) -> list[set[Source]]:
    """Return the block logs of a run in shares of about the same size; one share for a run that is small."""
    sizes = RunFiles(volumes, run).sizes()
    if sum(size for _, size in sizes) < LEAST_BYTES:
        return [set()]
    logs: dict[object, list[tuple[Source, int]]] = {}
    whole = {source.client for source, _ in sizes if _is_external(volumes, source)}
    for source, size in sizes:
        if source.client is not None:
            logs.setdefault(source.client if whole else source, []).append((source, size))
    # The first share is read together with the ledger.
    loads = [sum(size for source, size in sizes if source.client is None), *[0] * (jobs - 1)]
    shares: list[set[Source]] = [set() for _ in loads]
    for files in sorted(logs.values(), key=_bytes, reverse=True):
        least = loads.index(min(loads))
        loads[least] += _bytes(files)
        shares[least].update(source for source, _ in files)
    return [share for share in shares if share]


def _bytes(files: Sequence[tuple[Source, int]]) -> int:
    return sum(size for _, size in files)


def _is_external(volumes: Path, source: Source) -> bool:
    """Return whether a log is of an external feed, by its first line."""
    if source.client is None:
        return False
    try:
        with closing(read_file(volumes, source)) as lines:
            entry = blocklog.codec.decode(next(lines, b""))[1]
    except (OSError, LineError):
        return False
    return isinstance(entry, blocklog.OpenLine) and entry.external is not None


def _read_shares(volumes: Path, run: str, shares: Sequence[set[Source]], on_read: Callable[[int], None]) -> RunEvidence:
    others = set().union(*shares[1:])
    readers = [_Reader(volumes, run, share) for share in shares[1:]]

    def count(own: int) -> None:
        on_read(own + sum(reader.read_since() for reader in readers))

    try:
        # Everything that no other process reads, also files that were created since.
        evidence = read_files(volumes, run, lambda source: source not in others, count)
        for reader in readers:
            while not reader.is_done(_LOOK_SECONDS):
                count(0)
            evidence.merge(reader.evidence())
    finally:
        for reader in readers:
            reader.stop()
    return evidence


class _Reader:
    """A process that reads some of the files of a run."""

    def __init__(self, volumes: Path, run: str, share: Collection[Source]) -> None:
        # Imported here, since most runs are read by one process.
        from multiprocessing import Pipe, Process, RawValue  # noqa: PLC0415

        self._run = run
        # Written by the process alone.
        self._read, self._counted = RawValue("q", 0), 0
        self._receiver, sender = Pipe(duplex=False)
        # A daemon: it ends with this process.
        self._process = Process(target=_read_share, args=(sender, self._read, str(volumes), run, share), daemon=True)
        self._process.start()
        # The only other end is that of the process: when it ends, nothing more can come.
        sender.close()

    def read_since(self) -> int:
        """Return the number of bytes that the process has read since the last call."""
        before, self._counted = self._counted, self._read.value
        return self._counted - before

    def is_done(self, seconds: float) -> bool:
        """Return whether the process has ended or has its evidence, within this time."""
        return self._receiver.poll(seconds)

    def evidence(self) -> RunEvidence:
        """Wait for the evidence of the process, and return it."""
        try:
            read = self._receiver.recv()
        except EOFError as error:
            self._process.join()
            raise ReadingFailed(
                f"run {self._run}: a process that read its logs was ended before it was done (exit code"
                f" {self._process.exitcode}); fix: give the command more memory, or --jobs 1"
            ) from error
        if isinstance(read, FileRewritten):
            raise read
        if not isinstance(read, RunEvidence):
            raise ReadingFailed(f"run {self._run}: a process that read its logs failed: {read}")
        return read

    def stop(self) -> None:
        """End the process, unless it has ended."""
        self._receiver.close()
        self._process.kill()
        self._process.join()


def _read_share(sender: Connection, counter: c_longlong, volumes: str, run: str, share: Collection[Source]) -> None:
    # An operator's interrupt ends all processes of the command, and the first one reports it.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    read: RunEvidence | FileRewritten | str

    def count(length: int) -> None:
        counter.value += length

    try:
        read = read_files(Path(volumes), run, share.__contains__, count)
    except FileRewritten as rewritten:
        read = rewritten
    except Exception as error:  # noqa: BLE001
        read = f"{type(error).__name__}: {error}"
    sender.send(read)
