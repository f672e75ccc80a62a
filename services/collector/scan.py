"""Finds the runs of a volumes folder and yields the complete lines of their files, each once. Never writes.

Lines are yielded in batches of one file: what is done for each batch need not be done for each line.
A line without a newline is left for the next poll, because its writer may not have finished it. The lines of a file
decide what it is, not its name, so every ``*.jsonl`` file is read; links, pipes and folders that are links are skipped.
A client may write anything into its folder, so every cost is bounded: the length of a line, the part of an unfinished
line that is read again, and the holes of a sparse file.
"""

from __future__ import annotations

import os
import re
import stat
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from io import FileIO
from itertools import chain
from pathlib import Path

from services.collector.file_lines import PIECE, cut, hole, reader
from services.collector.formatting import displayable
from services.contract.blocklog import MAX_LINE
from services.contract.scalars import RUN_PATTERN, is_name, run_order

LONG_TAIL = 2 * PIECE
"""Of an unfinished line longer than this, later polls read only the bytes that were added."""
SAMPLE = 64
"""Bytes at the end of a long unfinished line that are compared to detect that it was replaced."""

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class FileRewritten(Exception):
    """A file has lost bytes that were read, or was removed: the run must be read again from the beginning."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file of a run; ``client`` is the name of its folder, None for the ledger."""

    run: str
    client: str | None
    name: str

    @property
    def path(self) -> str:
        """The displayed path, relative to the volumes folder: see `formatting.displayable`.

        It equals `place` for every file that this project writes.
        """
        return displayable(self.place)

    @property
    def place(self) -> str:
        """The path relative to the volumes folder with which the file is opened; it may contain any bytes."""
        if self.client is None:
            return f"ledger/{self.run}/{self.name}"
        return f"logs/{self.run}/{self.client}/{self.name}"


@dataclass(frozen=True)
class FileTail:
    """The rest of a file: the number of bytes after its last newline, or the reason why it could not be read."""

    source: Source
    size: int
    refused: str | None = None


@dataclass(slots=True)
class _ReadPosition:
    """How far a file has been read.

    Attributes:
        offset: bytes whose lines were yielded.
        size: size of the file at the last reading.
        crc: checksum of the yielded bytes.
        refused: why the file could not be read.
        sample: last bytes of a long unfinished line.
        has_hole: whether a hole was reached, after which nothing is read.
    """

    offset: int = 0
    size: int = 0
    crc: int = 0
    refused: str | None = None
    sample: bytes = b""
    has_hole: bool = False


def find_runs(volumes: Path) -> list[str]:
    """Return the runs that have a ledger or logs, oldest first.

    Raises:
        OSError: a folder cannot be listed.
    """
    names = set(_folders(volumes / "ledger"))
    # Clients of an external feed that start together may create several folders before they agree on one of them.
    logs = volumes / "logs"
    names |= {name for name in _folders(logs) if re.match(RUN_PATTERN, name) and _has_folder(logs / name)}
    return sorted((name for name in names if re.match(RUN_PATTERN, name)), key=run_order)


def newest_run(volumes: Path, runs: Sequence[str], *, has_server: bool) -> str | None:
    """Return the run to show as the newest one; None without any.

    Args:
        volumes: the volumes folder.
        runs: its runs, oldest first.
        has_server: the feed is this project's own. Then only a run with a ledger counts: any client can make a folder
            in ``logs/`` whose name is that of a later run.
    """
    return next((run for run in reversed(runs) if not has_server or ledger_sources(volumes, run)), None)


def log_clients(volumes: Path, run: str) -> list[str]:
    """Return the names of the clients that have a log in a run, sorted as text."""
    folder = volumes / "logs" / run
    # A link may lead out of the volumes folder.
    return [] if folder.is_symlink() else sorted(filter(is_name, _folders(folder)))


def log_sources(volumes: Path, run: str, client: str) -> list[Source]:
    """Return the files of a client's log, sorted by name."""
    return [Source(run, client, name) for name, _ in _regular(volumes / "logs" / run / client)]


