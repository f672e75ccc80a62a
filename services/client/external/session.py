"""One client's session in one run of an external feed: it logs like that of the own feed, and gives no receipts.

Besides blocks it logs the events of its connections, since no ledger of a server records them.
"""

from __future__ import annotations

import logging
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import msgspec

from services.client import block_encoder, recovery
from services.client.block_builder import BlockCut
from services.client.block_encoder import PendingLine, SessionKey
from services.client.external.connection_failure import MAX_REASON_LENGTH
from services.client.external.decoder import DecodedRecord
from services.client.external.external_batch import ExternalBatch
from services.client.external.rendezvous import AgreedRun
from services.client.session_log import SessionLog
from services.client.settings import ClientConfig
from services.contract import blocklog
from services.contract.feed_description import FeedDescription
from services.contract.jsonl import fields
from services.contract.scalars import Span, utc_text
from services.contract.sequence_rules import MOST_SEQUENCES, PLAIN, SequenceRules
from services.contract.sequence_text import seq_text, span_text
from services.contract.sequence_tracker import SequenceTracker
from services.runtime.clock import Clock

log = logging.getLogger(__name__)

# Kinds of remarks that are logged, a line each. A feed that makes ever new ones must not fill the log.
_MAX_LOGGED_KINDS = 20


class ConnectionLog:
    """Counts the connections of a session, and makes a log line of each event.

    Attributes:
        count: number of connections so far, the present one included.
        is_connected: whether there is a connection now.
    """

    def __init__(self, key: SessionKey) -> None:
        self._key = key
        self.count = 0
        self.is_connected = False
        self._code: int | None = None
        self._reason = ""
        self._attempts = 0

    def opened(self, at_us: int) -> blocklog.ConnectionLine:
        """Return the line for a successful handshake."""
        self.count += 1
        self.is_connected, self._attempts, self._code, self._reason = True, 0, None, ""
        return self._line("opened", at_us)

    def refused(self, at_us: int, code: int | None, reason: str) -> blocklog.ConnectionLine:
        """Return the line for a failed attempt; ``code`` is the HTTP status, if there was one."""
        # Counted until the next connection, so that the last line shows how often the client tried in vain.
        self._attempts += 1
        self._code, self._reason = code, reason
        return self._line("refused", at_us)

    def closed(self, at_us: int, code: int, reason: str) -> blocklog.ConnectionLine:
        """Return the line for the end of a connection that this client did not end."""
        self.is_connected, self._code, self._reason = False, code, reason
        return self._line("closed", at_us)

    def ended(self, at_us: int, condition: str) -> blocklog.ConnectionLine:
        """Return the line for a condition of ``FEED_END`` that is met."""
        code = None if self.is_connected else self._code
        return self._line("ended", at_us, code, condition)

    def held_back(self, code: int | None, reason: str) -> None:
        """Remember another client's refusal as the reason why this client makes no attempt, unless it has its own."""
        if not self.is_connected and self._code is None and not self._reason:
            why = f"held back, since another client was refused: {reason}"
            self._code, self._reason = code, why[:MAX_REASON_LENGTH]

    def waits(self, why: str) -> None:
        """Remember why a client that never was connected has no answer, unless another reason is known."""
        if not (self.count or self._attempts or self._reason):
            self._reason = why[:MAX_REASON_LENGTH]

    def unanswered(self, why: str) -> None:
        """Remember that the client is connected, and that the server has not answered its greeting."""
        if self.is_connected:
            self._reason = why[:MAX_REASON_LENGTH]

    def sealed(self, at_us: int) -> blocklog.ConnectionLine:
        """Return the line for the end of the session, with the last code and reason unless all is well."""
        return self._line("sealed", at_us)

    def _line(
        self, event: blocklog.ConnectionEvent, at_us: int, code: int | None = None, reason: str = ""
    ) -> blocklog.ConnectionLine:
        return blocklog.ConnectionLine(
            run=self._key.run,
            client=self._key.client,
            session=self._key.session,
            connection=self.count,
            event=event,
            at=utc_text(at_us),
            connected=self.is_connected,
            code=self._code if code is None else code,
            reason=reason or self._reason,
            attempts=self._attempts,
        )


