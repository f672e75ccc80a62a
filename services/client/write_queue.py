"""Writes a session's lines in a thread beside the connection, and returns them as they become durable."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence

from services.client.block_encoder import PendingLine
from services.client.block_log import BlockLog
from services.client.fence import Superseded
from services.client.settings import ClientConfig
from services.contract import blocklog
from services.contract.scalars import Span

log = logging.getLogger(__name__)


class WriteQueue:
    """Lines that wait for the disk. All queues of a process share one budget of memory.

    `durable` is the loop that writes: one task must iterate it for as long as the queue is used.
    """

    def __init__(self, client: str, config: ClientConfig) -> None:
        self._client, self._config = client, config
        self._has_interval = config.fsync == "interval"
        self._budget = config.budget
        self._log: BlockLog | None = None
        self._waiting_lines = self._waiting_bytes = 0
        self._is_refused = self._has_ended = False
        # At most one thread may be in the log.
        self._disk = asyncio.Lock()
        self._emptier, self._work = asyncio.Event(), asyncio.Event()

    @property
    def has_begun(self) -> bool:
        """Whether there is a log to write."""
        return self._log is not None

    def begin(self, block_log: BlockLog) -> None:
        """Begin the log. Its first line is written at once: the name's previous process, if frozen, must see it."""
        self._log = block_log
        self._work.set()

    def put(self, line: PendingLine) -> None:
        """Queue a line. A caller that finds the queue `is_full` then awaits `room` before it queues the next one."""
        if self._log is None:
            raise RuntimeError("records before a subscription")
        self._log.put(line)
        self._waiting_lines += 1
        self._waiting_bytes += line.size_bytes
        self._budget.add(line.size_bytes)
        self._work.set()

    @property
    def is_full(self) -> bool:
        """Whether so much waits for the disk in this process that its clients must stop receiving."""
        return self._budget.is_full

    async def room(self) -> None:
        """Wait until the client may receive."""
        await self._budget.room()

    async def drain(self) -> None:
        """Wait until every line is durable and the iterator of `durable` has received it."""
        while self._waiting_lines:
            self._emptier.clear()
            await self._emptier.wait()

    async def durable(self) -> AsyncIterator[PendingLine]:
        """Write the queued lines, and yield each once it is durable by the ``FSYNC`` policy, until `end` or `close`."""
        while True:
            if not self._has_interval or not self._waiting_lines:
                await self._work.wait()
            if self._has_ended:
                return
            self._work.clear()
            lines = await self._write_until_accepted(sync=False)
            if self._has_interval:
                await asyncio.sleep(self._config.sync_seconds)
                lines += await self._write_until_accepted(sync=True)
            for line in lines:
                yield line
                # Only after the caller has received the line: when `drain` returns, its receipt has been sent.
                self._waiting_lines -= 1
                self._forget(line.size_bytes)
            self._emptier.set()

    async def end(
        self,
        reason: blocklog.FileEndReason,
        counts: tuple[int, int, list[Span]],
        stalls: Sequence[blocklog.Stall] = (),
    ) -> None:
        """Write the last line and close the log, trying again for as long as the disk refuses.

        Args:
            reason: why the log ends.
            counts: duplicates, reordered records and corrupt ranges since the last block.
            stalls: times without reading since the last block.
        """
        async with self._disk:
            # The lock is held, so no thread is in the log; the loop of `durable` ends before its next write.
            self._stop_writing()
            while self._log is not None:
                try:
                    await asyncio.to_thread(self._log.end, reason, *counts, stalls)
                except OSError as problem:
                    self._report_refusal(problem)
                    await asyncio.sleep(self._config.retry_seconds)
                else:
                    return

    def close(self) -> None:
        """Stop writing, and close the files as they are."""
        self._stop_writing()
        if self._log is not None:
            self._log.close()

    def _stop_writing(self) -> None:
        self._has_ended = True
        self._work.set()
        # After a takeover the rest will not be written, and must not keep the other clients of the process waiting.
        self._forget(self._waiting_bytes)

    def _forget(self, size_bytes: int) -> None:
        # Lines that became durable while the queue was stopped were subtracted already.
        freed = min(size_bytes, self._waiting_bytes)
        self._waiting_bytes -= freed
        self._budget.free(freed)

    async def _write_until_accepted(self, *, sync: bool) -> list[PendingLine]:
        """Write or sync, again and again while the disk refuses; return the lines that are durable now."""
        durable: list[PendingLine] = []
        while self._log is not None:
            try:
                async with self._disk:
                    if self._has_ended:
                        break
                    durable += await asyncio.to_thread(self._log.sync if sync else self._log.write)
            except OSError as problem:
                if self._has_ended:
                    break
                # The first retry follows at once: a new segment may be accepted where the old file was not.
                delay = self._config.retry_seconds if self._is_refused else 0
                self._report_refusal(problem)
                await asyncio.sleep(delay)
                continue
            if self._is_refused:
                log.info("disk accepts again", extra={"client": self._client})
                self._is_refused = False
            if not self._log.has_waiting:
                break
            # The segment was full, or a refused sync left lines to be written again.
            sync = False
        return durable

    def _report_refusal(self, problem: OSError) -> None:
        """Log the first refusal of a series."""
        if not self._is_refused:
            event = "superseded, writing stops" if isinstance(problem, Superseded) else "disk refuses"
            folder = str(self._log.folder) if self._log is not None else None
            log.warning(event, extra={"client": self._client, "folder": folder, "why": str(problem)})
            self._is_refused = True
