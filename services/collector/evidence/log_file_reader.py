"""Reads one file of a block log, line by line, and adds what it holds to the evidence of its client."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, Protocol

from services.collector.evidence.block_check import BlockContent, examine
from services.collector.evidence.block_run import BlockRun, RunContent, is_plain
from services.collector.evidence.line_chain import LineChain
from services.collector.evidence.timestamps import TimestampReader
from services.collector.scan import Source
from services.contract import blocklog
from services.contract.errors import LineError, UnreleasedForm
from services.contract.feed_description import FeedDescription
from services.contract.jsonl import Sealed

Segment = tuple[int, int]
"""Session and segment of a file of the block log, by its lines; its name may differ."""


class ClientLog(Protocol):
    """The log of a client as one of its files adds to it; `log_evidence.LogEvidence`."""

    is_external: bool
    connections: dict[str, blocklog.ConnectionLine]
    torn: dict[str, int]

    def add_open(self, sealed: Sealed, entry: blocklog.OpenLine, source: Source) -> None:
        """Add the open line of a segment."""

    def add_end(self, sealed: Sealed, entry: blocklog.EndLine, segment: Segment) -> None:
        """Add the end line of a segment."""

    def add_block(
        self,
        sealed: Sealed,
        block: blocklog.AnyBlock,
        content: BlockContent,
        stamps: dict[str, int],
        feed: FeedDescription | None,
    ) -> None:
        """Add a block and its messages."""

    def add_run(self, run: RunContent) -> bool:
        """Add consecutive blocks together; return False, with nothing added, if each has to be added by itself."""


class LogFileReader:
    """Reads one file of a block log, line by line."""

    def __init__(self, log: ClientLog, source: Source) -> None:
        self.log = log
        self.source = source
        self.chain: LineChain[blocklog.LogLine] = LineChain(source, blocklog.codec)
        self.segment: Segment | None = None
        self._sha = hashlib.sha256()
        self._blocks = 0
        self._messages = 0
        self._stamps = TimestampReader()
        self._last_misfiled: str | None = None
        self._feed: FeedDescription | None = None
        self.ended = False

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs of a file that was read to its end: no digest of the bytes so far."""
        return {name: value for name, value in self.__dict__.items() if name != "_sha"}

    @property
    def is_well_named(self) -> bool:
        """Whether the name of the file is that of its session and segment."""
        return self.segment is not None and blocklog.file_name(*self.segment) == self.source.name

    def add_line(self, line: bytes) -> None:
        """Add the next line."""
        self._add_decoded(line, self.chain.decode(line))
        # Only now, since the digest in an end line covers the lines before it and not itself.
        self._sha.update(line)

    def add_lines(self, lines: Sequence[bytes]) -> None:
        """Add the next lines. The evidence is the same as if each was added by `add_line`."""
        run = BlockRun()
        for line in lines:
            decoded = self.chain.decode(line)
            if not self._continues(run, decoded):
                self._add_run(run)
                run = BlockRun()
                if not self._continues(run, decoded):
                    self._add_decoded(line, decoded)
            self._sha.update(line)
        self._add_run(run)

    def _continues(self, run: BlockRun, decoded: tuple[Sealed, blocklog.LogLine] | LineError) -> bool:
        """Add a line to a run if it is a block that continues it, or the file if the run is empty."""
        if isinstance(decoded, LineError):
            return False
        sealed, block = decoded
        if not isinstance(block, blocklog.Block) or not is_plain(block) or self._misfiled(sealed, block):
            return False
        # After an open line, and before an end line: every other place of a block is a fault.
        is_inside = self.segment is not None and not self.ended
        return is_inside and (bool(run.blocks) or self.chain.is_next(sealed)) and run.add(sealed, block)

    def _add_run(self, run: BlockRun) -> None:
        content = RunContent.of(run) if run.blocks else None
        if content is None or not self.log.add_run(content):
            for decoded in zip(run.lines, run.blocks, strict=True):
                self._add_decoded(decoded[0].text, decoded)
            return
        self._blocks += len(content.blocks)
        self._messages += len(content.messages)
        self.chain.link_all(content.crcs, run.lines[-1].crc)
        self.chain.pass_seqs(content.first, content.last)

    def _add_decoded(self, line: bytes, result: tuple[Sealed, blocklog.LogLine] | LineError) -> None:
        decoded = self.chain.take(line, result)
        if decoded is not None:
            misfiled = self._misfiled(*decoded)
            if misfiled:
                self._add_misfiled(*decoded, misfiled)
            else:
                self._add(*decoded)
        elif self.chain.number == 1 and isinstance(self.chain.error, UnreleasedForm):
            # Else the report would name a missing ledger, and not the form of the log, as the cause.
            self.log.is_external = True

    def _misfiled(self, sealed: Sealed, entry: blocklog.LogLine) -> str | None:
        """Return why a line belongs to another file, None if it does not."""
        if isinstance(entry, blocklog.EndLine):
            # It has no client and no session: it belongs to the line that it continues. If that is damaged, the line
            # is misfiled if all good lines so far are.
            is_misfiled = sealed.prev == self._last_misfiled or (self._last_misfiled and self.segment is None)
            return "the line ends another's file" if is_misfiled else None
        if (entry.run, entry.client) != (self.source.run, self.source.client):
            return f"the line belongs to {entry.client} in run {entry.run}"
        # A whole file may have been appended to one that was closed; within one no other session begins.
        is_appended = isinstance(entry, blocklog.OpenLine) and self.ended
        if self.segment and entry.session != self.segment[0] and not is_appended:
            return f"the line belongs to session {entry.session}, the file to session {self.segment[0]}"
        return None

    def _add_misfiled(self, sealed: Sealed, entry: blocklog.LogLine, why: str) -> None:
        self._last_misfiled = sealed.crc
        self.chain.add_misfiled(why)
        # The client received the block, although it is in the file of another session.
        if isinstance(entry, blocklog.AnyBlock) and (
            (entry.run, entry.client) == (self.source.run, self.source.client)
        ):
            self._block(sealed, entry)

    def _add(self, sealed: Sealed, entry: blocklog.LogLine) -> None:
        chain = self.chain
        is_open = isinstance(entry, blocklog.OpenLine)
        if is_open and chain.number > 1:
            chain.add_fault("misplaced", "an open line inside the file")
        elif not is_open and chain.number == 1:
            # The line does not continue the beginning of the file either, which would be the same fault again.
            chain.add_fault("line_missing", "the file does not begin with its open line", raw=sealed.text)
            chain.excuse()
        if self.ended:
            chain.add_fault("misplaced", "a line after the end line")
        continues = isinstance(entry, blocklog.OpenLine) and entry.segment > 1 and chain.number == 1
        if not chain.link(sealed, continues=continues):
            return
        if isinstance(entry, blocklog.OpenLine):
            self._open(sealed, entry)
        elif isinstance(entry, blocklog.AnyBlock):
            self.segment = self.segment or (entry.session, self._named()[1])
            self.chain.pass_seqs(*entry.positions)
            self._block(sealed, entry)
        elif isinstance(entry, blocklog.ConnectionLine):
            self.log.connections[sealed.crc] = entry
            self.log.is_external = True
        else:
            self._end(sealed, entry)

    def _open(self, sealed: Sealed, entry: blocklog.OpenLine) -> None:
        self.segment = (entry.session, entry.segment)
        self._feed = entry.external
        self.log.add_open(sealed, entry, self.source)

    def _block(self, sealed: Sealed, block: blocklog.AnyBlock) -> None:
        self._blocks += 1
        self._messages += len(block.messages)
        content = examine(block)
        if content.problem:
            self.chain.add_fault("inconsistent", f"block {block.block}: {content.problem}")
        try:
            # Messages of one batch share their time, so few texts are parsed.
            stamps = self._stamps.read(dict.fromkeys([message.received_at for message in block.messages]))
        except ValueError as bad_time:
            stamps = {}
            self.chain.add_fault("inconsistent", f"block {block.block}: received_at: {bad_time}")
        self.log.add_block(sealed, block, content, stamps, self._feed)

    def _end(self, sealed: Sealed, entry: blocklog.EndLine) -> None:
        logged = (entry.block_count, entry.message_count, entry.sha256)
        counted = (self._blocks, self._messages, self._sha.hexdigest())
        # After another fault the counts cannot be right; a second fault would hide the cause.
        if logged != counted and not self.chain.damages:
            self.chain.add_fault("end_mismatch", "counts or sha256 of the end line are not those of the file")
        self.ended = True
        self.segment = self.segment or self._named()
        self.log.add_end(sealed, entry, self.segment)

    def _named(self) -> Segment:
        return blocklog.parse_file_name(self.source.name) or (0, 0)