class Sequences:
    """The sequences of one client, by key, and counts of the faults since the last block."""

    def __init__(self, rules: SequenceRules = PLAIN) -> None:
        self.by_key: dict[str | None, SequenceTracker] = {}
        self._rules = rules
        # A block asks only for the sequences of its records: a feed may have many thousands.
        self._touched: dict[str | None, tuple[int, int, int]] = {}

    def accept_all(self, records: Sequence[DecodedRecord]) -> None:
        """Add records, each to its sequence, in their order."""
        if len(records) == 1:
            self.accept(records[0])
            return
        by_key: dict[str | None, list[DecodedRecord]] = defaultdict(list)
        for record in records:
            by_key[record.key].append(record)
        # The sequences are independent of each other, and in each of them nearly all numbers follow one another.
        for key, own in by_key.items():
            if not self._accept_new_run(self.by_key.get(key), [record.seq for record in own]):
                for record in own:
                    self.accept(record)

    @staticmethod
    def _accept_new_run(sequence: SequenceTracker | None, seqs: list[int | None]) -> bool:
        """Add numbers to a sequence if they are consecutive and above all others; return whether they were added."""
        first, last = seqs[0], seqs[-1]
        if sequence is None or first is None or last is None or last - first != len(seqs) - 1:
            return False
        return seqs == list(range(first, last + 1)) and sequence.accept_new_run(first, last)

    def accept(self, record: DecodedRecord) -> None:
        """Add a record to its sequence. Of more than `MOST_SEQUENCES` keys the further ones are not followed."""
        if record.seq is not None:
            key = record.key
            sequence = self.by_key.get(key)
            if sequence is None:
                if len(self.by_key) >= MOST_SEQUENCES:
                    return
                sequence = self.by_key[key] = SequenceTracker(self._rules)
            if key not in self._touched:
                self._touched[key] = (sequence.duplicates, sequence.reordered, sequence.restarts)
            # The digest tells a repeated record from another record with the same number.
            sequence.accept_message(record.seq, zlib.crc32(record.record), record.first_seq, record.prev_seq)

    def reconnected(self) -> None:
        """Begin with a new connection, on which the numbers may restart."""
        for sequence in self.by_key.values():
            sequence.reconnected()

    def last(self) -> Iterator[tuple[str | None, int]]:
        """Return the last number of every sequence."""
        return ((key, sequence.held.last) for key, sequence in self.by_key.items() if sequence.start is not None)

    def take_counts(self) -> dict[str, int]:
        """Return duplicates, reordered and restarts since the last call.

        A 0 that seemed to be late is not counted as such any more if the sequence turns out to have begun again with
        it. That is no number below 0 if a block before has stated it already.
        """
        duplicates = reordered = restarts = 0
        for key, before in self._touched.items():
            sequence = self.by_key[key]
            duplicates += sequence.duplicates - before[0]
            reordered += max(sequence.reordered - before[1], 0)
            restarts += sequence.restarts - before[2]
        self._touched.clear()
        return {"duplicates": duplicates, "reordered": reordered, "restarts": restarts}


