"""One client's log of one run of a foreign feed: what came, cut into blocks and written. It gives no receipts."""

from __future__ import annotations

import logging
import zlib
from collections import Counter
from collections.abc import Iterator

import msgspec

from services.client import block_encoder, recovery
from services.client.block_builder import BlockBuilder, BlockCut
from services.client.block_encoder import ClientConditions
from services.client.block_log import BlockLog
from services.client.external.connection_lines import ConnectionLog
from services.client.external.decoder import DecodedRecord, ExternalBatch
from services.client.external.rendezvous import AgreedRun
from services.client.write_queue import WriteQueue
from services.contract import blocklog
from services.contract.scalars import utc_text
from services.contract.sequence_tracker import SequenceTracker
from services.runtime.clock import Clock
from services.runtime.durable_file import make_folder

log = logging.getLogger(__name__)

_TOLD = 20
"""Kinds of trouble that are told, one line each; more of them are only counted."""


class Sequences:
    """What is known of the sequences of one client, by key, and what is wrong with what came since the last block."""

    def __init__(self) -> None:
        self.by_key: dict[str | None, SequenceTracker] = {}
        self._counted: Counter[str] = Counter()

    def accept(self, heard: DecodedRecord) -> None:
        """Take in a record that came."""
        if heard.seq is not None:
            sequence = self.by_key.setdefault(heard.key, SequenceTracker())
            sequence.accept(heard.seq, zlib.crc32(heard.record))

    def reconnected(self) -> None:
        """Say that what follows comes over a new connection, with which the numbers may begin again."""
        for one in self.by_key.values():
            one.reconnected()

    def last(self) -> Iterator[tuple[str | None, int]]:
        """Return the last number of every sequence."""
        return ((key, one.held.last) for key, one in self.by_key.items() if one.start is not None)

    def take_counts(self) -> dict[str, int]:
        """Return duplicates, reordered and restarts since the last call."""
        total: Counter[str] = Counter(duplicates=0, reordered=0, restarts=0)
        for one in self.by_key.values():
            total.update(duplicates=one.duplicates, reordered=one.reordered, restarts=one.restarts)
        since = {name: total[name] - self._counted[name] for name in total}
        self._counted = total
        return since


