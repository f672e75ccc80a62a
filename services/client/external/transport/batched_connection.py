"""The client's end of a connection to an external feed: the messages of one read are handled together.

Plain frames, nearly all of a feed, are cut out of the read in one loop. The library gets the bytes of all others, each
frame whole, and so answers pings, joins pieces, decompresses, closes and refuses as it always does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from websockets.frames import Frame, Opcode
from websockets.protocol import State

from services.client.connection import StampedConnection
from services.client.external.transport.plain_frames import BINARY, TEXT, frame_end, is_utf8, plain_run, size_in_frames
from services.runtime.websocket_io import fragment_limit, plain_message_limit

BatchHandler = Callable[[Sequence[bytes], bool, int], int]
"""Called with messages, whether they are binary, and their arrival time (epoch nanoseconds); returns how many of them,
from the first on, it has handled. Texts are UTF-8."""
_END_OF_HEAD = b"\r\n\r\n"
_KINDS = (Opcode.TEXT, Opcode.BINARY)


class BatchedConnection(StampedConnection):
    """A connection that hands over the messages of each read at once.

    Attributes:
        handle_batch: gets messages when no earlier one is queued. Messages that it does not handle are queued for
            `recv`, and all later ones behind them.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.handle_batch: BatchHandler = _handle_none
        # The beginning of a frame whose end has not come, and the bytes that are needed before it is looked at again.
        self._rest, self._wanted = bytearray(), 0
        # What was read last of the answer to the handshake, while its end has not come; None after it.
        self._head: bytes | None = b""

    def parse(self, data: bytes) -> None:
        """Handle the plain frames of a read, and pass the others to the library."""
        if self._head is not None:
            data = self._parse_handshake(data)
        content = self._with_rest(data)
        at, end = 0, len(content)
        while at < end:
            if self.protocol.state is not State.OPEN:
                super().parse(content[at:])
                return
            after = self._handle_run(content, at) or self._pass_frame(content, at)
            if after is None:
                self._rest += content[at:]
                return
            at = after

    def _parse_handshake(self, data: bytes) -> bytes:
        """Pass the answer to the handshake to the library; return the bytes after its head."""
        seen = (self._head or b"") + data
        end = seen.find(_END_OF_HEAD)
        if end < 0:
            self._head = seen[1 - len(_END_OF_HEAD) :]
            super().parse(data)
            return b""
        # Only from here on each frame begins where the one before ends; a rejection goes on with a text.
        after = end + len(_END_OF_HEAD) - len(self._head or b"")
        self._head = None
        super().parse(data[:after])
        return data[after:]

    def _with_rest(self, data: bytes) -> bytes:
        """Return what has not been parsed, up to the end of a read; nothing while a long frame is not whole."""
        if not self._rest:
            return bytes(data)
        self._rest += data
        if len(self._rest) < self._wanted and self.protocol.state is State.OPEN:
            return b""
        content, self._rest, self._wanted = bytes(self._rest), bytearray(), 0
        return content

    def _handle_run(self, content: bytes, at: int) -> int | None:
        """Handle the plain frames that begin here; return the end of the last one handled, None if none was."""
        most = plain_message_limit(self.protocol)
        if most is None or content[at] not in (TEXT, BINARY) or self.stamps.is_message_waiting:
            return None
        run = plain_run(content, at, most)
        if not run.messages:
            return None
        handled = self.handle_batch(run.messages, content[at] == BINARY, self.stamps.now_ns)
        if handled < len(run.messages):
            return at + size_in_frames(run.messages[:handled]) if handled else None
        return run.end

    def _pass_frame(self, content: bytes, at: int) -> int | None:
        """Pass the frame that begins here to the library; return its end, None while it is not whole."""
        end = frame_end(content, at, fragment_limit(self.protocol))
        if end is None or end > len(content):
            self._wanted = 0 if end is None else end - at
            return None
        super().parse(content[at:end])
        return end

    def process_event(self, event: Any) -> None:
        """Hand a message over that the library has parsed, or queue it."""
        if isinstance(event, Frame) and event.fin and event.opcode in _KINDS and not self.stamps.is_message_waiting:
            message, is_binary = bytes(event.data), event.opcode is Opcode.BINARY
            if (is_binary or is_utf8(message)) and self.handle_batch([message], is_binary, self.stamps.now_ns):
                return
        super().process_event(event)

    def eof_received(self) -> None:
        """Let the library find what is missing at the end."""
        self._pass_rest()
        super().eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Let the library find what is missing at the end."""
        self._pass_rest()
        super().connection_lost(exc)

    def _pass_rest(self) -> None:
        rest, self._rest = bytes(self._rest), bytearray()
        if rest:
            super().parse(rest)


def _handle_none(_messages: Sequence[bytes], _is_binary: bool, _received_ns: int) -> int:
    return 0