class ExternalSession(SessionLog[ExternalBatch]):
    """The session of one client in one run of an external feed.

    Attributes:
        sequences: of the feed's own numbers.
        connections: state of the connections, which the log records between the blocks.
        received: number of records received in this session.
    """

    def __init__(
        self,
        client: str,
        run: AgreedRun,
        feed: FeedDescription,
        config: ClientConfig,
        clock: Clock,
    ) -> None:
        """Claim a session, cut off what a crash left of earlier ones, and begin the log.

        Raises:
            OSError: the folder refuses.
        """
        super().__init__(client, run.run, config, clock)
        tails = [tail for tail in recovery.torn_tails(self.folder) if tail.path != self._claimed.path]
        self.sequences = Sequences(feed.sequence or PLAIN)
        self.connections = ConnectionLog(self._key)
        self.received = 0
        self._feed = feed
        self._passed_over: Counter[str] = Counter()
        self._previous_last: int | None = None
        self._logged_kinds: set[str] = set()
        opening = block_encoder.opening(self._key, 0, 0, config, recovery.cut_all(tails), clock.now_us())
        self._begin(msgspec.structs.replace(opening, external=feed, until=run.until))

    async def write(self) -> None:
        """Write the log until it is sealed or closed. Exactly one task must run this: nothing is written without it."""
        async for _ in self._queue.durable():
            pass  # An external feed takes no receipts.

    def receive(self, records: Sequence[DecodedRecord], received_ns: int) -> None:
        """Cut the records of a frame into blocks, and have them written.

        Args:
            records: in their order.
            received_ns: arrival time of the frame, epoch nanoseconds.
        """
        # Before anything else, so that a block which is over does not count the faults of records that come after it.
        self.close_old_block(received_ns)
        while len(records) > 1:
            # Up to the end of the open block: its line states what the sequences have counted so far.
            fitting = self._builder.fitting([record.record for record in records])
            self._receive_part(records[:fitting], received_ns)
            records = records[fitting:]
        if records:
            self._receive_part(records, received_ns)

    def _receive_part(self, records: Sequence[DecodedRecord], received_ns: int) -> None:
        self.sequences.accept_all(records)
        for record in records:
            if record.remark is not None:
                self._log_remark(record)
        batch = ExternalBatch(self.received + 1, records, received_ns)
        self.received += len(records)
        self._add(batch)

    def passed_over(self, *, ignored: int, pings: int) -> None:
        """Count messages that are no records; the next block or the next line of the connection has the numbers."""
        self._passed_over.update(ignored=ignored, pings=pings)

    def opened(self) -> None:
        """Log that the client is connected."""
        # No block spans two connections: the collector derives the feed's rhythm from intervals within a connection.
        self.close_block("connection")
        self.sequences.reconnected()
        self._put(self.connections.opened(self._clock.now_us()))

    def refused(self, code: int | None, reason: str) -> None:
        """Log that an attempt to connect failed."""
        self._put(self.connections.refused(self._clock.now_us(), code, reason))

    def closed(self, code: int, reason: str) -> None:
        """Log that the connection ended."""
        self.close_block("connection")
        self._put(msgspec.structs.replace(self.connections.closed(self._clock.now_us(), code, reason), **self._take()))

    def ended(self, condition: str) -> None:
        """Log that the feed has ended, by a condition of ``FEED_END``."""
        self._put(self.connections.ended(self._clock.now_us(), condition))

    async def seal(self, reason: blocklog.FileEndReason) -> None:
        """Log the state of the connection, wait until all lines are durable, then write the last line and close."""
        if not self.is_sealed:
            self._put(msgspec.structs.replace(self.connections.sealed(self._clock.now_us()), **self._take()))
        await super().seal(reason)

    def _put(self, line: blocklog.ConnectionLine) -> None:
        self._queue.put(PendingLine(fields(line)))

    def _take(self) -> dict[str, int]:
        """Return the numbers of messages that were passed over since the last call."""
        taken = {name: self._passed_over[name] for name in ("ignored", "pings")}
        self._passed_over.clear()
        return taken

    def _log_remark(self, record: DecodedRecord) -> None:
        # A value differs from record to record, the place of the problem does not.
        kind = (record.remark or "").split(" at ", 1)[-1]
        if kind in self._logged_kinds or len(self._logged_kinds) >= _MAX_LOGGED_KINDS:
            return
        self._logged_kinds.add(kind)
        shown = record.record[:120].decode("utf-8", "replace")
        event = "a record's number cannot be used" if record.seq is None else "a record is unusual"
        log.warning(event, extra={"client": self.client, "why": record.remark, "record": shown})

    def _line_of(self, cut: BlockCut[ExternalBatch]) -> PendingLine:
        seqs = [part.seqs for part in cut.parts if part.seqs]
        numbered = sum(map(len, seqs))
        # With several sequences, separated by a key, a block has no bounds and no gaps of its own.
        sequence = self.sequences.by_key.get(None) if len(self.sequences.by_key) == 1 else None
        missing: list[Span] = []
        first = last = None
        if sequence is not None:
            missing = sequence.missing(self._previous_last).spans()
            self._previous_last = sequence.held.last
            first, last = min(map(min, seqs), default=None), max(map(max, seqs), default=None)
        # Names and order are those of `blocklog.ExternalBlock`.
        line = {
            **block_encoder.block_head(self._key, cut.number, blocklog.EXTERNAL_VERSION),
            "positions": (cut.first, cut.last),
            "first": None if first is None else seq_text(first),
            "last": None if last is None else seq_text(last),
            "count": cut.count,
            "missing": [span_text(span) for span in missing],
            **self.sequences.take_counts(),
            "unsequenced": cut.count - numbered,
            **self._without(cut),
            **self._take(),
            "connection": max(1, self.connections.count),
            "closed_by": cut.closed_by,
            **block_encoder.block_times(cut),
            "clock_offset_us": None,
            "clock_error_us": None,
            "digest": block_encoder.records_digest(cut),
            "messages": block_encoder.messages(cut),
        }
        return PendingLine(line, cut.count, first)

    def _without(self, cut: BlockCut[ExternalBatch]) -> dict[str, int]:
        """Return how many messages of a block have no key and no time, of a feed that should have them."""
        without = {}
        if self._feed.key is not None:
            without["without_key"] = sum(part.without_key for part in cut.parts)
        if self._feed.time is not None:
            without["without_time"] = sum(part.without_time for part in cut.parts)
        return without

    def _take_counts(self) -> tuple[int, int, list[Span]]:
        counts = self.sequences.take_counts()
        return counts["duplicates"], counts["reordered"], []