class ExternalSession:
    """The session of one client in one run of a foreign feed: one process's files, whatever becomes of connections."""

    def __init__(
        self,
        client: str,
        run: AgreedRun,
        feed: blocklog.FeedDescription,
        conditions: ClientConditions,
        clock: Clock,
    ) -> None:
        """Claim a session by creating its first file, and begin its log.

        Raises:
            OSError: the folder refuses.
        """
        self.client, self.run, self._conditions, self._clock = client, run.run, conditions, clock
        folder = conditions.logs / run.run / client
        make_folder(folder)
        claimed, self.session = recovery.claim(folder)
        self._place = block_encoder.SessionKey(run.run, client, self.session)
        tails = [tail for tail in recovery.torn_tails(folder) if tail.path != claimed.path]
        tails = recovery.cut_all(tails)
        self.sequences = Sequences()
        self.connections = ConnectionLog(self._place)
        self._cutter = BlockBuilder[ExternalBatch](
            conditions.block_size, conditions.block_bytes, conditions.block_seconds, before=0
        )
        self._heard = 0
        self._before: int | None = None
        self._told: set[str] = set()
        self.sealed = False
        self._writer = WriteQueue[blocklog.ExternalBlockHeader | blocklog.ConnectionLine](
            client, conditions, lambda _line: None
        )
        own = block_encoder.opening(self._place, 0, 0, conditions, tails, clock.now_us())
        opening = msgspec.structs.replace(own, external=feed, until=run.until)
        self._writer.begin(BlockLog(claimed, opening, clock, conditions.strain.window()))

    @property
    def received(self) -> int:
        """How many records this session has received."""
        return self._heard

    async def receive(self, heard: list[DecodedRecord], received_ns: int) -> None:
        """Take in the records of a frame, cut them into blocks, have them written; waits while the disk is behind."""
        for one in heard:
            self.sequences.accept(one)
            if one.trouble is not None:
                self._tell(one)
        batch = ExternalBatch(self._heard + 1, heard, received_ns)
        self._heard += len(heard)
        for cut in self._cutter.add(batch):
            await self._put(cut)

    async def close_old_block(self, now_ns: int) -> None:
        """Close the open block if its time is over."""
        for cut in self._cutter.close_old(now_ns):
            await self._put(cut)

    async def close_block(self, closed_by: blocklog.ClosedBy) -> None:
        """Close the open block, if there is one."""
        for cut in self._cutter.close(closed_by):
            await self._put(cut)

    async def opened(self) -> None:
        """Note that the client is connected."""
        await self._close_connection_block()
        self.sequences.reconnected()
        self._writer.put(self.connections.opened(self._clock.now_us()))

    def refused(self, code: int | None, reason: str) -> None:
        """Note that an attempt to connect failed."""
        self._writer.put(self.connections.refused(self._clock.now_us(), code, reason))

    async def closed(self, code: int, reason: str) -> None:
        """Note that the connection ended; no block spans two of them, so the open one is closed first."""
        await self._close_connection_block()
        self._writer.put(self.connections.closed(self._clock.now_us(), code, reason))

    def ended(self, condition: str) -> None:
        """Note that the feed is over, by a condition of ``FEED_END``."""
        self._writer.put(self.connections.ended(self._clock.now_us(), condition))

    async def seal(self, reason: blocklog.FileEndReason) -> None:
        """Wait until all lines are durable, then write the last line and close. Never again after the first time."""
        if self.sealed:
            return
        self.sealed = True
        self._writer.put(self.connections.sealed(self._clock.now_us()))
        await self._writer.drain()
        counts = self.sequences.take_counts()
        await self._writer.end(reason, (counts["duplicates"], counts["reordered"], []))

    def abandon(self) -> None:
        """Give up on a disk that refuses."""
        self._writer.abandon()

    def _tell(self, one: DecodedRecord) -> None:
        kind = (one.trouble or "").split(" at ", 1)[-1] if one.seq is None else one.trouble or ""
        if kind in self._told or len(self._told) >= _TOLD:
            return
        self._told.add(kind)
        extra = {"client": self.client, "why": one.trouble, "record": one.record[:120].decode("utf-8", "replace")}
        log.warning("a record's number cannot be used" if one.seq is None else "a record is odd", extra=extra)

    async def _put(self, cut: BlockCut[ExternalBatch]) -> None:
        self._writer.put(self._block(cut))
        await self._writer.room()

    async def _close_connection_block(self) -> None:
        for cut in self._cutter.close("end"):
            self._writer.put(msgspec.structs.replace(self._block(cut), closed_by="connection"))
            await self._writer.room()

    def _block(self, cut: BlockCut[ExternalBatch]) -> blocklog.WrittenExternalBlock:
        seqs = [one.seq for part in cut.parts for one in part.heard if one.seq is not None]
        only = self.sequences.by_key.get(None) if len(self.sequences.by_key) == 1 else None
        keyed = only is None
        missing = only.missing(self._before).spans() if only is not None else []
        if only is not None:
            self._before = only.held.last
        counts = self.sequences.take_counts()
        return blocklog.WrittenExternalBlock(
            run=self._place.run,
            client=self._place.client,
            session=self._place.session,
            block=cut.number,
            positions=(cut.first, cut.last),
            first=min(seqs) if seqs and not keyed else None,
            last=max(seqs) if seqs and not keyed else None,
            count=cut.count,
            missing=missing,
            connection=max(1, self.connections.count),
            closed_by=cut.closed_by,
            started_at=utc_text(cut.started_ns // 1000),
            ended_at=utc_text(cut.ended_ns // 1000),
            duration_ns=cut.ended_ns - cut.started_ns,
            idle_ns=cut.idle_ns,
            digest=block_encoder.records_digest(cut),
            messages=block_encoder.messages(cut),
            duplicates=counts["duplicates"],
            reordered=counts["reordered"],
            restarts=counts["restarts"],
            unsequenced=cut.count - len(seqs),
        )
