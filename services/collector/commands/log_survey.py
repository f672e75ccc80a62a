"""Index of the good lines in the block logs of a run: for each session its lines by segment, and the lines left out.

Only positions are kept in memory, not the lines: a log may be larger than the memory.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from services.collector.evidence.block_check import examine
from services.collector.log_reader import ReadLine, read_lines
from services.collector.results import connection_history
from services.collector.scan import Source, log_clients, log_sources
from services.contract import blocklog
from services.contract.errors import UnsupportedVersion
from services.contract.jsonl import Sealed, content
from services.contract.scalars import digest, utc_us

_CRC = slice(len(b'{"crc":"'), len(b'{"crc":"x00000000'))


class LinePosition(NamedTuple):
    """Position of a line: file, line number from 1, byte offset and size.

    ``after_gap`` is True if the line before it was left out, so that it is unknown which line it continued.
    """

    source: Source
    line: int
    offset: int
    size: int
    after_gap: bool


class RejectedLine(NamedTuple):
    """A line that is damaged or not of this run, and why; line 0 stands for the whole file."""

    source: Source
    line: int
    why: str


class KeptBlock(NamedTuple):
    """A good block, or a connection line, which belongs between blocks.

    Attributes:
        place: its position.
        segment: its segment; 0 if unknown.
        messages: its number of messages; None for a connection line.
        block: its number; for a connection line that of the block before it in the file, 0 for none.
        order: sort key among connection lines behind the same block.
    """

    place: LinePosition
    segment: int
    messages: int | None
    block: int
    order: tuple[int, int, int, str] = (0, 0, 0, "")


@dataclass
class LogSession:
    """The good lines of one session; a line with several copies is kept once.

    Attributes:
        opens: the open line of each segment.
        blocks: by number and digest of the content.
        connections: connection lines, by connection and digest of the content.
        ends: the end line of each segment.
        segments: the segments that have a file, even an empty one.
    """

    opens: dict[int, LinePosition] = field(default_factory=dict)
    blocks: dict[tuple[int, int], KeptBlock] = field(default_factory=dict)
    connections: dict[tuple[int, int], KeptBlock] = field(default_factory=dict)
    ends: dict[int, LinePosition] = field(default_factory=dict)
    segments: set[int] = field(default_factory=set)


SessionsByClient = dict[str, dict[int, LogSession]]
"""The sessions of each client, by number."""


class LogSurvey:
    """The block logs of one run.

    Attributes:
        clients: the good lines.
        left_out: the other lines.
        copies: how many lines are copies of kept lines.
        moved: client and session of lines that are in a file of another session, by their checksums.
    """

    def __init__(self, volumes: Path, run: str, on_read: Callable[[int], None] | None = None) -> None:
        """Read all block logs of the run; call ``on_read`` with the bytes of each line that is read, now or later."""
        self.volumes, self.run = volumes, run
        self.on_read = on_read or _ignore
        self.clients: SessionsByClient = defaultdict(lambda: defaultdict(LogSession))
        self.left_out: list[RejectedLine] = []
        self.copies = 0
        self.moved: dict[str, tuple[str, int]] = {}
        sources = [source for client in log_clients(volumes, run) for source in log_sources(volumes, run, client)]
        # Of two different lines for one place the first that is read is kept: that of a file with a proper name.
        sources.sort(key=lambda source: blocklog.parse_file_name(source.name) is None)
        files = [_LogFile(self, source) for source in sources]
        for file in files:
            file.read()
        # In a second pass, since the line that an end line continues may be in another file.
        for file in files:
            file.place_remaining_ends()

    def line(self, place: LinePosition) -> bytes:
        """Read a line again.

        Raises:
            OSError: its file can no longer be read.
        """
        self.on_read(place.size)
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        descriptor = os.open(self.volumes / place.source.place, flags)
        try:
            return os.pread(descriptor, place.size, place.offset)
        finally:
            os.close(descriptor)


def _ignore(_: int) -> None:
    """Do nothing with the number of bytes."""


class _Owner(NamedTuple):
    client: str
    session: int
    segment: int


class _LogFile:
    """One file of a log, read in sequence. Its lines decide to which segment it belongs, and only then its name."""

    def __init__(self, survey: LogSurvey, source: Source) -> None:
        self._survey, self._source = survey, source
        parsed = blocklog.parse_file_name(source.name)
        self._named = _Owner(str(source.client), *parsed) if parsed else None
        self._owner: _Owner | None = None
        self._is_after_gap = False
        self._refused_version = ""
        self._block = 0
        # By checksum, also of damaged lines if it is readable, since an end line belongs to the line it continues.
        self._owner_by_crc: dict[str, _Owner | None] = {}
        self._ends: list[tuple[Sealed, LinePosition]] = []

    def read(self) -> None:
        if self._named:
            self._survey.clients[self._named.client][self._named.session].segments.add(self._named.segment)
        number = 0
        try:
            for line in read_lines(self._survey.volumes, self._source):
                number = line.number
                self._survey.on_read(len(line.data))
                self._add(line)
        except OSError as error:
            self._leave_out(number, f"the file cannot be read: {error.strerror}")
        self._ends = [end for end in self._ends if not self._place_end(*end, self._owner_by_crc.get(end[0].prev))]
        # The ends that are left do not need it, and it has an entry for every line of the file.
        self._owner_by_crc.clear()

    def place_remaining_ends(self) -> None:
        """Find the segment of end lines that continue no line of this file."""
        for sealed, place in self._ends:
            # A moved line may have been the one that the end continues: then the end is in its proper file, and the
            # line is not.
            owner = self._named if self._named and self._survey.moved.get(sealed.prev) == self._named[:2] else None
            if not self._place_end(sealed, place, owner):
                self._leave_out(place.line, "the line ends a log, and nothing shows that it ends this one")

    def _add(self, line: ReadLine) -> None:
        place = LinePosition(line.source, line.number, line.offset, len(line.data), self._is_after_gap)
        is_refused_version = False
        if line.sealed is None or line.entry is None:
            problem: str | None = line.error.detail if line.error else "not decoded"
            is_refused_version = isinstance(line.error, UnsupportedVersion)
        else:
            problem = line.misfiled(self._survey.run) or self._add_entry(line.sealed, line.entry, place)
        # The copy may repair the chain after a line that was left out, and only there (ADR 39).
        self._is_after_gap = problem is not None
        # The lines of a file of an old version have one cause, which is reported once.
        if problem and not (is_refused_version and problem == self._refused_version):
            self._leave_out(line.number, problem)
        self._refused_version = problem if problem and is_refused_version else ""
        self._owner_by_crc.setdefault(line.data[_CRC].decode("latin-1"), self._owner or self._named)

    def _leave_out(self, line: int, why: str) -> None:
        self._survey.left_out.append(RejectedLine(self._source, line, why))

    def _add_entry(self, sealed: Sealed, entry: blocklog.LogLine, place: LinePosition) -> str | None:
        """Add a line of this run to its session; return why it is left out, or None."""
        if isinstance(entry, blocklog.EndLine):
            # The line that it continues may come later in the file.
            self._ends.append((sealed, place))
            return None
        session = self._survey.clients[entry.client][entry.session]
        if isinstance(entry, blocklog.OpenLine):
            self._owner = _Owner(entry.client, entry.session, entry.segment)
            self._block = 0
            return self._check_copy(session.opens.setdefault(entry.segment, place), place, sealed)
        if not isinstance(entry, blocklog.ConnectionLine) and (problem := _problem(entry)):
            return problem
        if self._owner is None or self._owner[:2] != (entry.client, entry.session):
            is_named = self._named and self._named[:2] == (entry.client, entry.session)
            self._owner = self._named if is_named else _Owner(entry.client, entry.session, 0)
        if self._owner != self._named:
            self._survey.moved[sealed.crc] = entry.client, entry.session
        kept = self._keep(session, sealed, entry, place)
        return self._check_copy(kept.place, place, sealed)

    def _keep(
        self,
        session: LogSession,
        sealed: Sealed,
        entry: blocklog.AnyBlock | blocklog.ConnectionLine,
        place: LinePosition,
    ) -> KeptBlock:
        segment, content_digest = self._owner.segment if self._owner else 0, digest(content(sealed.text))
        if not isinstance(entry, blocklog.ConnectionLine):
            self._block = entry.block
            block = KeptBlock(place, segment, len(entry.messages), entry.block)
            return session.blocks.setdefault((entry.block, content_digest), block)
        order = (entry.connection, connection_history.EVENT_ORDER[entry.event], entry.attempts, entry.at)
        here = KeptBlock(place, segment, None, self._block, order)
        kept = session.connections.setdefault((entry.connection, content_digest), here)
        if (kept.segment, kept.block) < (segment, self._block):
            # The earlier copy was in a file that lacks blocks before it, so this one has the better place.
            session.connections[entry.connection, content_digest] = here
        return kept

    def _check_copy(self, kept: LinePosition, place: LinePosition, sealed: Sealed) -> str | None:
        if kept == place:
            return None
        where = f"{kept.source.path}:{kept.line}"
        try:
            is_copy = content(self._survey.line(kept)) == content(sealed.text)
        except OSError as error:
            # Not left to `read`, which would report that this file cannot be read.
            return f"it cannot be compared with {where}: {error.strerror}"
        if not is_copy:
            return f"a different one is in {where}"
        self._survey.copies += 1
        return None

    def _place_end(self, sealed: Sealed, place: LinePosition, owner: _Owner | None) -> bool:
        # An end line has no client and no session: it belongs to the client and session of the line that it continues.
        if owner is None or not owner.segment:
            return False
        session = self._survey.clients[owner.client][owner.session]
        problem = self._check_copy(session.ends.setdefault(owner.segment, place), place, sealed)
        if problem:
            self._leave_out(place.line, problem)
        return True


def _problem(block: blocklog.AnyBlock) -> str | None:
    """Return the error of a block whose checksum is right, None if it has none."""
    problem = examine(block).problem
    if problem:
        return f"block {block.block}: {problem}"
    try:
        for text in {message.received_at for message in block.messages}:
            utc_us(text)
    except ValueError as bad_time:
        return f"block {block.block}: received_at: {bad_time}"
    return None
