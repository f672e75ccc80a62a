"""The log of one client in one run by one process, of the own or an external feed: claimed, cut into blocks, sealed."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Generic

from services.client import recovery
from services.client.block_builder import Arrived, BlockBuilder, BlockCut, ClosedBy
from services.client.block_encoder import PendingLine, SessionKey
from services.client.block_log import BlockLog
from services.client.settings import ClientConfig
from services.client.write_queue import WriteQueue
from services.contract import blocklog
from services.contract.scalars import Span, utc_text
from services.runtime.clock import Clock
from services.runtime.durable_file import make_folder


class StallTimes:
    """Times in which a client did not read because too much waited for the disk."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._began_us: int | None = None
        self._stalls: list[blocklog.Stall] = []

    def begin(self) -> None:
        """Begin a stall now."""
        self._began_us = self._clock.now_us()

    def finish(self) -> None:
        """End the stall now."""
        if self._began_us is not None:
            self._stalls.append(blocklog.Stall(utc_text(self._began_us), utc_text(self._clock.now_us())))
            self._began_us = None

    def collect(self) -> list[blocklog.Stall]:
        """Return the stalls since the last call. One that lasts is divided here, so that no part of it is lost."""
        is_stalled = self._began_us is not None
        self.finish()
        stalls, self._stalls = self._stalls, []
        if is_stalled:
            self.begin()
        return stalls


class SessionLog(ABC, Generic[Arrived]):
    """Cuts what a client receives into blocks and has them written, over all of its connections.

    Subclasses make the line of a block, which differs between feeds, and offer a coroutine that iterates
    `WriteQueue.durable`: the task that runs it writes the lines.

    Attributes:
        session: number of the session, unique among those of this client in this run.
        is_sealed: whether the last line is being written, or was.
    """

    def __init__(self, client: str, run: str, config: ClientConfig, clock: Clock) -> None:
        """Claim a session by creating its first file, empty.

        Raises:
            OSError: the folder refuses.
        """
        self.client, self.run, self._config, self._clock = client, run, config, clock
        self.folder = config.logs / run / client
        make_folder(self.folder)
        # Claimed before the logs are read: a process that still has the name then sees the claim before its next write.
        self._claimed, self.session = recovery.claim(self.folder)
        self._key = SessionKey(run, client, self.session)
        self._window = config.saturation.window()
        self._queue = WriteQueue(client, config)
        self._builder, self._stalls = self._new_builder(0), StallTimes(clock)
        self.is_sealed, self._closed = False, asyncio.Event()

    def _new_builder(self, before: int) -> BlockBuilder[Arrived]:
        config = self._config
        return BlockBuilder(config.block_size, config.block_bytes, config.block_seconds, before)

    @abstractmethod
    def _line_of(self, cut: BlockCut[Arrived]) -> PendingLine:
        """Return the line of a block."""

    @abstractmethod
    def _take_counts(self) -> tuple[int, int, list[Span]]:
        """Return duplicates, reordered records and corrupt ranges since the last block."""

    def _begin(self, opening: blocklog.OpenLine) -> None:
        self._queue.begin(BlockLog(self._claimed, opening, self._clock, self._window))

    @property
    def has_begun(self) -> bool:
        """Whether anything was written."""
        return self._queue.has_begun

    @property
    def is_full(self) -> bool:
        """Whether the disk is so far behind that the client must stop receiving until there is `room`."""
        return self._queue.is_full

    async def room(self) -> None:
        """Wait while the disk is behind. The log states for how long the client waited."""
        if self.is_full:
            self._stalls.begin()
            try:
                await self._queue.room()
            finally:
                self._stalls.finish()

    def _add(self, batch: Arrived) -> None:
        self._put_blocks(self._builder.add(batch))

    def _put_blocks(self, cuts: Iterable[BlockCut[Arrived]]) -> None:
        for cut in cuts:
            line = self._line_of(cut)
            if stalls := self._stalls.collect():
                # Before the messages, as in the struct.
                messages = line.fields.pop("messages")
                line.fields.update(stalls=stalls, messages=messages)
            self._queue.put(line)

    def close_old_block(self, now_ns: int) -> None:
        """Close the open block if its time is over."""
        # Asked first, since it is asked for every read of an external feed.
        if (deadline_ns := self._builder.deadline_ns) is not None and now_ns >= deadline_ns:
            self._put_blocks(self._builder.close_old(now_ns))

    def close_block(self, closed_by: ClosedBy) -> None:
        """Close the open block, if there is one."""
        self._put_blocks(self._builder.close(closed_by))

    async def seal(self, reason: blocklog.FileEndReason) -> None:
        """Wait until all lines are durable, then write the last line and close. Later calls wait for the first."""
        if self.is_sealed:
            await self._closed.wait()
            return
        self.is_sealed = True
        try:
            # After a takeover nothing more may be written: the other process logs what still waits here.
            if reason != "superseded":
                await self._queue.drain()
            await self._queue.end(reason, self._take_counts(), self._stalls.collect())
            if not self.has_begun:
                self._claimed.close()
        finally:
            self._closed.set()

    def close(self) -> None:
        """Stop writing and close the files as they are. Only blocks on disk were receipted."""
        self._queue.close()
        self._claimed.close()
