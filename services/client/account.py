"""One client's side of the books of one run: what it holds, the blocks it makes, what the server has recorded."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from services.client import entries, history
from services.client.check import Checker
from services.client.cut import Cut, Cutter
from services.client.entries import Conditions
from services.client.offset import Estimate
from services.client.write import BlockLog
from services.contract import blocklog, wire
from services.runtime.clock import Clock
from services.runtime.files import make_folder

log = logging.getLogger(__name__)

_RETRY_SECONDS = 0.5


class HoldsMore(ConnectionAbortedError):
    """This client holds more than it said when it subscribed: it hangs up, and asks again."""


class Account:
    """The session of one client in one run: one process's files, whatever becomes of its connections."""

    def __init__(
        self,
        client: str,
        run: str,
        total: int,
        conditions: Conditions,
        clock: Clock,
        on_durable: Callable[[wire.Receipt], None],
    ) -> None:
        """Claim a session by creating its first file, empty; read what earlier ones hold.

        Raises:
            OSError: the folder refuses.
        """
        self.client, self.run, self.total, self._conditions, self._clock = client, run, total, conditions, clock
        self.folder = conditions.logs / run / client
        make_folder(self.folder)
        self._claimed, self.session = history.claim(self.folder)
        self._place = entries.Place(run, client, self.session)
        self._log: BlockLog | None = None
        self._remember(history.read(self.folder))
        self._estimate = Estimate(0, 0)
        self._number = self._durable_block = self._recorded_through = 0
        self._previous_end_ns: int | None = None
        self._waiting_messages, self._refused = 0, False
        self._disk = asyncio.Lock()
        self._room = asyncio.Event()
        self._work = asyncio.Event()
        self._room.set()
        self.sealed = False
        self._on_durable = on_durable
        self._writer = asyncio.create_task(self._write())

    def _remember(self, past: history.History) -> None:
        """Begin where earlier sessions broke off."""
        given = self._conditions
        self._history, self.checker = past, Checker(past.held)
        self._cutter = Cutter(given.block_size, given.block_bytes, given.block_seconds, self.after)
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
        return entries.request(self._place, self._conditions, self.after)

    @property
    def begun(self) -> bool:
        """Whether anything was written."""
        return self._log is not None

    def release(self) -> None:
        """Give back a name that turned out to be somebody else's, before anything was written under it."""
        self._writer.cancel()
        self._claimed.path.unlink(missing_ok=True)
        self._claimed.close()

    def subscribed(self, fence: int, receipted: int) -> list[wire.Receipt]:
        """Begin the log, if it has none yet; return the receipts that the server lacks, oldest first.

        Raises:
            HoldsMore: what stands behind damage was taken for torn, but was receipted: so it stays.
        """
        if self._log is None:
            if self._history.doubted and receipted > self.after:
                self._remember(history.read(self.folder, doubt=False))
                raise HoldsMore(f"the server has receipts through {receipted}")
            for tail in self._history.tails:
                history.cut_off(tail)
            tails, now_us = self._history.tails, self._clock.now_us()
            opening = entries.opening(self._place, fence, self.after, self._conditions, tails, now_us)
            self._log = BlockLog(self._claimed, opening, self._clock)
        if receipted < self._recorded_through:
            # The server has lost what it had recorded: the logs know all of it.
            for receipt in history.read(self.folder, doubt=False).receipts:
                # A block of this session may be written and not yet durable.
                if receipt.session != self.session or receipt.block <= self._durable_block:
                    self._receipts.setdefault((receipt.session, receipt.block), receipt)
        lacking = [receipt for _, receipt in sorted(self._receipts.items()) if receipt.last > receipted]
        self._receipts = {(receipt.session, receipt.block): receipt for receipt in lacking}
        self._recorded_through = max(self._recorded_through, receipted)
        return lacking

    def recorded(self, session: int, block: int) -> None:
        """Note that a receipt is in the ledger."""
        receipt = self._receipts.pop((session, block), None)
        if receipt is not None:
            self._recorded_through = max(self._recorded_through, receipt.last)

    async def receive(self, header: wire.Records, body: bytes, received_ns: int, now: Estimate) -> None:
        """Check a batch, cut it into blocks, and have them written; waits while the disk is behind."""
        if not wire.intact(header, body):
            self.checker.refuse(header.first, header.count)
            log.warning("corrupt batch", extra={"client": self.client, "first": header.first, "count": header.count})
            return
        if self._cutter.deadline_ns is None:
            # One estimate for all messages of a block, so that the block can state it.
            self._estimate = now
        places = self.checker.accept(header.first, header.count)
        messages = entries.messages(header, body, received_ns, self._estimate.offset_us)
        size = len(body) - header.count
        if places is not None:
            messages = [messages[place] for place in places]
            size = sum(len(bytes(message.record)) for message in messages)
        for cut in self._cutter.add(messages, size, received_ns):
            await self._put(cut)
        if self.checker.after >= self.total:
            await self.close_block("end")

    async def close_old_block(self, now_ns: int) -> None:
        """Close the open block if its time is over."""
        deadline_ns = self._cutter.deadline_ns
        if deadline_ns is not None and now_ns >= deadline_ns:
            await self.close_block("time")

    async def close_block(self, closed_by: blocklog.ClosedBy) -> None:
        """Close the open block, if there is one."""
        for cut in self._cutter.close(closed_by):
            await self._put(cut)

    async def seal(self, reason: blocklog.EndReason) -> None:
        """Wait until all blocks are durable, then write the last line and close. Never again after the first time."""
        if self.sealed:
            return
        self.sealed = True
        while self._waiting_messages:
            self._room.clear()
            await self._room.wait()
        counts = self.checker.take_counts()
        async with self._disk:
            # With the disk in hand: no thread of the writer's is at work in the log.
            self._writer.cancel()
            if self._log is None:
                self._claimed.close()
                return
            while True:
                try:
                    await asyncio.to_thread(self._log.end, reason, *counts)
                except OSError as problem:
                    self._say_refused(problem)
                    await asyncio.sleep(_RETRY_SECONDS)
                else:
                    return

    def _say_refused(self, problem: OSError) -> None:
        if not self._refused:
            extra = {"client": self.client, "folder": str(self.folder), "why": str(problem)}
            log.warning("disk refuses, reading stops", extra=extra)
            self._refused = True

    def abandon(self) -> None:
        """Give up on a disk that refuses: what it lacks was never receipted."""
        self._writer.cancel()
        if self._log is not None:
            self._log.abandon()

    async def _put(self, cut: Cut) -> None:
        if self._log is None:
            raise RuntimeError("records before a subscription")
        self._number += 1
        idle_ns = cut.started_ns - self._previous_end_ns if self._previous_end_ns is not None else 0
        self._previous_end_ns = cut.ended_ns
        counts = self.checker.take_counts()
        block = entries.block(self._place, self._number, cut, counts, idle_ns, self._estimate)
        self._log.put(block)
        self._waiting_messages += block.count
        self._work.set()
        # Bounded: two blocks' worth, or enough small blocks to share a sync.
        while self._waiting_messages > max(2 * self._conditions.block_size, 4096):
            self._room.clear()
            await self._room.wait()

    async def _write(self) -> None:
        interval = self._conditions.fsync == "interval"
        while True:
            if not interval or not self._waiting_messages:
                await self._work.wait()
            self._work.clear()
            durable = await self._until_it_takes(sync=False)
            if interval:
                await asyncio.sleep(0.2)
                durable += await self._until_it_takes(sync=True)
            for block in durable:
                receipt = history.receipt_of(block)
                self._receipts[receipt.session, receipt.block] = receipt
                self._on_durable(receipt)
                self._waiting_messages -= block.count
                self._durable_block = block.block
                self.durable_through = max(self.durable_through, block.last)
            self._room.set()

    async def _until_it_takes(self, *, sync: bool) -> list[blocklog.Block]:
        durable: list[blocklog.Block] = []
        while self._log is not None:
            try:
                async with self._disk:
                    durable += await asyncio.to_thread(self._log.sync if sync else self._log.push)
            except OSError as problem:
                # The first time at once: a new segment may be taken where the old file refused.
                delay = _RETRY_SECONDS if self._refused else 0
                self._say_refused(problem)
                await asyncio.sleep(delay)
                continue
            if self._refused:
                log.info("disk accepts again", extra={"client": self.client})
                self._refused = False
            if not self._log.waiting:
                break
            # The segment was full, or a refused sync left blocks to be written again.
            sync = False
        return durable
