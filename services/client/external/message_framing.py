"""Cuts the bytes of an external feed into messages: at a separator, or where the data itself states a length. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

MQTT = "mqtt"
_END = "end:"
_LENGTH = re.compile(r"length:([1248])")
_ESCAPE = re.compile(rb"\\(?:(r|n|t|\\)|x([0-9a-fA-F]{2}))")
_ESCAPED = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"\\": b"\\"}
# The length of an MQTT packet has at most this number of bytes, with seven bits in each.
_MQTT_LENGTH_BYTES = 4


class Pieces(NamedTuple):
    """What bytes were cut into.

    Attributes:
        whole: the messages that are complete.
        rest: the beginning of a further one, empty if there is none.
        is_damaged: whether the rest states no length that a message can have.
    """

    whole: list[bytes]
    rest: bytes
    is_damaged: bool = False


@dataclass(frozen=True)
class MessageFraming:
    """How messages are delimited in the frames of a feed, as ``FEED_SPLIT`` describes it.

    Attributes:
        text: as the operator wrote it, empty if a frame is one message.
        separator: the bytes between messages or after each, empty without such.
        is_terminated: whether each message ends with the separator, so that what no separator follows is unfinished.
        length_bytes: bytes of the length before each message, as a big-endian integer; 0 for the packets of MQTT, None
            if no length is stated.
    """

    text: str = ""
    separator: bytes = b""
    is_terminated: bool = False
    length_bytes: int | None = None

    @classmethod
    def of(cls, text: str) -> MessageFraming:
        r"""Parse a separator with escapes such as ``\x1e``, also after ``end:``, or ``length:4``, or ``mqtt``."""
        if text == MQTT:
            return cls(text, length_bytes=0)
        if match := _LENGTH.fullmatch(text):
            return cls(text, length_bytes=int(match[1]))
        is_terminated = len(text) > len(_END) and text.startswith(_END)
        # Encoded first: an escape may mean a byte that is not UTF-8.
        escaped = (text.removeprefix(_END) if is_terminated else text).encode()
        separator = _ESCAPE.sub(lambda match: _ESCAPED[match[1]] if match[1] else bytes([int(match[2], 16)]), escaped)
        return cls(text, separator=separator, is_terminated=is_terminated)

    def cut(self, data: bytes, max_bytes: int) -> Pieces:
        """Return the messages in data that states their lengths.

        Args:
            data: of one frame, after the rest of the frame before.
            max_bytes: most bytes of a message.
        """
        whole: list[bytes] = []
        at = 0
        while at < len(data):
            head, length = self._length_at(data, at)
            if length is None:
                # Four bytes of a length, or those that are missing.
                is_damaged = len(data) - at > (self.length_bytes or 1 + _MQTT_LENGTH_BYTES)
                return Pieces(whole, data[at:], is_damaged)
            end = head + length
            if end - at > max_bytes:
                return Pieces(whole, data[at:], is_damaged=True)
            if end > len(data):
                break
            # What kind of packet it is says its first byte, which the patterns of the operator need.
            whole.append(data[head:end] if self.length_bytes else data[at:end])
            at = end
        return Pieces(whole, data[at:])

    def _length_at(self, data: bytes, at: int) -> tuple[int, int | None]:
        """Return where the content of a message begins and its length, None if that is not complete."""
        if self.length_bytes:
            head = at + self.length_bytes
            return head, int.from_bytes(data[at:head]) if head <= len(data) else None
        length = 0
        for index, byte in enumerate(data[at + 1 : at + 1 + _MQTT_LENGTH_BYTES]):
            length |= (byte & 127) << (7 * index)
            if byte < 128:
                return at + 2 + index, length
        return at, None


ONE_MESSAGE = MessageFraming()
"""Each frame is one message."""
