"""The least of WebSocket (RFC 6455) that a client needs whose server neither compresses nor splits messages. Pure."""

from __future__ import annotations

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10

_MASK = bytes(4)
"""A client masks what it says; a mask of zeros leaves it as it is."""


def opening(path: str = "/", subprotocol: str | None = None) -> bytes:
    """Return what a client says first."""
    # The key is the same for all: it protects from caches, of which there are none on the way.
    lines = [
        *(f"GET {path} HTTP/1.1", "Host: localhost", "Upgrade: websocket", "Connection: Upgrade"),
        *("Sec-WebSocket-Key: c3RyZWFtZ2F1Z2UtYmVuYw==", "Sec-WebSocket-Version: 13"),
    ]
    if subprotocol is not None:
        lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
    return "".join(f"{line}\r\n" for line in (*lines, "")).encode()


def framed(payload: bytes, opcode: int = TEXT) -> bytes:
    """Return a client's frame; ``payload`` has at most 65,535 bytes."""
    length = len(payload)
    if length < 126:
        return bytes((0x80 | opcode, 0x80 | length)) + _MASK + payload
    return bytes((0x80 | opcode, 0x80 | 126)) + length.to_bytes(2, "big") + _MASK + payload


class Frames:
    """Takes a server's bytes as they come, and gives its frames: the answer to the opening is passed over."""

    __slots__ = ("_kept", "opened")

    def __init__(self) -> None:
        self._kept = b""
        self.opened = False
        """Whether the server has agreed to the opening."""

    def take(self, data: bytes) -> list[tuple[int, bytes]]:
        """Return opcode and payload of every frame that these bytes complete.

        Raises:
            ConnectionRefusedError: the answer to the opening is not 101.
        """
        if self._kept:
            data = self._kept + data
        at = 0
        if not self.opened:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                self._kept = data
                return []
            if b" 101 " not in data[:40]:
                raise ConnectionRefusedError(data[:40].decode("latin-1"))
            self.opened, at = True, end + 4
        frames = []
        while (found := _frame(data, at)) is not None:
            opcode, begin, at = found
            frames.append((opcode, data[begin:at]))
        self._kept = data[at:]
        return frames


def _frame(data: bytes, at: int) -> tuple[int, int, int] | None:
    """Return opcode, begin and end of the payload of the frame at ``at``; None when it is not whole yet."""
    if len(data) < at + 2:
        return None
    length, begin = data[at + 1], at + 2
    if length >= 126:
        begin += 2 if length == 126 else 8
        if len(data) < begin:
            return None
        length = int.from_bytes(data[at + 2 : begin], "big")
    return (data[at] & 15, begin, begin + length) if len(data) >= begin + length else None
