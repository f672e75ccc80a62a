"""Reads the files of block logs line by line, good lines and damaged ones, also while they are written.

`read_lines` classifies each line of a file: where it is, whether its bytes are intact, its content or why it cannot be
read, and to which run and client it belongs. `messages` and the commands that need block logs are built on it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from services.collector.results.client_result import client_order
from services.collector.scan import Source, log_clients, log_sources, read_file
from services.contract import blocklog
from services.contract.errors import LineError, TornLine, UnsupportedVersion
from services.contract.jsonl import Sealed, unseal
from services.contract.rangeset import RangeSet

HEADER_BYTES = 400
"""How far into a line the header of a block is searched; blocks of other writers are decoded instead."""

_HEADER = re.compile(
    rb'"v":[12],"kind":"block","run":"[^"]*","client":"[^"]*","session":(\d+),"block":(\d+),'
    rb'(?:"positions":\[\d+,\d+\],)?"first":(\d+|"\d+"|null),"last":(\d+|"\d+"|null),'
)


class ReadLine(NamedTuple):
    """A line of a block-log file.

    Attributes:
        source: the file.
        number: the line number, counted from 1.
        offset: where the line begins in the file, in bytes.
        data: its bytes with the newline, which the last line of a file may lack.
        sealed: its checksums; None if the bytes are damaged.
        entry: the decoded line; None if it cannot be read, or was skipped by its header.
        error: why it cannot be read; None otherwise.
    """

    source: Source
    number: int
    offset: int
    data: bytes
    sealed: Sealed | None
    entry: blocklog.LogLine | None
    error: LineError | None

    def misfiled(self, run: str, client: str | None = None) -> str | None:
        """Return why the line does not belong to this run, or to this client; None if it does.

        An end line names neither run nor client: it belongs to the file of the line before it.
        """
        entry = self.entry
        if entry is None or isinstance(entry, blocklog.EndLine):
            return None
        is_own = entry.run == run and client in (None, entry.client)
        return None if is_own else f"the line belongs to {entry.client} in run {entry.run}"


def read_lines(volumes: Path, source: Source, skip: Callable[[bytes], bool] | None = None) -> Iterator[ReadLine]:
    """Yield the lines of a file.

    Args:
        volumes: the volumes folder.
        source: the file.
        skip: decides from the bytes of a line that it need not be decoded, which takes most of the time. The checksum
            of such a line is verified nevertheless, so that damage cannot hide a block.

    Raises:
        OSError: the file cannot be read.
    """
    offset = 0
    for number, data in enumerate(read_file(volumes, source), 1):
        sealed: Sealed | None = None
        entry: blocklog.LogLine | None = None
        error: LineError | None = None
        try:
            if skip is not None and skip(data):
                sealed = unseal(data)
            else:
                sealed, entry = blocklog.codec.decode(data)
        except LineError as problem:
            error = problem
        yield ReadLine(source, number, offset, data, sealed, entry, error)
        offset += len(data)


@dataclass(frozen=True)
class MessageFilter:
    """Selects messages. None, or no clients, means no restriction.

    Attributes:
        clients: only these clients, in this order.
        session: only this session.
        block: only blocks with this number, in any session.
        first: the lowest seq, and ``last`` the highest; either excludes messages without a seq.
        slower_than_ns: only messages with a longer latency, nanoseconds.
    """

    clients: tuple[str, ...] = ()
    session: int | None = None
    block: int | None = None
    first: int | None = None
    last: int | None = None
    slower_than_ns: int | None = None

    def may_match_block(self, session: int, block: int, first: int | None, last: int | None) -> bool:
        """Return whether a block with this header may contain matching messages; None is an unknown seq."""
        return (
            self.session in (None, session)
            and self.block in (None, block)
            and (self.first is None or last is None or self.first <= last)
            and (self.last is None or first is None or first <= self.last)
        )

    def matches(self, message: blocklog.Message) -> bool:
        """Return whether a message of such a block matches."""
        seq, latency_ns = message.seq, message.latency_ns
        return (
            (self.first is None or (seq is not None and self.first <= seq))
            and (self.last is None or (seq is not None and seq <= self.last))
            and (self.slower_than_ns is None or (latency_ns is not None and latency_ns > self.slower_than_ns))
        )

    def skips(self, line: bytes) -> bool:
        """Return whether a line is a block that contains no matching message according to its header."""
        header = _HEADER.search(line, 0, HEADER_BYTES)
        if header is None:
            return False
        session, block, *ends = header.groups()
        first, last = (None if end == b"null" else int(end.strip(b'"')) for end in ends)
        return not self.may_match_block(int(session), int(block), first, last)


class LoggedMessage(NamedTuple):
    """A message and where it was logged."""

    client: str
    session: int
    block: int
    message: blocklog.OwnMessage | blocklog.ExternalMessage


class SkippedLine(NamedTuple):
    """A line that was skipped, and why; line 0 stands for the whole file."""

    file: str
    line: int
    detail: str


def messages(
    volumes: Path, run: str, wanted: MessageFilter, report: Callable[[SkippedLine], object]
) -> Iterator[LoggedMessage]:
    """Yield the matching messages, client by client in the order of each log; each block once.

    Only the files of the selected clients are opened.

    Args:
        volumes: the volumes folder.
        run: the run.
        wanted: selects messages.
        report: called with each skipped line.
    """
    for client in wanted.clients or sorted(log_clients(volumes, run), key=client_order):
        yield from _MessageReader(volumes, run, client, wanted, report).read()


class _MessageReader:
    """Reads the messages of one client."""

    def __init__(
        self, volumes: Path, run: str, client: str, wanted: MessageFilter, report: Callable[[SkippedLine], object]
    ) -> None:
        self._volumes, self._run, self._client = volumes, run, client
        self._wanted, self._report = wanted, report
        self._blocks_read: dict[int, RangeSet] = {}
        self._refused: tuple[Source, str] | None = None

    def read(self) -> Iterator[LoggedMessage]:
        wanted = self._wanted
        # The name of a file proves nothing, but shows in which file a block of a given session most likely is.
        for source in sorted(log_sources(self._volumes, self._run, self._client), key=self._rank):
            for block in self._blocks(source):
                for message in block.messages:
                    if wanted.matches(message):
                        yield LoggedMessage(self._client, block.session, block.block, message)
                # A block is read once, so its other copies have nothing to add.
                if None not in (wanted.session, wanted.block):
                    return

    def _rank(self, source: Source) -> tuple[bool, tuple[int, int], str]:
        session_and_segment = blocklog.parse_file_name(source.name) or (0, 0)
        session = session_and_segment[0]
        return session != (self._wanted.session or session), session_and_segment, source.name

    def _blocks(self, source: Source) -> Iterator[blocklog.AnyBlock]:
        repeated = 0
        try:
            for line in read_lines(self._volumes, source, self._wanted.skips):
                block = self._matching_block(line)
                if block is None:
                    continue
                if self._blocks_read.setdefault(block.session, RangeSet()).add(block.block, block.block):
                    yield block
                else:
                    repeated += 1
        except OSError as error:
            self._report(SkippedLine(source.path, 0, f"the file cannot be read: {error.strerror}"))
        if repeated:
            self._report(SkippedLine(source.path, 0, f"repeats {repeated:,} of the blocks that were read before"))

    def _matching_block(self, line: ReadLine) -> blocklog.AnyBlock | None:
        """Return the block of a line if it may contain matching messages; report a line that cannot be used."""
        problem, block = None, line.entry
        if line.error is not None:
            # The lines of a file of an old version have one cause, which is reported once.
            refused = line.source, line.error.detail
            if isinstance(line.error, UnsupportedVersion) and refused == self._refused:
                return None
            self._refused = refused
            torn = ": cut short, or still being written" if isinstance(line.error, TornLine) else ""
            problem = f"{line.error.detail}{torn}"
        # A block whose header was not found was decoded without a look at its numbers.
        elif not isinstance(block, blocklog.AnyBlock) or not self._wanted.may_match_block(
            block.session, block.block, block.first, block.last
        ):
            return None
        else:
            problem = line.misfiled(self._run, self._client)
            if problem is None:
                return block
        self._report(SkippedLine(line.source.path, line.number, problem))
        return None
