"""Finds the frames in what was read that are whole messages by themselves, as nearly all frames of a feed are. Pure.

Every other frame is left to the library: control frames, pieces of messages, compressed ones, and all that is wrong.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

TEXT, BINARY = 0x81, 0x82
"""The first byte of a plain frame: the last of its message, without reserved bits (RFC 6455, 5.2)."""

_HEAD = struct.Struct(">BBH")
_HEAD_BYTES = 2
_OPCODE, _MASKED, _LENGTH = 0x0F, 0x80, 0x7F
_OPCODES = frozenset((0, 1, 2, 8, 9, 10))
# In place of a length: it follows in two or in eight bytes.
_SHORT, _LONG = 126, 127
_SHORT_BYTES, _LONG_BYTES = 4, 10
_MIN_LONG = 1 << 16


class PlainRun(NamedTuple):
    """Plain frames of one kind, one after the other.

    Attributes:
        messages: their contents; those of text frames are UTF-8.
        end: where the bytes of the last one end.
    """

    messages: list[bytes]
    end: int


def plain_run(data: bytes, at: int, most: int) -> PlainRun:
    """Return the plain frames from here up to a frame of another kind, or one that is not whole yet.

    Args:
        data: bytes from the server.
        at: where a frame begins.
        most: most bytes of a message.
    """
    messages: list[bytes] = []
    kind, length = data[at], len(data)
    while length - at >= _SHORT_BYTES:
        head, size, extended = _HEAD.unpack_from(data, at)
        if head != kind:
            break
        if size < _SHORT:
            begin = at + _HEAD_BYTES
        # A length in more bytes than necessary is left to the library, as is a masked frame.
        elif size == _SHORT and extended >= _SHORT:
            begin, size = at + _SHORT_BYTES, extended
        elif size == _LONG and (size := int.from_bytes(data[at + _HEAD_BYTES : at + _LONG_BYTES])) >= _MIN_LONG:
            begin = at + _LONG_BYTES
        else:
            break
        end = begin + size
        if end > length or size > most:
            break
        message = data[begin:end]
        # Nearly all texts are ASCII, and that is found out faster.
        if kind == TEXT and not message.isascii() and not is_utf8(message):
            break
        messages.append(message)
        at = end
    return PlainRun(messages, at)


def is_utf8(message: bytes) -> bool:
    """Return whether a text message is one."""
    try:
        message.decode()
    except UnicodeDecodeError:
        return False
    return True


def size_in_frames(messages: list[bytes]) -> int:
    """Return how many bytes plain frames with these messages have."""
    size = 0
    for message in messages:
        length = len(message)
        size += length + (_HEAD_BYTES if length < _SHORT else _SHORT_BYTES if length < _MIN_LONG else _LONG_BYTES)
    return size


def frame_end(data: bytes, at: int, most: int) -> int | None:
    """Return where the frame that begins here ends, perhaps beyond the data; None if its length is not there yet.

    A frame that the library refuses by its first bytes ends with them: the library must not wait for the rest.

    Args:
        data: bytes from the server.
        at: where the frame begins.
        most: most bytes that it may have.
    """
    rest = len(data) - at
    if rest < _HEAD_BYTES:
        return None
    length = data[at + 1]
    if length & _MASKED or data[at] & _OPCODE not in _OPCODES:
        return at + _HEAD_BYTES
    head_bytes = {_SHORT: _SHORT_BYTES, _LONG: _LONG_BYTES}.get(length & _LENGTH, _HEAD_BYTES)
    if rest < head_bytes:
        return None
    if head_bytes > _HEAD_BYTES:
        length = int.from_bytes(data[at + _HEAD_BYTES : at + head_bytes])
    return at + head_bytes + (length if length <= most else 0)
