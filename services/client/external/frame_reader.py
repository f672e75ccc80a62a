"""Reads the frames of one connection to an external feed: a frame becomes messages before anything else. Pure.

First the encodings of a frame are undone, then it is split. Each message by itself is a ping, is ignored, or has
records. A message may go on in the next frame, where the protocol permits that.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import msgspec

from services.client.external import lenient_json
from services.client.external.decoder import DecodedRecord, RecordPaths, opaque, unmatched
from services.client.external.feed_end import EndConditions
from services.client.external.frame_encoding import FrameDecoder, UndecodableFrame
from services.client.external.message_framing import ONE_MESSAGE, MessageFraming
from services.client.external.templates import PingPolicy

# A message in more frames is given up: joining ever more of them takes ever longer.
_MAX_FRAMES = 256
# Nor is it joined from ever more frames that are tiny: each of them costs a copy of all that came before.
_LEAST_BYTES = 256
# Between messages they mean nothing.
_SPACES = b" \t\r\n\0"
_BEGINNINGS = (b"{", b"[", b'"')
"""Of a JSON text whose end shows; other values may go on where they seem to end."""
_UNFINISHED = "a message without its end"


@dataclass(frozen=True)
class Framing:
    """How the messages of a feed are contained in its frames.

    Attributes:
        encodings: of a frame, in the order in which they are undone.
        messages: how messages are delimited in what then results.
        max_bytes: most bytes of a message, decompressed or joined from several frames too.
    """

    encodings: tuple[str, ...] = ()
    messages: MessageFraming = ONE_MESSAGE
    max_bytes: int = 2**20


PLAIN = Framing()
"""Each frame is one message."""


@dataclass(slots=True)
class FrameContents:
    """The contents of a frame.

    Attributes:
        records: of its messages, in their order.
        answers: to its pings.
        pings: number of its messages that are pings, and ``ignored`` that are neither pings nor records.
        condition: the condition of ``FEED_END`` that a message meets, None for none.
        data: the frame, of several the last one, after its encodings were undone; empty if that is not possible or not
            yet.
    """

    records: list[DecodedRecord] = field(default_factory=list)
    answers: tuple[str | bytes, ...] = ()
    pings: int = 0
    ignored: int = 0
    condition: str | None = None
    data: bytes = b""

    def add(self, later: FrameContents) -> None:
        """Add the records and the counts of a later frame, and keep its data."""
        self.records += later.records
        self.data = later.data or self.data
        self.pings += later.pings
        self.ignored += later.ignored


class FrameReader:
    """Reads the frames of one connection, one after the other.

    Attributes:
        is_plain: whether each frame is one message that has records, so that frames may be read together.
    """

    def __init__(self, framing: Framing, paths: RecordPaths, pings: PingPolicy, ending: EndConditions) -> None:
        self._framing, self._paths, self._pings, self._ending = framing, paths, pings, ending
        self._decoder = FrameDecoder(framing.encodings, framing.max_bytes) if framing.encodings else None
        # Frames, or the last pieces of frames, whose message is not finished; and the text after the last match.
        self._waiting: list[bytes] = []
        self._waited = 0
        self._tail, self._is_binary = b"", False
        self.is_plain = not any(
            (framing.encodings, framing.messages.text, paths.match, pings.ping, pings.ignore, ending.messages)
        )

    def read(self, frame: str | bytes) -> FrameContents:
        """Return the contents of the next frame, and of the frames before it whose message it completes."""
        if isinstance(frame, str):
            return self.read_bytes(frame.encode(), binary=False)
        return self.read_bytes(frame, binary=True)

    def read_together(self, frames: Sequence[bytes], *, binary: bool) -> FrameContents:
        """Return the contents of several frames, of a reader that `is_plain`."""
        return FrameContents(self._paths.records_of(frames, binary=binary), data=frames[-1] if frames else b"")

    def read_bytes(self, data: bytes, *, binary: bool) -> FrameContents:
        """Return the contents of the next frame as `read` does; ``binary``: whether it is a binary frame."""
        if self.is_plain:
            return FrameContents(self._paths.records_in(data, binary=binary), data=data)
        contents = FrameContents()
        if self._decoder is not None:
            try:
                decoded = self._decoder.decode(data, binary=binary)
            except UndecodableFrame as problem:
                contents.records.append(opaque(data, binary=binary, remark=str(problem)))
                return contents
            if decoded is None:
                return contents
            data, binary = decoded
        contents.data = data
        if self._framing.messages.length_bytes is not None:
            self._add_cut(data, contents, binary=binary)
        elif self._framing.messages.separator:
            self._add_split(data, contents, binary=binary)
        elif self._paths.match is not None:
            self._add_matched(data, self._paths.match, contents, binary=binary)
        else:
            self._add_message(data, contents, binary=binary)
        return contents

    def end(self, *, by_client: bool = False) -> FrameContents:
        """Return what still waits for its end, as records that cannot be read: the connection has ended.

        Args:
            by_client: the client ends it, so that the rest of a message would still have come: a part is no message.
        """
        contents = FrameContents()
        if by_client and self._framing.messages.text:
            self._waiting.clear()
        self._give_up(contents)
        rest = self._decoder.rest() if self._decoder is not None else b""
        if rest and not by_client:
            contents.records.append(opaque(rest, binary=True, remark=_UNFINISHED))
        self._decoder = None
        return contents

    def _add_cut(self, data: bytes, contents: FrameContents, *, binary: bool) -> None:
        """Add messages that state their lengths; where one ends in a later frame is known, and not guessed."""
        pieces = self._framing.messages.cut(b"".join([*self._waiting, data]), self._framing.max_bytes)
        self._waiting.clear()
        for piece in pieces.whole:
            self._add_message(piece, contents, binary=binary)
        self._waited = 0 if pieces.whole else self._waited
        if pieces.rest:
            self._wait(pieces.rest, binary=binary)
            self._waited += 1
        is_scattered = self._waited > _MAX_FRAMES and len(pieces.rest) < self._waited * _LEAST_BYTES
        if pieces.is_damaged or is_scattered:
            self._waited = 0
            self._give_up(contents)

    def _add_split(self, data: bytes, contents: FrameContents, *, binary: bool) -> None:
        *pieces, rest = data.split(self._framing.messages.separator)
        if self._framing.messages.is_terminated:
            self._add_terminated(pieces, rest, contents, binary=binary)
            return
        if self._waiting and pieces:
            self._add_continued(pieces.pop(0), contents, binary=binary, is_terminated=True)
        elif self._waiting:
            self._add_continued(rest, contents, binary=binary, is_terminated=False)
            return
        for piece in pieces:
            if piece.strip(_SPACES):
                self._add_message(piece, contents, binary=binary)
        if not rest.strip(_SPACES):
            return
        # A message may go on in the next frame; where the separator is between messages, a frame ends with a whole one.
        if self._is_whole(rest):
            self._add_message(rest, contents, binary=binary)
        else:
            self._wait(rest, binary=binary)

    def _add_terminated(self, pieces: list[bytes], rest: bytes, contents: FrameContents, *, binary: bool) -> None:
        """Add the pieces of a frame whose messages end with the separator: what no separator follows is unfinished."""
        if self._waiting and not self._has_room(pieces[0] if pieces else rest):
            self._give_up(contents)
        if pieces:
            pieces[0] = b"".join([*self._waiting, pieces[0]])
            self._waiting.clear()
        for piece in pieces:
            if piece.strip(_SPACES):
                self._add_message(piece, contents, binary=binary)
        if rest:
            self._wait(rest, binary=binary)

    def _add_continued(self, piece: bytes, contents: FrameContents, *, binary: bool, is_terminated: bool) -> None:
        """Add the first piece of a frame after one that ended with an unfinished message."""
        joined = b"".join([*self._waiting, piece])
        if not self._has_room(piece):
            self._give_up(contents)
            self._add_message(piece, contents, binary=binary)
        elif self._is_whole(joined) or (is_terminated and not self._stands_alone(piece, joined)):
            self._waiting.clear()
            self._add_message(joined, contents, binary=binary)
        elif not is_terminated and not self._stands_alone(piece, joined):
            self._wait(piece, binary=binary)
        else:
            # The sender never finished the message: this piece is whole by itself.
            self._give_up(contents)
            self._add_message(piece, contents, binary=binary)

    def _is_whole(self, text: bytes) -> bool:
        if self._paths.match is not None:
            return self._paths.match.search(text) is not None or self._is_passed_over(text)
        bare = lenient_json.stripped(text)
        return bool(bare) and (bare[:1] not in _BEGINNINGS or _is_json(bare))

    def _stands_alone(self, piece: bytes, joined: bytes) -> bool:
        """Return whether a piece is a message by itself; ``joined`` is what it would be as a part of the one before."""
        if self._paths.match is not None:
            return self._paths.match.search(piece) is not None
        bare = lenient_json.stripped(piece)
        return bare[:1] in _BEGINNINGS[:2] and _is_json(bare) and not lenient_json.is_beginning(joined)

    def _add_matched(self, data: bytes, pattern: re.Pattern[bytes], contents: FrameContents, *, binary: bool) -> None:
        begin = 0
        if self._tail or self._waiting:
            data, begin = self._completed(data, pattern, contents)
        is_matched = begin > 0 or pattern.search(data) is not None
        may_wait = not is_matched and self._paths.wants_json and bool(data)
        if may_wait and self._ending.by_message(data) is None and not self._is_passed_over(data):
            # It may be the beginning of a message, or the middle of one.
            self._wait(data, binary=binary)
            return
        self._add_message(data, contents, binary=binary, begin=begin)

    def _completed(self, data: bytes, pattern: re.Pattern[bytes], contents: FrameContents) -> tuple[bytes, int]:
        """Return a frame with what it completes of those before it, and where to begin searching."""
        held = b"".join([self._tail, *self._waiting])
        joined = held + data
        across = pattern.search(joined)
        # Both halves must give JSON, or else two frames that have nothing to do with each other would become a record.
        if self._is_across(across, len(held)):
            end, begin = len(self._tail), across.start() if across is not None else 0
            for frame in self._waiting:
                end += len(frame)
                if end <= begin:
                    contents.records.append(unmatched(frame, binary=self._is_binary))
            self._waiting, self._tail = [], b""
            return joined, begin
        if pattern.search(data) is not None or self._is_passed_over(data) or not self._has_room(data):
            self._give_up(contents)
        return data, 0

    def _is_across(self, match: re.Match[bytes] | None, end: int) -> bool:
        """Return whether a match begins before the end of the earlier frames, ends after it, and gives JSON."""
        if match is None or not match.start() < end < match.end():
            return False
        return match.end() - match.start() <= self._framing.max_bytes and _is_json(match[1] or b"")

    def _add_message(self, message: bytes, contents: FrameContents, *, binary: bool, begin: int = 0) -> None:
        condition = self._ending.by_message(message) if self._ending.messages else None
        contents.condition = contents.condition or condition
        if self._paths.match is not None:
            records = self._matched_records(message, self._paths.match, begin, contents, binary=binary)
        elif self._pass_over(message, contents):
            return
        else:
            records = self._paths.records_in(message, binary=binary)
        # A message that ends the feed is logged only if it is a record as well.
        if condition is None or self._paths.seq is None or any(record.seq is not None for record in records):
            contents.records += records

    def _matched_records(
        self, message: bytes, pattern: re.Pattern[bytes], begin: int, contents: FrameContents, *, binary: bool
    ) -> list[DecodedRecord]:
        """Return the records of each match. Matches and the texts between them are pings or ignored one by one."""
        records: list[DecodedRecord] = []
        is_known = False
        for match in pattern.finditer(message, begin):
            self._pass_over(message[begin : match.start()], contents)
            begin = match.end()
            if self._pass_over(match[0], contents):
                is_known = True
            elif match[1] is not None:
                is_known = True
                records += self._paths.records_in(match[1], binary=binary)
        rest = message[begin:]
        if self._pass_over(rest, contents):
            return records
        if not is_known:
            return [unmatched(message, binary=binary)]
        # The beginning of a message that goes on in the next frame, or the end of this one.
        if not self._framing.messages.text and self._paths.wants_json and len(rest) <= self._framing.max_bytes:
            self._tail = rest if rest.strip(_SPACES) else b""
        return records

    def _pass_over(self, text: bytes, contents: FrameContents) -> bool:
        """Count a ping, whose answer is added, or a message that is ignored; return whether the text is one of them."""
        if not text:
            return False
        answer = self._pings.answer(text)
        if answer is not None:
            contents.pings += 1
            contents.answers += (answer,) if answer else ()
            return True
        is_ignored = self._pings.ignores(text)
        contents.ignored += is_ignored
        return is_ignored

    def _is_passed_over(self, text: bytes) -> bool:
        return self._pass_over(text, FrameContents())

    def _has_room(self, piece: bytes) -> bool:
        size = sum(map(len, self._waiting)) + len(self._tail) + len(piece)
        return size <= self._framing.max_bytes and len(self._waiting) < _MAX_FRAMES

    def _wait(self, piece: bytes, *, binary: bool) -> None:
        self._waiting.append(piece)
        self._is_binary = binary

    def _give_up(self, contents: FrameContents) -> None:
        """Add what no frame has completed as records that cannot be read."""
        if self._waiting and self._paths.match is not None and not self._framing.messages.text:
            contents.records += [unmatched(frame, binary=self._is_binary) for frame in self._waiting]
        elif self._waiting:
            rest, most = b"".join(self._waiting), self._framing.max_bytes
            # The limit of a record holds for what cannot be read as well: the lines of the log have one.
            for part in (rest[at : at + most] for at in range(0, len(rest), most)):
                contents.records.append(opaque(part, binary=self._is_binary, remark=_UNFINISHED))
        self._waiting, self._tail = [], b""


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        # Of a text without its end no lenient reader makes sense, and to try takes long.
        if lenient_json.stripped(text)[-1:] not in (b"}", b"]"):
            return False
        try:
            lenient_json.decode(text)
        except (ValueError, RecursionError):
            return False
    return True
