"""Finds runs in a volumes folder and hands out the complete lines of their files, each once. Never writes.

A line without a newline is left for the next round: its writer may be in the middle of it. What a file is, is
said by its lines and not by its name, so any ``*.jsonl`` counts; links and pipes are passed over, and so is a run or a
client whose folder is a link. A client may write anything below its folder, so every cost has a bound: the length of a
line, what is read of an unfinished line again, and the holes of a sparse file.
"""

from __future__ import annotations

import errno
import os
import re
import stat
import zlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from services.collector.formatting import displayable
from services.contract.blocklog import MAX_LINE
from services.contract.scalars import RUN_PATTERN, is_name, run_order

PIECE = 512 * 1024
"""Bytes read at a time: more do not fit into a processor's cache, and every line is looked at several times."""
LONG_TAIL = 2 * PIECE
"""Of an unfinished line that is longer, only what has been added is looked at in later rounds."""
SAMPLE = 64
"""So many bytes at the end of a long tail tell whether it is still the one that was looked at."""

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class FileRewritten(Exception):
    """A file lost bytes that had been read, or vanished: the run has to be read again from its beginning."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file of the books; ``client`` is the folder it lies in, None in the ledger."""

    run: str
    client: str | None
    name: str

    @property
    def path(self) -> str:
        """The file's path relative to the volumes folder as it is displayed: `words.displayable`.

        It equals `place` for every file that the project writes.
        """
        return displayable(self.place)

    @property
    def place(self) -> str:
        """The file's path relative to the volumes folder, by which it is opened; its bytes may be any."""
        if self.client is None:
            return f"ledger/{self.run}/{self.name}"
        return f"logs/{self.run}/{self.client}/{self.name}"


@dataclass(frozen=True)
class FileTail:
    """What was left of a file when reading it ended: bytes without a newline, or the reason why it was not read."""

    source: Source
    size: int
    refused: str | None = None


@dataclass(slots=True)
class _Mark:
    """How far a file has been read.

    ``offset`` bytes were handed out, and have the digest ``crc``; ``size`` is what the file had when it was read last.
    ``sample`` are the last bytes of an unfinished line that is long. After a ``hole`` nothing of the file is read.
    """

    offset: int = 0
    size: int = 0
    crc: int = 0
    refused: str | None = None
    sample: bytes = b""
    hole: bool = False


def find_runs(volumes: Path) -> list[str]:
    """Return the runs that either side of the books knows, oldest first.

    Raises:
        OSError: a folder cannot be listed.
    """
    names = set(_folders(volumes / "ledger"))
    # Clients of a foreign feed that start together may open several, and agree on one before they log anything.
    logs = volumes / "logs"
    names |= {name for name in _folders(logs) if re.match(RUN_PATTERN, name) and _has_folder(logs / name)}
    return sorted((name for name in names if re.match(RUN_PATTERN, name)), key=run_order)


def log_clients(volumes: Path, run: str) -> list[str]:
    """Return who has a log in a run, in the order of their names' characters."""
    folder = volumes / "logs" / run
    return [] if folder.is_symlink() else sorted(filter(is_name, _folders(folder)))


def log_sources(volumes: Path, run: str, client: str) -> list[Source]:
    """Return the files of one client's log, by name."""
    return [Source(run, client, name) for name, _ in _regular(volumes / "logs" / run / client)]


def ledger_sources(volumes: Path, run: str) -> list[Source]:
    """Return the files of a run's ledger, by name."""
    return [Source(run, None, name) for name, _ in _regular(volumes / "ledger" / run)]


def read_file(volumes: Path, source: Source) -> Iterator[bytes]:
    """Hand out the lines of one file as they stand there now; what follows the last newline comes last.

    Raises:
        OSError: the file cannot be read, or is none.
    """
    descriptor = os.open(volumes / source.place, _FLAGS)
    with open(descriptor, "rb", buffering=0) as file:
        end = _hole(file, 0)
        file.seek(0)
        yield from _cut(_reader(file, end))


