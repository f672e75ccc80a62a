"""Goes through the block logs of a run line by line: which lines are good, whose they are, and which are not.

Only places are kept of good lines, not the lines: a log may be larger than the memory.
"""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from services.collector.evidence.block_check import examine
from services.collector.results import connection_history
from services.collector.scan import Source, log_clients, log_sources, read_file
from services.contract import blocklog
from services.contract.errors import LineError
from services.contract.jsonl import Sealed
from services.contract.scalars import digest, utc_us

CHAINED = len(b'{"crc":"x00000000","prev":"x00000000",')
"""Bytes before what a line says: the two digests by which it hangs on the others."""


_DIGEST = slice(len(b'{"crc":"'), len(b'{"crc":"x00000000'))


class LinePosition(NamedTuple):
    """Where a line stands: of which file which bytes; ``line`` counts from 1.

    ``after_gap`` tells that the line before it is not good: then nobody knows which one it continued.
    """

    source: Source
    line: int
    offset: int
    size: int
    after_gap: bool


class RejectedLine(NamedTuple):
    """A line that is not good, or not of this run, and why; 0 stands for the whole file."""

    source: Source
    line: int
    why: str


class KeptBlock(NamedTuple):
    """A good block: where it stands, in which segment (0 where nobody can tell), and how many messages it holds.

    ``block`` is its number. A line of another kind that belongs between blocks is kept in the same way: ``messages`` is
    null then, ``block`` the number of the block before it in its file, 0 for none, and ``order`` its place among such.
    """

    place: LinePosition
    segment: int
    messages: int | None
    block: int
    order: tuple[int, int, int, str] = (0, 0, 0, "")


@dataclass
class LogSession:
    """The good lines of one session, each once however often it stands.

    Attributes:
        opens: the open line of each segment.
        blocks: by their numbers, and by what they say.
        connections: the lines of what became of the connections to an external feed, by what they say.
        ends: the end line of each segment.
        segments: of which there are files, empty ones too.
    """

    opens: dict[int, LinePosition] = field(default_factory=dict)
    blocks: dict[tuple[int, int], KeptBlock] = field(default_factory=dict)
    connections: dict[tuple[int, int], KeptBlock] = field(default_factory=dict)
    ends: dict[int, LinePosition] = field(default_factory=dict)
    segments: set[int] = field(default_factory=set)


SessionsByClient = dict[str, dict[int, LogSession]]
"""The sessions of each client, by number."""


