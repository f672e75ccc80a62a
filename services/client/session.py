"""One client's side of the books of one run: what it holds, the blocks it makes, what the server has recorded."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable

from services.client import block_encoder, recovery
from services.client.block_builder import BlockBuilder, BlockCut
from services.client.block_encoder import ClientConditions, ReceivedBatch
from services.client.block_log import BlockLog
from services.client.clock_sync import Estimate
from services.client.sequence_check import SequenceChecker
from services.client.write_queue import WriteQueue
from services.contract import blocklog, wire
from services.contract.errors import PeerError
from services.runtime.clock import Clock
from services.runtime.durable_file import make_folder

log = logging.getLogger(__name__)


class LogsChanged(ConnectionAbortedError):
    """This client holds more than it said when it subscribed: it hangs up, and asks again."""


class ClientSession:
    """The session of one client in one run: one process's files, whatever becomes of its connections."""

    def __init__(
        self,
        client: str,
        run: str,
        total: int,
        conditions: ClientConditions,
        clock: Clock,
        on_durable: Callable[[wire.Receipt], None],
        attempted_us: int | None = None,
    ) -> None:
        """Claim a session by creating its first file, empty; read what earlier ones hold.

        ``attempted_us`` is when this process first tried to connect, epoch microseconds of its own clock.

        Raises:
            OSError: the folder refuses.
        """
        self.client, self.run, self.total, self._conditions, self._clock = client, run, total, conditions, clock
        self._attempted_us = attempted_us
        self.folder = conditions.logs / run / client
        make_folder(self.folder)
        self._claimed, self.session = recovery.claim(self.folder)
        self._place = block_encoder.SessionKey(run, client, self.session)
        try:
            self._remember(recovery.read(self.folder))
        except OSError:
            self._claimed.close()
            raise
        self._estimate, self._strain = Estimate(0, 0), conditions.strain.window()
        self._durable_block = self._recorded_through = 0
        self.sealed = False
        self._on_durable = on_durable
        self._writer = WriteQueue[blocklog.BlockHeader](client, conditions, self._durable)

    def _remember(self, past: recovery.OwnHistory) -> None:
        """Begin where earlier sessions broke off."""
        given = self._conditions
        self._history, self.checker = past, SequenceChecker(past.held)
        self._cutter = BlockBuilder[ReceivedBatch](given.block_size, given.block_bytes, given.block_seconds, self.after)
        self._receipts = {(receipt.session, receipt.block): receipt for receipt in past.receipts}
        self.durable_through = self.after

    @property
    def after(self) -> int:
        """The last seq this client holds: on disk, or in this process."""
        return self.checker.after

    @property
    def settled(self) -> bool:
        """Whether nothing is left to do in this run."""
        return self.sealed and not self._receipts

    def request(self) -> wire.Subscribe:
        """Return the frame that asks for what this client does not hold yet."""
        return block_encoder.request(self._place, self._conditions, self.after)

    @property
    def begun(self) -> bool:
        """Whether anything was written."""
        return self._writer.begun

    def release(self) -> None:
        """Give back a name that turned out to be somebody else's, before anything was written under it."""
        self._writer.abandon()
        self._claimed.path.unlink(missing_ok=True)
        self._claimed.close()
        # Not when there is anything in them: then another process logs there.
        with contextlib.suppress(OSError):
            self.folder.rmdir()
            self.folder.parent.rmdir()

    def subscribed(self, fence: int, receipted: int) -> list[wire.Receipt]:
        """Begin the log, if it has none yet; return the receipts that the server lacks, oldest first.

        Raises:
            HoldsMore: earlier sessions hold more than this client said.
        """
        if not self.begun:
            self._look_again(receipted)
            tails, now_us = recovery.cut_all(self._history.tails), self._clock.now_us()
            given, attempted_us = self._conditions, self._attempted_us
            opening = block_encoder.opening(self._place, fence, self.after, given, tails, now_us, attempted_us)
            self._writer.begin(BlockLog(self._claimed, opening, self._clock, self._strain))
        if receipted < self._recorded_through:
            # The server has lost what it had recorded: the logs know all of it.
            for receipt in recovery.read(self.folder, doubt=False).receipts:
                # A block of this session may be written and not yet durable.
                if receipt.session != self.session or receipt.block <= self._durable_block:
                    self._receipts.setdefault((receipt.session, receipt.block), receipt)
        lacking = [receipt for _, receipt in sorted(self._receipts.items()) if receipt.last > receipted]
        self._receipts = {(receipt.session, receipt.block): receipt for receipt in lacking}
        self._recorded_through = max(self._recorded_through, receipted)
        return lacking

    def _look_again(self, receipted: int) -> None:
        """Make sure that what was said on subscribing still holds, now that nobody else has the name.

        What stands behind damage was taken for torn; if it was receipted it had been synced, and stays. And whoever
        had the name until now may have written since its folder was read.
        """
        said, doubt = self.after, receipted <= self.after
        if (self._history.doubted and not doubt) or self._history.sizes != recovery.sizes(self.folder):
            self._remember(recovery.read(self.folder, doubt=doubt))
        if self.after != said:
            raise LogsChanged(f"held through {self.after}, not {said}")

    def recorded(self, answer: wire.Recorded) -> None:
        """Note that a receipt is in the ledger."""
        if not answer.match:
            log.warning("server's digest differs", extra={"client": self.client, "block": answer.block})
        receipt = self._receipts.pop((answer.session, answer.block), None)
        if receipt is not None:
            self._recorded_through = max(self._recorded_through, receipt.last)

    @property
    def full(self) -> bool:
        """Whether the disk is behind: then nothing more is received until there is `room`."""
        return self._writer.full

    async def room(self) -> None:
        """Wait while the disk is behind."""
        await self._writer.room()

    def receive(self, header: wire.Records, body: bytes, received_ns: int, now: Callable[[], Estimate]) -> None:
        """Check a batch, cut it into blocks, and have them written; ``now`` estimates the server's clock."""
        records = wire.records_of(header, body)
        if records is None:
            self.checker.refuse(header.first, header.count)
            log.warning("corrupt batch", extra={"client": self.client, "first": header.first, "count": header.count})
            return
        if self._cutter.deadline_ns is None:
            # One estimate for all messages of a block, so that the block can state it.
            self._estimate = now()
            if self._cutter.number == 0:
                # While a client waits for the first record nothing strains it: that time would make it look rested.
                self._strain.begin()
        arrived = block_encoder.batch(header, records, received_ns, self._estimate.offset_us)
        places = self.checker.accept(header.first, header.count)
        for part in [arrived] if places is None else block_encoder.only(arrived, places):
            for cut in self._cutter.add(part):
                self._put(cut)
        if self.checker.after >= self.total:
            self.close_block("end")

    def unreadable(self, problem: PeerError) -> None:
        """Note a frame that could not be read: it may have held records."""
        log.warning("unreadable frame", extra={"client": self.client, "why": problem.detail[:200]})
        self.checker.unreadable()

    def reached(self, last: int) -> None:
        """Note that everything up to ``last`` has been sent; close the open block."""
        self.checker.reached(last)
        self.close_block("end")

    def close_old_block(self, now_ns: int) -> None:
        """Close the open block if its time is over."""
        for cut in self._cutter.close_old(now_ns):
            self._put(cut)

    def close_block(self, closed_by: blocklog.ClosedBy) -> None:
        """Close the open block, if there is one."""
        for cut in self._cutter.close(closed_by):
            self._put(cut)

    async def seal(self, reason: blocklog.FileEndReason) -> None:
        """Wait until all blocks are durable, then write the last line and close. Never again after the first time."""
        if self.sealed:
            return
        self.sealed = True
        if reason != "superseded":  # then what waits is logged by the other process
            await self._writer.drain()
        await self._writer.end(reason, self.checker.take_counts())
        if not self.begun:
            self._claimed.close()

    def abandon(self) -> None:
        """Give up on a disk that refuses: what it lacks was never receipted."""
        self._writer.abandon()

    def _put(self, cut: BlockCut[ReceivedBatch]) -> None:
        self._writer.put(block_encoder.block(self._place, cut, self.checker.take_counts(), self._estimate))

    def _durable(self, block: blocklog.BlockHeader) -> None:
        receipt = recovery.receipt_of(block)
        self._receipts[receipt.session, receipt.block] = receipt
        self._durable_block = block.block
        self.durable_through = max(self.durable_through, block.last)
        self._on_durable(receipt)
