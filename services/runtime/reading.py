"""How a connection's bytes come from the kernel: into memory that all connections of a process share.

asyncio would take 256 KiB from the system for every read, however little comes, and give them back.
"""

from __future__ import annotations

import asyncio
from typing import Any

_SIZE = 256 * 1024
_memory = memoryview(bytearray(_SIZE))


class SharedReads(asyncio.BufferedProtocol):
    """Gives a protocol of one loop its bytes without a copy of their own; it must not keep them."""

    __slots__ = ()

    def data_received(self, data: Any) -> None:
        """Take bytes that have come; they are others by the next call."""
        raise NotImplementedError

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the next bytes go."""
        del sizehint
        return _memory

    def buffer_updated(self, nbytes: int) -> None:
        """Hand over so many bytes that are there."""
        self.data_received(_memory[:nbytes])
