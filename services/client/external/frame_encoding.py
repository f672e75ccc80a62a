"""Undoes the encodings of the frames of an external feed: compression, and a JSON text inside a JSON string. Pure."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence

import msgspec

from services.contract.unread_data import FLUSHED

STREAM = "zlib-stream"
NAMES = ("gzip", "deflate", "zlib", STREAM, "json")
"""Every encoding that ``FEED_ENCODING`` knows."""
# Of gzip. Each member is small in itself, and very many of them would take long.
_MAX_MEMBERS = 16


class UndecodableFrame(ValueError):
    """A frame that is not encoded as ``FEED_ENCODING`` says; the text says why."""


class FrameDecoder:
    """Decodes the frames of one connection, one after the other."""

    def __init__(self, encodings: Sequence[str], max_bytes: int) -> None:
        """Prepare for a connection.

        Args:
            encodings: of `NAMES`, in the order in which they are undone.
            max_bytes: most bytes of a frame after each step.
        """
        self._stream = _ZlibStream(max_bytes)
        steps: dict[str, Callable[[bytes], bytes | None]] = {
            "gzip": lambda data: _gunzip(data, max_bytes),
            "deflate": lambda data: _inflate(data, max_bytes),
            "zlib": lambda data: _inflate(data, max_bytes),
            STREAM: self._stream.add,
        }
        self._steps = [steps.get(name) for name in encodings]

    def decode(self, frame: bytes, *, binary: bool) -> tuple[bytes, bool] | None:
        """Return the content of a frame, and whether it is not to be shown as text; None while it is incomplete.

        Compressed data comes in binary frames, so a text frame is not decompressed.

        Raises:
            UndecodableFrame: the frame is not encoded in this way, or is longer than permitted when it is decoded.
        """
        is_binary = binary
        for step in self._steps:
            if step is None:
                frame = _unquoted(frame)
            elif binary:
                content = step(frame)
                if content is None:
                    return None
                frame, is_binary = content, False
        return frame, is_binary

    def rest(self) -> bytes:
        """Return the compressed bytes whose end has not come yet."""
        return bytes(self._stream.waiting)


class _ZlibStream:
    """One zlib stream over all frames of a connection; each message ends with a flush, as Discord sends it."""

    def __init__(self, max_bytes: int) -> None:
        # An array grows in place: very many small frames would otherwise be copied again with each further one.
        self.waiting = bytearray()
        self._inflater, self._max_bytes, self._is_broken = zlib.decompressobj(), max_bytes, False

    def add(self, data: bytes) -> bytes | None:
        if self._is_broken:
            raise UndecodableFrame("a frame after data that is no zlib stream")
        self.waiting += data
        is_complete = self.waiting.endswith(FLUSHED)
        if not is_complete and len(self.waiting) <= self._max_bytes:
            return None
        try:
            content = self._inflater.decompress(self.waiting, self._max_bytes + 1) if is_complete else b""
        except zlib.error as problem:
            self._is_broken = True
            raise UndecodableFrame(f"no {STREAM}: {problem}") from problem
        finally:
            self.waiting = bytearray()
        # What follows cannot be decompressed without all of this.
        self._is_broken = not is_complete or len(content) > self._max_bytes
        if self._is_broken:
            raise _too_long(self._max_bytes)
        return content


def _gunzip(data: bytes, max_bytes: int) -> bytes:
    content = b""
    for _ in range(_MAX_MEMBERS):
        inflater = zlib.decompressobj(wbits=31)
        content += _decompressed(inflater, data, max_bytes, "gzip", len(content))
        if not inflater.eof:
            raise UndecodableFrame("gzip that is cut off")
        data = inflater.unused_data.lstrip(b"\0")
        if not data:
            return content
    raise UndecodableFrame(f"gzip of more than {_MAX_MEMBERS} members")


def _inflate(data: bytes, max_bytes: int) -> bytes:
    """Return what zlib compressed, with or without the header of zlib: the name deflate is used for both."""
    if len(data) >= 2 and data[0] & 15 == zlib.DEFLATED and (data[0] << 8 | data[1]) % 31 == 0:
        try:
            return _inflated(data, max_bytes, zlib.MAX_WBITS)
        except UndecodableFrame as problem:
            # Raw data may begin in the same way.
            try:
                return _inflated(data, max_bytes, -zlib.MAX_WBITS)
            except UndecodableFrame:
                raise problem from None
    return _inflated(data, max_bytes, -zlib.MAX_WBITS)


def _inflated(data: bytes, max_bytes: int, wbits: int) -> bytes:
    inflater = zlib.decompressobj(wbits)
    content = _decompressed(inflater, data, max_bytes, "deflate")
    # Some senders flush each message and never end the stream.
    if not inflater.eof and not data.endswith(FLUSHED):
        raise UndecodableFrame("deflate that is cut off")
    return content


def _decompressed(inflater: zlib._Decompress, data: bytes, max_bytes: int, name: str, before: int = 0) -> bytes:
    try:
        # One byte more than permitted shows that there is more; the rest is never decompressed.
        content = inflater.decompress(data, max_bytes - before + 1)
    except zlib.error as problem:
        raise UndecodableFrame(f"no {name}: {problem}") from problem
    if before + len(content) > max_bytes:
        raise _too_long(max_bytes)
    return content


def _too_long(max_bytes: int) -> UndecodableFrame:
    return UndecodableFrame(f"longer than FEED_MAX_BYTES={max_bytes} when it is decompressed")


def _unquoted(frame: bytes) -> bytes:
    """Return the text in a JSON string; anything else, such as an acknowledgement, as it is."""
    try:
        return msgspec.json.decode(frame, type=str).encode()
    except (msgspec.MsgspecError, UnicodeError):
        return frame
