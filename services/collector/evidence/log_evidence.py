"""The block log of one client: its sessions, blocks and messages. The order in which files are read does not matter.

A line counts once, also if it is in several files: it is identified by its content, not by its place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services.collector.evidence.block_check import BlockContent, OpenIndexRow, number
from services.collector.evidence.block_run import RunContent
from services.collector.evidence.compact_index import CompactIndex, IndexRow
from services.collector.evidence.external_evidence import ExternalEvidence
from services.collector.evidence.log_file_reader import LogFileReader, Segment
from services.collector.evidence.numbers.arrival_times import ArrivalTimesOfBlock
from services.collector.evidence.saturation import SessionSaturation, StallEvidence
from services.collector.evidence.server_clocks import ClockBlock, SessionClocks
from services.collector.evidence.timestamps import moment
from services.collector.evidence.timing import ClientTiming, RunTiming
from services.collector.scan import Source
from services.contract import blocklog
from services.contract.feed_description import FeedDescription
from services.contract.jsonl import Sealed
from services.contract.rangeset import RangeSet
from services.contract.scalars import digest_text
from services.contract.sequence_rules import PLAIN


class FilesOverlap(Exception):
    """Files of one client cannot be read apart from each other."""


class LogEvidence:
    """Everything that one client logged in one run.

    Attributes:
        blocks: a row for each block, by session and block number.
        opens: the open lines of each segment, by digest, and ``ends`` the reasons of its end lines.
        sessions: numbers of the sessions that have a file.
        logged: the positions of the messages, of the own feed their seqs; ``twice`` those in more than one block.
        corrupt: seqs that the client reported as damaged on the way.
        messages: the number of messages, and ``bytes`` of their records.
        duplicates: as the client counted them, and so ``reordered``.
        saturation: what its processes measured of their own saturation.
        stalls: when they did not read, because too much waited for the disk.
        clock_error_us: the largest error of the clock offset in any block, None for not measured.
        clocks: offsets by session, which show how far the clocks of several servers are apart.
        torn: bytes of the torn last line by file name.
        is_external: whether any line is of an external feed.
        feed: how the external feed was read, by the last segment; None for not known.
        until_us: when the run of an external feed is to end, by the same line; epoch microseconds.
        connections: the connection lines, by digest.
        opened_us: when the first session of an external feed began, epoch microseconds; None for not known.
    """

    def __init__(self, client: str, times: RunTiming) -> None:
        self.client = client
        self.blocks = CompactIndex()
        self.opens: dict[Segment, dict[str, OpenIndexRow]] = {}
        self.ends: dict[Segment, dict[str, str]] = {}
        self.sessions: set[int] = set()
        self.logged = RangeSet()
        self.twice = RangeSet()
        self.corrupt = RangeSet()
        self.messages = self.bytes = 0
        self.duplicates = self.reordered = 0
        self.saturation = SessionSaturation()
        self.stalls = StallEvidence()
        self.times = ClientTiming(client, times)
        self._comparison = times.comparison
        self.clock_error_us: int | None = None
        self.clocks = SessionClocks()
        self.torn: dict[str, int] = {}
        self._external: ExternalEvidence | None = None
        self.is_external = False
        self.feed: FeedDescription | None = None
        self.until_us: int | None = None
        self.connections: dict[str, blocklog.ConnectionLine] = {}
        self.opened_us: int | None = None
        self._described = (0, 0, "")
        self._offset: tuple[int, int, str, int] | None = None
        self._files: dict[Source, LogFileReader] = {}

    def add_line(self, source: Source, line: bytes) -> None:
        """Add one line of one file."""
        self.file(source).add_line(line)

    def join(self, times: RunTiming) -> None:
        """Become a part of another run, to whose times those of this one's were added."""
        self.times.join(times)
        self._comparison = times.comparison

    def merge(self, other: LogEvidence) -> None:
        """Add what other files of the client hold, as if they had been read here. ``other`` must not be used any more.

        Raises:
            FilesOverlap: lines of both are about the same messages, or the feed is an external one: then what one file
                means depends on the others, and all have to be read together.
        """
        if self._overlaps(other):
            raise FilesOverlap(self.client)
        self.blocks.merge(other.blocks)
        self.opens.update(other.opens)
        self.ends.update(other.ends)
        self.sessions |= other.sessions
        self.logged |= other.logged
        self.corrupt |= other.corrupt
        self.messages, self.bytes = self.messages + other.messages, self.bytes + other.bytes
        self.duplicates, self.reordered = self.duplicates + other.duplicates, self.reordered + other.reordered
        self.saturation.merge(other.saturation)
        self.stalls.merge(other.stalls)
        self.times.merge(other.times)
        self.clocks.merge(other.clocks)
        errors = [error for error in (self.clock_error_us, other.clock_error_us) if error is not None]
        self.clock_error_us = max(errors, default=None)
        self._offset = max(filter(None, (self._offset, other._offset)), default=None)
        for name, size in other.torn.items():
            self.torn[name] = max(size, self.torn.get(name, 0))
        for source, file in other._files.items():
            file.log = self
            self._files[source] = file

    def _overlaps(self, other: LogEvidence) -> bool:
        is_external = self.is_external or other.is_external
        is_twice = bool(self.twice or other.twice or self.logged & other.logged)
        has_copies = not (self.opens.keys() | self.ends.keys()).isdisjoint(other.opens.keys() | other.ends.keys())
        return is_external or is_twice or has_copies or self.blocks.shares_a_block(other.blocks)

    def file(self, source: Source) -> LogFileReader:
        """Return the reader of a file; a new file is added."""
        if source not in self._files:
            self._files[source] = LogFileReader(self, source)
            named = blocklog.parse_file_name(source.name)
            if named:
                self.sessions.add(named[0])
        return self._files[source]

    @property
    def files(self) -> list[LogFileReader]:
        """The readers of all files, in the order in which they were added."""
        return list(self._files.values())

    @property
    def external(self) -> ExternalEvidence:
        """The numbers of an external feed."""
        # Made when it is needed: a client of the own feed has none, and it takes more than a kilobyte.
        if self._external is None:
            self._external = ExternalEvidence()
        return self._external

    @property
    def is_empty(self) -> bool:
        """Whether nothing is logged: the client may have claimed files, and they have no line and no fault."""
        return not self.opens and not self.blocks and not any(file.chain.damages for file in self.files)

    @property
    def claimed(self) -> set[int]:
        """Sessions of whose files one is empty: a process has claimed the session, and wrote no line to that file."""
        empty = [file.source.name for file in self.files if not (file.chain.number or file.chain.damages)]
        return {name[0] for name in map(blocklog.parse_file_name, empty) if name is not None}

    @property
    def begun(self) -> set[int]:
        """Sessions that have a line."""
        return {session for session, _ in (*self.opens, *self.ends)} | self.blocks.sessions

    @property
    def silence_s(self) -> float | None:
        """How long an external feed may be silent, in seconds, by its settings; None to derive it from its rhythm."""
        return self.feed.silence_s if self.feed else None

    @property
    def clock_offset_us(self) -> int | None:
        """The clock offset of the last block."""
        return self._offset[3] if self._offset else None

    def is_sealed(self, session: int | None = None) -> bool:
        """Return whether the client sealed its log in a session, by default in its last one."""
        # After these two reasons another segment has to follow. A session that only claimed its file has no reasons.
        reasons = self.last_reasons(session)
        return bool(reasons) and not reasons & {"rotated", "error"}

    def last_reasons(self, session: int | None = None) -> set[str]:
        """Return why the last file of a session, by default of the last session, was ended; empty if it was not."""
        segments = {segment for segment in (*self.opens, *self.ends) if session in (None, segment[0])}
        return set(self.ends.get(max(segments), {}).values()) if segments else set()

    def add_open(self, sealed: Sealed, entry: blocklog.OpenLine, source: Source) -> None:
        """Add the open line of a segment."""
        row = OpenIndexRow(entry.fence, entry.block_size, source)
        # Two different open lines of one segment contradict each other, so both are kept for the verdict.
        self.opens.setdefault((entry.session, entry.segment), {}).setdefault(sealed.crc, row)
        self.sessions.add(entry.session)
        self.clocks.add_open(entry.session, entry.boot)
        attempted_us = moment(entry.attempted_at) if entry.attempted_at else None
        self.times.catch_up.add_session(entry.fence, entry.session, attempted_us)
        if entry.external is not None:
            self.is_external = True
            if (opened_us := moment(entry.opened_at)) is not None:
                self.opened_us = opened_us if self.opened_us is None else min(opened_us, self.opened_us)
            place = (entry.session, entry.segment, sealed.crc)
            # As in the last segment and not as in the last line read, so that the order of reading does not matter.
            if place >= self._described:
                self._described, self.feed = place, entry.external
                self.until_us = moment(entry.until) if entry.until else None
            self.external.add_rules(entry.external.sequence or PLAIN)
        for torn in entry.torn:
            # A tail may be known already, from a copy or because it was read before the client cut it off.
            self.torn[torn.file] = max(torn.bytes, self.torn.get(torn.file, 0))

    def add_end(self, sealed: Sealed, entry: blocklog.EndLine, segment: Segment) -> None:
        """Add the end line of a segment."""
        known = self.ends.setdefault(segment, {})
        # The counts of a copy must not be added again.
        if sealed.crc not in known:
            known[sealed.crc] = entry.reason
            self.saturation.add_end(segment[0], entry)
            self._declare(entry)

    def add_block(
        self,
        sealed: Sealed,
        block: blocklog.AnyBlock,
        content: BlockContent,
        stamps: dict[str, int],
        feed: FeedDescription | None,
    ) -> None:
        """Add a block and its messages, unless a copy was added before.

        Args:
            sealed: its line.
            block: the block.
            content: of its messages.
            stamps: epoch microseconds of every ``received_at``; empty if one of them is not a time.
            feed: how an external feed was read, by the open line of the same file; None without that.
        """
        row = IndexRow(*block.positions, block.count, number(block.digest), number(sealed.crc))
        is_new = self.blocks.add((block.session, block.block), row)
        timestamps = self._add_new(sealed, block, content, stamps) if is_new else {}
        if isinstance(block, blocklog.ExternalBlock):
            # Also a copy: only its file may have the open line that names where in a record the time of sending is.
            contents = self._comparison.add_block(self.client, sealed.crc, block, feed, stamps, is_new=is_new)
            if is_new:
                self._add_external(sealed.crc, block, stamps, feed, contents)
                self.times.add_external_receipts(block, timestamps)
        elif timestamps:
            self.times.add_receipts(block, content, timestamps)

    def add_run(self, run: RunContent) -> bool:
        """Add consecutive blocks together; return False, with nothing added, if each has to be added by itself.

        That is so if a seq or a block of them may be known already, or a message may be catch-up.
        """
        first, last = run.blocks[0], run.blocks[-1]
        is_new = run.first > self.logged.last and self.blocks.is_above(run.session, first.block)
        if not is_new or not self.times.add_run(run):
            return False
        blocks = zip(run.blocks, run.crcs, strict=True)
        rows = [(one.block, one.first, one.last, one.count, number(one.digest), crc) for one, crc in blocks]
        self.blocks.extend(run.session, rows)
        self.clock_error_us = max(*(block.clock_error_us for block in run.blocks), self.clock_error_us or 0)
        self._add_clock(digest_text(run.crcs[0]), first)
        self._add_clock(digest_text(run.crcs[-1]), last)
        self.messages += len(run.messages)
        self.bytes += run.size
        self.logged.add(run.first, run.last)
        return True

    def _add_clock(self, crc: str, block: blocklog.Block) -> None:
        # That of the highest block and not of the last one read, so that the order of reading does not matter.
        self._offset = max(self._offset or (0, 0, "", 0), (block.session, block.block, crc, block.clock_offset_us))
        place = block.block, crc, *block.positions
        self.clocks.add_block(block.session, ClockBlock(*place, block.clock_offset_us, block.clock_error_us))

    def _add_new(
        self, sealed: Sealed, block: blocklog.AnyBlock, content: BlockContent, stamps: dict[str, int]
    ) -> Mapping[str, int]:
        """Add what blocks of both kinds of feed have; return the timestamps of a block by the server's clock."""
        self._declare(block)
        self.times.add_block_duration(block.duration_ns)
        if isinstance(block, blocklog.Block):
            self.clock_error_us = max(block.clock_error_us, self.clock_error_us or 0)
            self._add_clock(sealed.crc, block)
        if not block.messages:
            return {}
        self._add_messages(len(block.messages), content)
        return self.times.add_block(block, content, stamps)

    def _add_external(
        self,
        crc: str,
        block: blocklog.ExternalBlock,
        stamps: dict[str, int],
        feed: FeedDescription | None,
        contents: Sequence[int] | None,
    ) -> None:
        arrivals = ArrivalTimesOfBlock.of(stamps.values())
        ended_us = arrivals.last_us if arrivals else 0
        if stamps and feed is not None and feed.seq is not None and any(one.seq is None for one in block.messages):
            # Of a feed with numbers a message without one, such as a heartbeat, is no sign that records still come.
            arrivals = ArrivalTimesOfBlock.of(stamps[one.received_at] for one in block.messages if one.seq is not None)
        rules = (feed.sequence or PLAIN) if feed else None
        self.external.has_time = self.external.has_time or bool(feed and feed.time)
        by_key = ArrivalTimesOfBlock.by_key(block.messages, stamps) if feed is not None and feed.key else None
        self.external.add_block(block, crc, ended_us, arrivals, rules, contents, by_key)
        self.is_external = True

    def _declare(self, entry: blocklog.AnyBlock | blocklog.EndLine) -> None:
        self.stalls.add(entry.stalls)
        self.duplicates += entry.duplicates
        self.reordered += entry.reordered
        for first, last in entry.corrupt:
            self.corrupt.add(first, last)

    def _add_messages(self, count: int, content: BlockContent) -> None:
        self.messages += count
        self.bytes += content.size
        for first, last in content.spans:
            # Nearly all blocks lie above all messages so far, and need no search for repeated ones.
            if first <= self.logged.last:
                for again in self.logged.within(first, last):
                    self.twice.add(*again)
            self.logged.add(first, last)
