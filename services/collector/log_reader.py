"""Reads single messages out of block logs, line by line: of good logs and damaged ones, also while they are written.

Only the files of the clients that are asked for are opened, and of their lines only those are decoded whose header says
that they may hold what is wanted; every line's bytes are checked first, so that no damage hides a block.
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
from services.contract.errors import LineError, TornLine
from services.contract.jsonl import unseal
from services.contract.rangeset import RangeSet

HEADER_BYTES = 400
"""Where our writer's blocks say what they hold; a line of another writer is decoded to know."""

_HEADER = re.compile(
    rb'"v":[12],"kind":"block","run":"[^"]*","client":"[^"]*","session":(\d+),"block":(\d+),'
    rb'(?:"positions":\[\d+,\d+\],)?"first":(\d+|"\d+"|null),"last":(\d+|"\d+"|null),'
)


@dataclass(frozen=True)
class MessageFilter:
    """Which messages are wanted. What is None, or no client, narrows nothing.

    Attributes:
        clients: theirs alone, in this order.
        session: of this session.
        block: of the block with this number, in whichever session.
        first: from this seq on, and ``last`` up to this one; either leaves messages out that have none.
        slower_than_ns: those with a longer latency.
    """

    clients: tuple[str, ...] = ()
    session: int | None = None
    block: int | None = None
    first: int | None = None
    last: int | None = None
    slower_than_ns: int | None = None

    def has_block(self, session: int, block: int, first: int | None, last: int | None) -> bool:
        """Tell whether a block may hold what is wanted, by what its header says; null says nothing of its seqs."""
        return (
            self.session in (None, session)
            and self.block in (None, block)
            and (self.first is None or last is None or self.first <= last)
            and (self.last is None or first is None or first <= self.last)
        )

    def has(self, message: blocklog.Message) -> bool:
        """Tell whether a message of such a block is wanted."""
        seq, late_ns = message.seq, message.latency_ns
        return (
            (self.first is None or (seq is not None and self.first <= seq))
            and (self.last is None or (seq is not None and seq <= self.last))
            and (self.slower_than_ns is None or (late_ns is not None and late_ns > self.slower_than_ns))
        )


class LoggedMessage(NamedTuple):
    """A message and where it was logged."""

    client: str
    session: int
    block: int
    message: blocklog.Message


class SkippedLine(NamedTuple):
    """A line that was passed over, and why; 0 stands for the whole file."""

    file: str
    line: int
    detail: str


def messages(
    volumes: Path, run: str, wanted: MessageFilter, tell: Callable[[SkippedLine], object]
) -> Iterator[LoggedMessage]:
    """Return the wanted messages, client by client in the order in which each logged them, every block once.

    Args:
        volumes: the volumes folder.
        run: the run.
        wanted: which messages.
        tell: takes what was passed over, as it is met.
    """
    for client in wanted.clients or sorted(log_clients(volumes, run), key=client_order):
        yield from _Reader(volumes, run, client, wanted, tell).read()


class _Reader:
    """Reads the log of one client."""

    def __init__(
        self, volumes: Path, run: str, client: str, wanted: MessageFilter, tell: Callable[[SkippedLine], object]
    ) -> None:
        self._volumes, self._run, self._client = volumes, run, client
        self._wanted, self._tell = wanted, tell
        self._seen: dict[int, RangeSet] = {}

    def read(self) -> Iterator[LoggedMessage]:
        wanted = self._wanted
        # A file's name is no proof, but a good guess where to look first: one block of one session is soon found.
        sources = sorted(log_sources(self._volumes, self._run, self._client), key=self._rank)
        for source in sources:
            for block in self._blocks(source):
                for message in block.messages:
                    if wanted.has(message):
                        yield LoggedMessage(self._client, block.session, block.block, message)
                if None not in (wanted.session, wanted.block):
                    return

    def _rank(self, source: Source) -> tuple[bool, tuple[int, int], str]:
        named = blocklog.parse_file_name(source.name) or (0, 0)
        return named[0] != (self._wanted.session or named[0]), named, source.name

    def _blocks(self, source: Source) -> Iterator[blocklog.AnyBlock]:
        again = 0
        try:
            for number, line in enumerate(read_file(self._volumes, source), 1):
                try:
                    block = self._block(line)
                except TornLine as problem:
                    self._tell(SkippedLine(source.path, number, f"{problem.detail}: cut short, or still being written"))
                    continue
                except LineError as problem:
                    self._tell(SkippedLine(source.path, number, problem.detail))
                    continue
                if block is None:
                    continue
                if (block.run, block.client) != (self._run, self._client):
                    self._tell(SkippedLine(source.path, number, f"it belongs to {block.client} in run {block.run}"))
                elif self._seen.setdefault(block.session, RangeSet()).add(block.block, block.block):
                    yield block
                else:
                    again += 1
        except OSError as problem:
            self._tell(SkippedLine(source.path, 0, f"the file cannot be read: {problem.strerror}"))
        if again:
            self._tell(SkippedLine(source.path, 0, f"repeats {again:,} of the blocks that were read before"))

    def _block(self, line: bytes) -> blocklog.AnyBlock | None:
        """Return the block of a line that may hold what is wanted, None for another line."""
        unseal(line)
        header = _HEADER.search(line, 0, HEADER_BYTES)
        if header is not None and not self._wanted.has_block(*_said(header)):
            return None
        _, entry = blocklog.codec.decode(line)
        if not isinstance(entry, blocklog.AnyBlock):
            return None
        is_wanted = self._wanted.has_block(entry.session, entry.block, entry.first, entry.last)
        return entry if is_wanted else None


def _said(header: re.Match[bytes]) -> tuple[int, int, int | None, int | None]:
    session, block, *ends = header.groups()
    first, last = (None if end == b"null" else int(end.strip(b'"')) for end in ends)
    return int(session), int(block), first, last