class RunFiles:
    """The files of one run, and how far each has been read.

    With ``rechecked`` a digest is kept of what was handed out, for `hold`; who reads a run once needs none.
    """

    def __init__(self, volumes: Path, run: str, *, rechecked: bool = True) -> None:
        self.volumes = volumes
        self.run = run
        self._rechecked = rechecked
        self._marks: dict[Source, _Mark] = {}
        self._refused: dict[Source, str] = {}
        self._turn: str | None = None

    def lines(self) -> Iterator[tuple[Source, bytes]]:
        """Hand out every complete line that was not handed out before, the ledger's first.

        The ledger comes first because a receipt follows its block: who reads them in this order never meets a
        receipt whose block is not there yet. The iteration may be broken off and begun again at any time; then the
        client after the one it was broken off at comes first, so that who is always behind still reads all of them.

        Raises:
            Rewritten: what was handed out before is no longer there.
        """
        gone = set(self._marks)
        for source, size in self._in_turn():
            gone.discard(source)
            mark = self._marks.setdefault(source, _Mark())
            if size < (mark.size if mark.hole else mark.offset):
                raise FileRewritten(source.path)
            if size != mark.size and not mark.hole:
                self._turn = source.client
                yield from self._read(source, mark)
        self._turn = None
        if gone:
            raise FileRewritten(min(source.path for source in gone))

    def hold(self) -> Iterator[None]:
        """Read again what was handed out, a piece at every step, and hold it to the digest of what it was then.

        What is handed out between the steps is not looked at; it is by the next `hold`.

        Raises:
            Rewritten: other bytes stand there now.
        """
        for source, size, crc in [(source, mark.offset, mark.crc) for source, mark in self._marks.items()]:
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
        """Return what could not be handed out, for a run that nobody writes any more."""
        for source, mark in self._marks.items():
            if (mark.size > mark.offset and not mark.hole) or mark.refused:
                yield FileTail(source, mark.size - mark.offset, mark.refused)
        for source, why in self._refused.items():
            yield FileTail(source, 0, why)

    def sources(self) -> list[Source]:
        """Return the files found so far, empty ones too."""
        return list(self._marks)

    def _files(self) -> Iterator[tuple[Source, int]]:
        for name, size in _regular(self.volumes / "ledger" / self.run):
            yield Source(self.run, None, name), size
        self._refused.clear()
        for client in log_clients(self.volumes, self.run):
            try:
                found = _regular(self.volumes / "logs" / self.run / client)
            except PermissionError as problem:
                # One client's folder that is closed to us must not hide the others.
                self._refused[Source(self.run, client, "")] = os.strerror(problem.errno or 0)
                continue
            for name, size in found:
                yield Source(self.run, client, name), size

    def _in_turn(self) -> list[tuple[Source, int]]:
        files, after = list(self._files()), self._turn or ""
        return sorted(files, key=lambda one: (one[0].client is not None, (one[0].client or "") <= after))

    def _read(self, source: Source, mark: _Mark) -> Iterator[tuple[Source, bytes]]:
        try:
            descriptor = os.open(self.volumes / source.place, _FLAGS)
        except OSError as problem:
            mark.refused = os.strerror(problem.errno or 0)
            return
        with open(descriptor, "rb", buffering=0) as file:
            mark.refused = None
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                return
            if self._is_unfinished(file, mark):
                return
            mark.sample = b""
            end, tail = _hole(file, mark.offset), b""
            file.seek(mark.offset)
            for line in _cut(_reader(file, end)):
                if not line.endswith(b"\n") and len(line) < MAX_LINE:
                    tail = line
                    break
                yield source, self._passed(mark, line)
            if end is not None:
                # No writer leaves a hole, so nothing behind it is one of our lines: what stands before it is damaged.
                mark.hole, mark.size = True, os.fstat(descriptor).st_size
                yield source, self._passed(mark, tail)
                return
            # Only here, at the end of the file: who breaks the iteration off finds the rest in the next round.
            mark.size = mark.offset + len(tail)
            mark.sample = tail[-SAMPLE:] if len(tail) > LONG_TAIL else b""

    def _passed(self, mark: _Mark, line: bytes) -> bytes:
        """Note that a line is handed out, and return it."""
        mark.offset += len(line)
        if self._rechecked:
            mark.crc = zlib.crc32(line, mark.crc)
        return line

    def _is_unfinished(self, file: FileIO, mark: _Mark) -> bool:
        """Tell whether a long tail has only grown, without coming to its end; costs no more than what was added."""
        if not mark.sample:
            return False
        file.seek(mark.size - len(mark.sample))
        if file.read(len(mark.sample)) != mark.sample:
            # It was cut off, and another line has taken its place.
            return False
        while piece := file.read(min(PIECE, MAX_LINE)):
            if b"\n" in piece or mark.size + len(piece) - mark.offset >= MAX_LINE:
                return False
            mark.size += len(piece)
            mark.sample = (mark.sample + piece)[-SAMPLE:]
        return True


def _hole(file: FileIO, offset: int) -> int | None:
    """Return where the first hole after an offset begins, if all holes there have more than `MAX_LINE` bytes.

    A sparse file takes no disk however long it is. Short holes are read as the zeros that they stand for: a power cut
    may leave one at the end of a file. The file's position is anywhere afterwards.
    """
    descriptor, first, holes = file.fileno(), None, 0
    try:
        size = os.fstat(descriptor).st_size
        while holes <= MAX_LINE and size - offset > MAX_LINE - holes:
            begin = os.lseek(descriptor, offset, os.SEEK_HOLE)
            first = begin if first is None else first
            offset = _data(descriptor, begin, size)
            holes += offset - begin
    except (OSError, AttributeError):
        # The file system cannot tell, or the platform has no such call.
        return None
    return first if holes > MAX_LINE else None


def _data(descriptor: int, offset: int, size: int) -> int:
    try:
        return os.lseek(descriptor, offset, os.SEEK_DATA)
    except OSError as problem:
        if problem.errno != errno.ENXIO:
            raise
        return size


def _reader(file: FileIO, end: int | None) -> Callable[[], bytes]:
    """Return what reads the next piece, up to an offset or the file's end."""
    if end is None:
        return lambda: file.read(PIECE)
    return lambda: file.read(max(0, min(PIECE, end - file.tell())))


def _cut(read: Callable[[], bytes]) -> Iterator[bytes]:
    """Cut pieces into lines; what follows the last newline comes last. No line is longer than `MAX_LINE`."""
    parts, room = list[bytes](), MAX_LINE
    while piece := read():
        start = 0
        while start < len(piece):
            end = piece.find(b"\n", start, start + room) + 1 or min(start + room, len(piece))
            # Nearly all that is copied of a line: a join of one part gives the part itself.
            part = piece[start:end]
            parts.append(part)
            start, room = end, room - len(part)
            if not room or part.endswith(b"\n"):
                yield b"".join(parts)
                parts.clear()
                room = MAX_LINE
    if parts:
        yield b"".join(parts)


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
    """Return the names and sizes of the log files in a folder, none where the folder is a link."""
    if folder.is_symlink():
        return []
    found = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(".jsonl") and not entry.name.startswith("."):
                    status = entry.stat(follow_symlinks=False)
                    if stat.S_ISREG(status.st_mode):
                        found.append((entry.name, status.st_size))
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(found)
