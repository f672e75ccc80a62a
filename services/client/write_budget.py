"""Memory for lines that wait for the disk: one amount, shared by all clients of a process."""

from __future__ import annotations

import asyncio
import logging

log = logging.getLogger(__name__)

MOST_BYTES = 64 * 1024 * 1024
"""Bytes that may wait, as many as a segment of a log has: a disk may stall for half a second at 1 Gbit/s, and for
minutes at 1,000 messages a second."""
_RESUME_SHARE = 7 / 8
"""Reading begins again when so much of the amount is in use: otherwise it would begin and stop with every message."""


class WriteBudget:
    """Counts the bytes that wait for the disk, and says when reading has to stop.

    Attributes:
        waiting_bytes: bytes that wait now.
        is_full: whether clients must not read; from the time at which the limit is reached until `_RESUME_SHARE` of it
            is left.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes, self._resume_bytes = most_bytes, int(most_bytes * _RESUME_SHARE)
        self.waiting_bytes, self.is_full = 0, False
        self._freed = asyncio.Event()

    def add(self, count_bytes: int) -> None:
        """Add bytes that wait. They are accepted also beyond the limit: a record that was received is never dropped."""
        self.waiting_bytes += count_bytes
        if self.waiting_bytes >= self._most_bytes and not self.is_full:
            self.is_full = True
            log.warning("reading stops until the disk has written", extra={"waiting_bytes": self.waiting_bytes})

    def free(self, count_bytes: int) -> None:
        """Subtract bytes that are durable, or that will not be written."""
        self.waiting_bytes -= count_bytes
        if self.is_full and self.waiting_bytes <= self._resume_bytes:
            self.is_full = False
            self._freed.set()

    async def room(self) -> None:
        """Wait until clients may read."""
        while self.is_full:
            self._freed.clear()
            await self._freed.wait()
