"""When each message's bytes arrived: stamped as they come from the kernel, before they are parsed.

A WebSocket library hands a message over after a queue and a task switch; what a message waits there belongs to
this process's latency, so it must not be lost from it.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from services.runtime.clock import Clock

_CONTROL = 8
"""WebSocket opcodes from here on are control frames: no messages."""


class _WebSocketFrame(Protocol):
    @property
    def opcode(self) -> int: ...

    @property
    def fin(self) -> bool: ...


class ArrivalTimes:
    """The arrival times of the messages that have not been taken yet, oldest first."""

    __slots__ = ("_clock", "_waiting", "now_ns")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.now_ns = 0
        """When bytes were last read from the socket, epoch nanoseconds."""
        self._waiting: list[int] = []  # a deque takes ten times as much, and few wait

    def bytes_came(self) -> None:
        """Note the time: bytes have just been read from the socket."""
        self.now_ns = self._clock.now_ns()

    def frame_came(self, frame: _WebSocketFrame) -> None:
        """Keep the time of the last bytes for the message that this frame completes."""
        if frame.fin and frame.opcode < _CONTROL:
            self._waiting.append(self.now_ns)

    @property
    def waiting(self) -> bool:
        """Whether a message has come that nobody has taken."""
        return bool(self._waiting)

    def take_ns(self) -> int:
        """Return the arrival time of the message that was just handed over, epoch nanoseconds."""
        return self._waiting.pop(0) if self._waiting else self._clock.now_ns()


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