class LogSurvey:
    """The block logs of one run."""

    def __init__(self, volumes: Path, run: str) -> None:
        """Read all of them."""
        self.volumes, self.run = volumes, run
        self.clients: SessionsByClient = defaultdict(lambda: defaultdict(LogSession))
        self.left_out: list[RejectedLine] = []
        self.copies = 0
        """So many lines stand elsewhere too."""
        self.moved: dict[str, tuple[str, int]] = {}
        """Client and session of the lines that stand in a file of others, by their digests."""
        files = [
            _File(self, source) for client in log_clients(volumes, run) for source in log_sources(volumes, run, client)
        ]
        for file in files:
            file.read()
        # An end line may continue a line that stands elsewhere by now.
        for file in files:
            file.close()

    def line(self, place: LinePosition) -> bytes:
        """Return a line that was found.

        Raises:
            OSError: its file can no longer be read.
        """
        descriptor = os.open(self.volumes / place.source.place, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            return os.pread(descriptor, place.size, place.offset)
        finally:
            os.close(descriptor)


class _Whose(NamedTuple):
    client: str
    session: int
    segment: int


class _File:
    """One file of a log, read in sequence; what it is, is said by its lines before its name."""

    def __init__(self, survey: LogSurvey, source: Source) -> None:
        self._survey, self._source = survey, source
        named = blocklog.parse_file_name(source.name)
        self._named = _Whose(str(source.client), *named) if named else None
        self._whose: _Whose | None = None
        self._gap = False
        self._block = 0
        self._digests: dict[str, _Whose | None] = {}
        """Whose each line is, by its digest as far as it can be read: and so the end line that continues it."""
        self._ends: list[tuple[Sealed, LinePosition]] = []

    def read(self) -> None:
        if self._named:
            self._survey.clients[self._named.client][self._named.session].segments.add(self._named.segment)
        offset = number = 0
        try:
            for number, line in enumerate(read_file(self._survey.volumes, self._source), 1):
                self._line(LinePosition(self._source, number, offset, len(line), self._gap), line)
                offset += len(line)
        except OSError as problem:
            self._leave_out(number, f"the file cannot be read: {problem.strerror}")
        self._ends = [one for one in self._ends if not self._end(*one, self._digests.get(one[0].prev))]
        self._digests.clear()

    def close(self) -> None:
        """Find out whose the end lines are that continue no line of this file."""
        for sealed, place in self._ends:
            home = self._named if self._named and self._survey.moved.get(sealed.prev) == self._named[:2] else None
            if not self._end(sealed, place, home):
                self._leave_out(place.line, "the line ends a log, and nothing shows that it ends this one")

    def _line(self, place: LinePosition, line: bytes) -> None:
        try:
            sealed, entry = blocklog.codec.decode(line)
            why = self._enter(sealed, entry, place)
        except LineError as problem:
            why = problem.detail
        self._gap = why is not None
        if why:
            self._leave_out(place.line, why)
        self._digests.setdefault(line[_DIGEST].decode("latin-1"), self._whose or self._named)

    def _leave_out(self, line: int, why: str) -> None:
        self._survey.left_out.append(RejectedLine(self._source, line, why))

    def _enter(self, sealed: Sealed, entry: blocklog.LogLine, place: LinePosition) -> str | None:
        if isinstance(entry, blocklog.EndLine):
            # What it continues may stand after it.
            self._ends.append((sealed, place))
            return None
        if entry.run != self._survey.run:
            return f"the line belongs to {entry.client} in run {entry.run}"
        session = self._survey.clients[entry.client][entry.session]
        if isinstance(entry, blocklog.OpenLine):
            self._whose = _Whose(entry.client, entry.session, entry.segment)
            self._block = 0
            known = session.opens.setdefault(entry.segment, place)
            return self._again(known, place, sealed)
        problem = None if isinstance(entry, blocklog.ConnectionLine) else _problem(entry)
        if problem:
            return problem
        if self._whose is None or self._whose[:2] != (entry.client, entry.session):
            named = self._named and self._named[:2] == (entry.client, entry.session)
            self._whose = self._named if named else _Whose(entry.client, entry.session, 0)
        segment = self._whose.segment if self._whose else 0
        if self._whose != self._named:
            self._survey.moved[sealed.crc] = entry.client, entry.session
        said = digest(memoryview(sealed.text)[CHAINED:-1])
        if isinstance(entry, blocklog.ConnectionLine):
            order = (entry.connection, connection_history.ORDER[entry.event], entry.attempts, entry.at)
            here = KeptBlock(place, segment, None, self._block, order)
            kept = session.connections.setdefault((entry.connection, said), here)
            if (kept.segment, kept.block) < (segment, self._block):
                # The copy that was met first begins behind the block that stands before it here.
                session.connections[entry.connection, said] = here
        else:
            self._block = entry.block
            kept = session.blocks.setdefault(
                (entry.block, said), KeptBlock(place, segment, len(entry.messages), entry.block)
            )
        return self._again(kept.place, place, sealed)

    def _again(self, known: LinePosition, place: LinePosition, sealed: Sealed) -> str | None:
        if known == place:
            return None
        if self._survey.line(known)[CHAINED:] != sealed.text[CHAINED:]:
            return f"another one stands in {known.source.path}:{known.line}"
        self._survey.copies += 1
        return None

    def _end(self, sealed: Sealed, place: LinePosition, whose: _Whose | None) -> bool:
        # It names nobody: only what it continues tells whose end it is.
        if whose is None or not whose.segment:
            return False
        session = self._survey.clients[whose.client][whose.session]
        why = self._again(session.ends.setdefault(whose.segment, place), place, sealed)
        if why:
            self._leave_out(place.line, why)
        return True


def _problem(block: blocklog.AnyBlock) -> str | None:
    problem = examine(block).problem
    if problem:
        return f"block {block.block}: {problem}"
    try:
        for text in {message.received_at for message in block.messages}:
            utc_us(text)
    except ValueError as bad_time:
        return f"block {block.block}: received_at: {bad_time}"
    return None
