"""A minimal WebSocket client protocol (RFC 6455), for servers that neither compress nor split messages. Pure."""

from __future__ import annotations

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10

_MASK = bytes(4)
"""A client has to mask its frames; a mask of zeros leaves the payload unchanged."""


def opening(path: str = "/", subprotocol: str | None = None) -> bytes:
    """Return the client's handshake request."""
    # A constant key is enough: it only protects from caches between client and server, and there are none.
    lines = [
        *(f"GET {path} HTTP/1.1", "Host: localhost", "Upgrade: websocket", "Connection: Upgrade"),
        *("Sec-WebSocket-Key: c3RyZWFtZ2F1Z2UtYmVuYw==", "Sec-WebSocket-Version: 13"),
    ]
    if subprotocol is not None:
        lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()


def frame_message(payload: bytes, opcode: int = TEXT) -> bytes:
    """Return a masked frame; ``payload`` has at most 65,535 bytes."""
    length = len(payload)
    if length < 126:
        return bytes((0x80 | opcode, 0x80 | length)) + _MASK + payload
    return bytes((0x80 | opcode, 0x80 | 126)) + length.to_bytes(2, "big") + _MASK + payload


class Frames:
    """Parses the server's handshake response and frames from a stream of bytes."""

    __slots__ = ("_rest", "opened")

    def __init__(self) -> None:
        self._rest = b""
        self.opened = False
        """Whether the server has accepted the handshake."""

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Add received bytes; return opcode and payload of every frame that they complete.

        Raises:
            ConnectionRefusedError: the handshake response is not 101.
        """
        if self._rest:
            data = self._rest + data
        at = 0
        if not self.opened:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._rest = data
                return []
            if b" 101 " not in data[:40]:
                raise ConnectionRefusedError(data[:40].decode("latin-1"))
            self.opened, at = True, end + 4
        frames = []
        while (frame := _frame(data, at)) is not None:
            opcode, begin, at = frame
            frames.append((opcode, data[begin:at]))
        self._rest = data[at:]
        return frames


def _frame(data: bytes, at: int) -> tuple[int, int, int] | None:
    """Return opcode, begin and end of the payload of the frame at ``at``; None if it is incomplete."""
    if len(data) < at + 2:
        return None
    length, begin = data[at + 1], at + 2
    if length >= 126:
        begin += 2 if length == 126 else 8
        if len(data) < begin:
            return None
        length = int.from_bytes(data[at + 2 : begin], "big")
    return (data[at] & 15, begin, begin + length) if len(data) >= begin + length else None