def ledger_sources(volumes: Path, run: str) -> list[Source]:
    """Return the files of a run's ledger, sorted by name."""
    return [Source(run, None, name) for name, _ in _regular(volumes / "ledger" / run)]


def read_file(volumes: Path, source: Source) -> Generator[bytes, None, None]:
    """Yield the current lines of a file; bytes after the last newline come last.

    Raises:
        OSError: the file cannot be read, or is not a file.
    """
    descriptor = os.open(volumes / source.place, _FLAGS)
    with open(descriptor, "rb", buffering=0) as file:
        end = hole(file, 0)
        file.seek(0)
        yield from chain.from_iterable(cut(reader(file, end)))


class RunFiles:
    """The files of one run, and how far each has been read.

    Args:
        volumes: the volumes folder.
        run: the run.
        rechecked: keep a checksum of the yielded bytes for `recheck`; not needed to read a run once.
        chosen: returns whether a file is read; None for all of them.
    """

    def __init__(
        self, volumes: Path, run: str, *, rechecked: bool = True, chosen: Callable[[Source], bool] | None = None
    ) -> None:
        self.volumes = volumes
        self.run = run
        self._rechecked = rechecked
        self._chosen = chosen
        self._positions: dict[Source, _ReadPosition] = {}
        self._refused: dict[Source, str] = {}
        self._turn: str | None = None

    def batches(self) -> Iterator[tuple[Source, list[bytes]]]:
        """Yield every complete line that was not yielded before, those of the ledger first, in batches of one file.

        A block is written before its receipt. With the ledger read first, the block of each receipt that was read is in
        its log by then. The iteration may be stopped and started again after any batch; it then continues with the next
        client, so that a reader that never catches up still reads all clients.

        Raises:
            FileRewritten: bytes that were yielded before are no longer there.
        """
        gone = set(self._positions)
        for source, size in self._in_turn():
            gone.discard(source)
            position = self._positions.setdefault(source, _ReadPosition())
            # After a hole nothing is read, so there only the size of the file can show that it was rewritten.
            if size < (position.size if position.has_hole else position.offset):
                raise FileRewritten(source.path)
            # A file whose size is as before has no new line: most files of a poll are not even opened.
            if size != position.size and not position.has_hole:
                # If the reader stops here, the next iteration begins with the client after this one.
                self._turn = source.client
                yield from self._read(source, position)
        self._turn = None
        if gone:
            raise FileRewritten(min(source.path for source in gone))

    def recheck(self) -> Iterator[None]:
        """Read the yielded bytes again, a piece in each step, and compare their checksum.

        Bytes that are yielded between the steps are checked by the next `recheck`.

        Raises:
            FileRewritten: the bytes have changed.
        """
        # A copy of the positions, since bytes that are yielded between the steps change them.
        for source, size, crc in [
            (source, position.offset, position.crc) for source, position in self._positions.items()
        ]:
            if size and (yield from self._digest(source, size)) != crc:
                raise FileRewritten(source.path)

    def _digest(self, source: Source, size: int) -> Generator[None, None, int | None]:
        try:
            descriptor = os.open(self.volumes / source.place, _FLAGS)
        except OSError:
            return None
        crc = 0
        with open(descriptor, "rb", buffering=0) as file:
            while size and (piece := file.read(min(size, PIECE))):
                crc, size = zlib.crc32(piece, crc), size - len(piece)
                yield
        return None if size else crc

    def tails(self) -> Iterator[FileTail]:
        """Yield the rests of the files, for a run that is not written any more."""
        for source, position in self._positions.items():
            if (position.size > position.offset and not position.has_hole) or position.refused:
                yield FileTail(source, position.size - position.offset, position.refused)
        for source, why in self._refused.items():
            if self._chosen is None or self._chosen(source):
                yield FileTail(source, 0, why)

    def sources(self) -> list[Source]:
        """Return the files found so far, including empty ones."""
        return list(self._positions)

    def sizes(self) -> list[tuple[Source, int]]:
        """Return the files as they are now, and the bytes of each."""
        return list(self._files())

    def _files(self) -> Iterator[tuple[Source, int]]:
        every = self._all_files()
        return every if self._chosen is None else (pair for pair in every if self._chosen(pair[0]))

    def _all_files(self) -> Iterator[tuple[Source, int]]:
        for name, size in _regular(self.volumes / "ledger" / self.run):
            yield Source(self.run, None, name), size
        self._refused.clear()
        for client in log_clients(self.volumes, self.run):
            try:
                files = _regular(self.volumes / "logs" / self.run / client)
            except PermissionError as error:
                # A folder without read permission must not hide the other clients.
                self._refused[Source(self.run, client, "")] = os.strerror(error.errno or 0)
                continue
            for name, size in files:
                yield Source(self.run, client, name), size

    def _in_turn(self) -> list[tuple[Source, int]]:
        files, after = list(self._files()), self._turn or ""
        return sorted(files, key=lambda item: (item[0].client is not None, (item[0].client or "") <= after))

    def _read(self, source: Source, position: _ReadPosition) -> Iterator[tuple[Source, list[bytes]]]:
        try:
            descriptor = os.open(self.volumes / source.place, _FLAGS)
        except OSError as problem:
            position.refused = os.strerror(problem.errno or 0)
            return
        with open(descriptor, "rb", buffering=0) as file:
            position.refused = None
            # A pipe may have taken the file's place since the folder was listed; opening it did not block
            # (`O_NONBLOCK`).
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return
            if self._is_unfinished(file, position):
                return
            position.sample = b""
            end, tail = hole(file, position.offset), b""
            file.seek(position.offset)
            for lines in cut(reader(file, end)):
                # A line that is longer than allowed is yielded in pieces, which no decoder takes for a line.
                if not lines[-1].endswith(b"\n") and len(lines[-1]) < MAX_LINE:
                    tail = lines.pop()
                if lines:
                    yield source, self._passed(position, lines)
            if end is not None:
                # No client leaves a hole: the bytes after it are no lines of a log, and the line before it is damaged.
                position.has_hole, position.size = True, os.fstat(descriptor).st_size
                yield source, self._passed(position, [tail])
                return
            # Not before the end of the file, so that an iteration that is stopped reads the rest in the next poll.
            position.size = position.offset + len(tail)
            position.sample = tail[-SAMPLE:] if len(tail) > LONG_TAIL else b""

    def _passed(self, position: _ReadPosition, lines: list[bytes]) -> list[bytes]:
        """Count lines as yielded, and return them."""
        position.offset += sum(map(len, lines))
        if self._rechecked:
            for line in lines:
                position.crc = zlib.crc32(line, position.crc)
        return lines

    def _is_unfinished(self, file: FileIO, position: _ReadPosition) -> bool:
        """Return whether a long unfinished line has only grown; reads no more than the added bytes."""
        if not position.sample:
            return False
        file.seek(position.size - len(position.sample))
        if file.read(len(position.sample)) != position.sample:
            # It was truncated, and another line was written in its place.
            return False
        while piece := file.read(min(PIECE, MAX_LINE)):
            if b"\n" in piece or position.size + len(piece) - position.offset >= MAX_LINE:
                return False
            position.size += len(piece)
            position.sample = (position.sample + piece)[-SAMPLE:]
        return True


def _has_folder(folder: Path) -> bool:
    try:
        return any(_folders(folder))
    except PermissionError:
        return False


def _folders(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except (FileNotFoundError, NotADirectoryError):
        return []


def _regular(folder: Path) -> list[tuple[str, int]]:
    """Return names and sizes of the log files in a folder; none if the folder is a link."""
    if folder.is_symlink():
        return []
    files = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(".jsonl") and not entry.name.startswith("."):
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(status.st_mode):
                        files.append((entry.name, status.st_size))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(files)
