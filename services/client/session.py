"""One client's session in one run of the own feed: it resumes, logs, and gives receipts."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable

from services.client import block_encoder, recovery
from services.client.block_builder import BlockCut
from services.client.block_encoder import PendingLine, ReceivedBatch
from services.client.clock_sync import Estimate
from services.client.receipts import UnrecordedReceipts, receipt_of
from services.client.sequence_check import SequenceChecker
from services.client.session_log import SessionLog
from services.client.settings import ClientConfig
from services.contract import wire
from services.contract.errors import PeerError
from services.contract.scalars import Span
from services.runtime.clock import Clock
from services.runtime.jsonlogs import RateLimitedLog

log = logging.getLogger(__name__)


class LogsChanged(ConnectionAbortedError):
    """This client holds other records than its subscription stated: it must disconnect and subscribe again."""


class ClientSession(SessionLog[ReceivedBatch]):
    """The session of one client in one run: resumes from the logs of earlier sessions, and gives receipts.

    Attributes:
        total: number of records in the run.
        checker: records that the client holds, and faults of those received.
        durable_through: last seq that is on disk.
    """

    def __init__(
        self, client: str, run: str, total: int, config: ClientConfig, clock: Clock, attempted_us: int | None = None
    ) -> None:
        """Claim a session, and read what earlier ones hold.

        Args:
            client: name of the client.
            run: name of the run.
            total: number of records in the run.
            config: how the client logs.
            clock: of this process.
            attempted_us: when this process first tried to connect, epoch microseconds of its own clock.

        Raises:
            OSError: the folder refuses.
        """
        super().__init__(client, run, config, clock)
        self.total, self._attempted_us = total, attempted_us
        try:
            self._resume(recovery.read(self.folder))
        except OSError:
            self._claimed.close()
            raise
        self._estimate, self._durable_block = Estimate(0, 0), 0
        self._fence, self._fault_log = self._history.fence, RateLimitedLog()

    def _resume(self, history: recovery.OwnHistory) -> None:
        """Begin where earlier sessions ended."""
        self._history, self.checker = history, SequenceChecker(history.held)
        self._builder = self._new_builder(self.after)
        self._receipts = UnrecordedReceipts(history.receipts)
        self.durable_through = self.after

    @property
    def after(self) -> int:
        """The last seq this client holds, on disk or in this process."""
        return self.checker.after

    @property
    def is_settled(self) -> bool:
        """Whether nothing is left to do in this run: the log is sealed, and the server has recorded every receipt."""
        return self.is_sealed and not self._receipts

    def request(self) -> wire.Subscribe:
        """Return the frame that subscribes to what this client does not hold yet."""
        return block_encoder.request(
            self._key, self._config, self.after, self._fence, self._receipts.all_recorded_through
        )

    def release(self) -> None:
        """Remove all traces of a session under a name that belongs to another client, before anything was written."""
        self._claimed.path.unlink(missing_ok=True)
        self.close()
        # Fails, as it should, when there are other files: another process logs there.
        with contextlib.suppress(OSError):
            self.folder.rmdir()
            self.folder.parent.rmdir()

    def subscribed(self, fence: int, receipted: int) -> list[wire.Receipt]:
        """Begin the log, unless it has begun.

        Args:
            fence: number by which the server granted the subscription.
            receipted: last seq for which the server has recorded a receipt.

        Returns:
            The receipts that the server lacks, oldest first.

        Raises:
            LogsChanged: earlier sessions hold other records than the subscription stated.
        """
        # Another server of the run may grant the next subscription: its fence must be higher than this one.
        self._fence = max(self._fence, fence)
        if not self.has_begun:
            self._read_again_if_changed(receipted)
            # Cut only after the server has granted the name: before, another process may still write to these files.
            torn, now_us = recovery.cut_all(self._history.tails), self._clock.now_us()
            self._begin(
                block_encoder.opening(self._key, fence, self.after, self._config, torn, now_us, self._attempted_us)
            )
        if receipted < self._receipts.recorded_through:
            # The server has lost receipts that it had recorded; this client's logs hold those of all sessions.
            for receipt in recovery.read(self.folder, doubt=False).receipts:
                # A block of this session may be in the file and not yet durable.
                if receipt.session != self.session or receipt.block <= self._durable_block:
                    self._receipts.add(receipt)
        return self._receipts.remove_through(receipted)

    def _read_again_if_changed(self, receipted: int) -> None:
        """Read the logs again if the client may hold other records than its subscription stated.

        Lines after a damaged one were treated as torn. If the server has a receipt for one of them, they had been
        synced, and the damage happened later. Besides, the process that had the name may have written meanwhile.
        """
        requested_after, doubt = self.after, receipted <= self.after
        if (self._history.is_doubted and not doubt) or self._history.sizes != recovery.sizes(self.folder):
            self._resume(recovery.read(self.folder, doubt=doubt))
        if self.after != requested_after:
            raise LogsChanged(f"held through {self.after}, not {requested_after}")

    def recorded(self, answer: wire.Recorded) -> None:
        """Drop a receipt that the server has recorded."""
        if not answer.match:
            self._warn("server's digest differs", {"block": answer.block})
        self._receipts.remove(answer.session, answer.block)

    async def receipts(self) -> AsyncIterator[wire.Receipt]:
        """Write the log, and yield the receipt of each block once it is durable, until the log is sealed or closed.

        Exactly one task must iterate this for as long as the session lasts: nothing is written without it.
        """
        async for line in self._queue.durable():
            receipt = receipt_of(line.fields)
            self._receipts.add(receipt)
            self._durable_block = receipt.block
            self.durable_through = max(self.durable_through, receipt.last)
            yield receipt

    def receive(self, header: wire.Records, body: bytes, received_ns: int, estimate: Callable[[], Estimate]) -> None:
        """Check a batch, cut it into blocks, and have them written.

        Args:
            header: of the batch.
            body: the records, each followed by a newline.
            received_ns: arrival time, epoch nanoseconds.
            estimate: returns the present clock offset.
        """
        records = wire.records_of(header, body)
        if records is None:
            self.checker.add_corrupt_batch(header.first, header.count)
            self._warn("corrupt batch", {"first": header.first, "count": header.count})
            return
        if self._builder.deadline_ns is None:
            # One estimate for all messages of a block, so that the block can state it.
            self._estimate = estimate()
            if self._builder.number == 0:
                # Measure saturation from the first record on: idle time before it would dilute the lag percentiles.
                self._window.begin()
        arrived = block_encoder.batch(header, records, received_ns, self._estimate.offset_us)
        indices = self.checker.accept(header.first, header.count)
        # None means that all records are new, so the batch need not be divided.
        for part in [arrived] if indices is None else block_encoder.only(arrived, indices):
            self._add(part)
        if self.checker.after >= self.total:
            self.close_block("end")

    def add_unreadable_frame(self, problem: PeerError) -> None:
        """Report a frame that could not be read: it may have held records."""
        self._warn("unreadable frame", {"why": problem.detail[:200]})
        self.checker.add_unreadable_frame()

    def _warn(self, event: str, extra: dict[str, object]) -> None:
        """Log a fault of the server, which can repeat it as fast as it sends; the block log has their numbers."""
        if self._fault_log.allow(time.monotonic(), event):
            log.warning(event, extra={"client": self.client, **extra})

    def sent_through(self, last: int) -> None:
        """Close the open block at the end of the run, up to which the server has sent everything."""
        self.checker.sent_through(last)
        self.close_block("end")

    def _line_of(self, cut: BlockCut[ReceivedBatch]) -> PendingLine:
        return block_encoder.block_line(self._key, cut, self.checker.take_counts(), self._estimate)

    def _take_counts(self) -> tuple[int, int, list[Span]]:
        return self.checker.take_counts()
