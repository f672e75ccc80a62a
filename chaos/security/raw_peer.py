"""A peer of the feed on a plain socket, which may break every rule, and what the server does to it."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from typing import Any, Self

UPGRADE = (
    "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
)  # fmt: skip
SECONDS = 5.0
"""After this time without an answer a case counts as unanswered."""

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_PROBE_US = 424242


def request(*lines: str, path: str = "/", method: str = "GET", host: str = "localhost") -> bytes:
    """Return an opening request; without further lines that of a usual client."""
    hosts = [f"Host: {host}"] if host else []
    return "\r\n".join([f"{method} {path} HTTP/1.1", *hosts, *(lines or UPGRADE), "", ""]).encode("latin-1")


def status_of(opening: bytes, port: int) -> str:
    """Send a request to a server; return the status of the answer, empty without one."""
    with socket.create_connection(("127.0.0.1", port), SECONDS) as peer:
        try:
            peer.sendall(opening)
            head = peer.recv(65_536).decode("latin-1")
        except ConnectionError:
            return ""
    return head.split(" ")[1] if head.startswith("HTTP/1.1 ") else ""


def frame(payload: bytes | str, opcode: int = TEXT, *, first: int = 0x80, masked: bool = True) -> bytes:
    """Return a frame of a client; the mask changes nothing.

    Args:
        payload: contents.
        opcode: kind of the frame.
        first: bits that are added to the opcode: FIN and the reserved ones.
        masked: whether it is marked as masked, as RFC 6455 demands of a client.
    """
    data = payload.encode() if isinstance(payload, str) else payload
    bit = 0x80 if masked else 0
    if len(data) < 126:
        size = bytes([bit | len(data)])
    elif len(data) < 65_536:
        size = bytes([bit | 126]) + len(data).to_bytes(2)
    else:
        size = bytes([bit | 127]) + len(data).to_bytes(8)
    return bytes([first | opcode]) + size + (bytes(4) if masked else b"") + data


def message(kind: str, **fields: Any) -> bytes:
    """Return a frame of the protocol."""
    return frame(json.dumps({"type": kind, **fields}))


class RawPeer:
    """A connection to a server.

    Attributes:
        status: of the response to its opening request: "101", or empty if the server has closed without any.
        head: that response.
    """

    def __init__(self, port: int, opening: bytes | None = None) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), SECONDS)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._bytes = b""
        self.send(request() if opening is None else opening)
        self.head = self._read_head()
        self.status = self.head.split(" ")[1] if self.head.startswith("HTTP/1.1 ") else ""

    def send(self, data: bytes) -> None:
        """Send bytes; a server that has closed already shows when it is read."""
        with contextlib.suppress(OSError):
            self._socket.sendall(data)

    def _more(self) -> bool:
        try:
            data = self._socket.recv(65_536)
        except TimeoutError:
            raise
        except OSError:
            return False
        self._bytes += data
        return bool(data)

    def _read_head(self) -> str:
        while b"\r\n\r\n" not in self._bytes:
            if not self._more():
                break
        head, _, self._bytes = self._bytes.partition(b"\r\n\r\n")
        return head.decode("latin-1")

    def _take(self, count: int) -> bytes | None:
        while len(self._bytes) < count:
            if not self._more():
                return None
        taken, self._bytes = self._bytes[:count], self._bytes[count:]
        return taken

    def frames(self) -> Iterator[tuple[int, bytes]]:
        """Yield the opcodes and contents of the server's frames until it closes the connection."""
        while (head := self._take(2)) is not None:
            size = head[1] & 0x7F
            if size > 125:
                size = int.from_bytes(self._take(2 if size == 126 else 8) or b"")
            if (payload := self._take(size)) is None:
                return
            yield head[0] & 0x0F, payload

    def outcome(self) -> str:
        """Return how the server answered what was sent: "open" with the kinds of frames, or how it closed.

        A probe follows what was sent; its answer shows that all before it was handled and the connection is open.
        """
        self.send(message("ping", t1_us=_PROBE_US))
        return self._outcome_of_frames()

    def _outcome_of_frames(self) -> str:
        seen: list[str] = []
        try:
            for opcode, payload in self.frames():
                if opcode == CLOSE:
                    return " ".join([*(word for word in seen if word.startswith("error")), _code(payload)])
                if opcode == TEXT:
                    answer = json.loads(payload.partition(b"\n")[0])
                    if answer["type"] == "pong" and answer["t1_us"] == _PROBE_US:
                        return " ".join(["open", *seen])
                    seen += _described(answer)
        except TimeoutError:
            return "unanswered"
        return "cut"

    def closing(self, seconds: float) -> str:
        """Return how the server closes within a time, without a probe."""
        self._socket.settimeout(seconds)
        return self._outcome_of_frames()

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _described(answer: dict[str, Any]) -> list[str]:
    kind = answer["type"]
    if kind == "error":
        return [f"error:{answer['code']}"]
    # What the feed sends by itself is no answer.
    return [] if kind in ("welcome", "records", "idle", "end", "pong", "ping") else [kind]


def _code(payload: bytes) -> str:
    return str(int.from_bytes(payload[:2])) if len(payload) >= 2 else "1005"
