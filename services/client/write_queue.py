"""Has a session's blocks written beside the conversation, however long the disk takes; tells which are durable."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Generic

from services.client.block_encoder import ClientConditions
from services.client.block_log import BlockLog, Written, messages_in
from services.client.fence import Superseded
from services.contract import blocklog
from services.contract.scalars import Span

log = logging.getLogger(__name__)

_RETRY_SECONDS = 0.5
_INTERVAL_SECONDS = 0.2
_SHARED_SYNC_MESSAGES = 4096


def _weight(block: Written) -> int:
    # A line without messages must be waited for as well.
    return max(1, messages_in(block))


class WriteQueue(Generic[Written]):
    """Takes blocks, and calls ``on_durable`` with each once it is what ``FSYNC`` calls durable."""

    def __init__(self, client: str, conditions: ClientConditions, on_durable: Callable[[Written], None]) -> None:
        self._client = client
        self._on_durable: Callable[[Written], None] = on_durable
        self._interval = conditions.fsync == "interval"
        # Two blocks' worth, or enough small blocks to share a sync.
        self._most_waiting = max(2 * conditions.block_size, _SHARED_SYNC_MESSAGES)
        self._log: BlockLog[Written] | None = None
        self._waiting_messages, self._refused = 0, False
        self._disk = asyncio.Lock()
        self._room, self._work = asyncio.Event(), asyncio.Event()
        self._room.set()
        self._task = asyncio.create_task(self._write())

    @property
    def begun(self) -> bool:
        """Whether there is a log to write."""
        return self._log is not None

    def begin(self, block_log: BlockLog[Written]) -> None:
        """Begin the log; its first line is written at once, so that whoever had the name before sees it."""
        self._log = block_log
        self._work.set()

    def put(self, block: Written) -> None:
        """Take a block; who finds this `full` afterwards waits for `room` before the next one."""
        if self._log is None:
            raise RuntimeError("records before a subscription")
        self._log.put(block)
        self._waiting_messages += _weight(block)
        self._work.set()

    @property
    def full(self) -> bool:
        """Whether too much waits for the disk already."""
        return self._waiting_messages > self._most_waiting

    async def room(self) -> None:
        """Wait until no longer too much waits for the disk."""
        while self.full:
            await self._wait_for_room()

    async def drain(self) -> None:
        """Wait until every block is durable."""
        while self._waiting_messages:
            await self._wait_for_room()

    async def end(self, reason: blocklog.FileEndReason, counts: tuple[int, int, list[Span]]) -> None:
        """Write the last line and close, however often the disk refuses."""
        async with self._disk:
            # With the disk in hand: no thread of the task's is at work in the log.
            self._task.cancel()
            while self._log is not None:
                try:
                    await asyncio.to_thread(self._log.end, reason, *counts)
                except OSError as problem:
                    self._say_refused(problem)
                    await asyncio.sleep(_RETRY_SECONDS)
                else:
                    return

    def abandon(self) -> None:
        """Stop writing, and close the files as they are."""
        self._task.cancel()
        if self._log is not None:
            self._log.abandon()

    async def _wait_for_room(self) -> None:
        self._room.clear()
        await self._room.wait()

    async def _write(self) -> None:
        while True:
            if not self._interval or not self._waiting_messages:
                await self._work.wait()
            self._work.clear()
            durable = await self._until_it_takes(sync=False)
            if self._interval:
                await asyncio.sleep(_INTERVAL_SECONDS)
                durable += await self._until_it_takes(sync=True)
            for block in durable:
                self._waiting_messages -= _weight(block)
                self._on_durable(block)
            self._room.set()

    async def _until_it_takes(self, *, sync: bool) -> list[Written]:
        durable: list[Written] = []
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
                log.info("disk accepts again", extra={"client": self._client})
                self._refused = False
            if not self._log.waiting:
                break
            # The segment was full, or a refused sync left blocks to be written again.
            sync = False
        return durable

    def _say_refused(self, problem: OSError) -> None:
        if not self._refused:
            event = "superseded, writing stops" if isinstance(problem, Superseded) else "disk refuses, reading stops"
            folder = str(self._log.folder) if self._log is not None else None
            log.warning(event, extra={"client": self._client, "folder": folder, "why": str(problem)})
            self._refused = True
