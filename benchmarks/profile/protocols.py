"""The protocol of each kind of server, from the client's side, over all connections of a client. Pure."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import msgspec

from benchmarks.scale.deliveries import BLOCK, RecordCounter
from benchmarks.scale.websocket import opening
from services.contract import wire


class FrameMeaning(NamedTuple):
    """A parsed frame: whether it confirms the client, the replies to send, and the messages in it.

    A message is its number and its time of sending in epoch microseconds.
    """

    ready: bool = False
    replies: tuple[bytes, ...] = ()
    messages: tuple[tuple[int, int], ...] = ()


_NOTHING = FrameMeaning()


class Dialect(ABC):
    """The protocol state of one client in a run of ``total`` messages."""

    opening: ClassVar[bytes] = opening()
    ready_when_open: ClassVar[bool] = False
    """Whether the server's answer to the WebSocket handshake confirms the client."""
    last_one_starts: ClassVar[bool] = False
    """Whether the server starts to publish when the last client has connected; otherwise it is sent the time."""

    @abstractmethod
    def __init__(self, number: int, total: int) -> None: ...

    @abstractmethod
    def receive(self, text: bytes) -> FrameMeaning:
        """Parse a frame from the server."""


class Ours(Dialect):
    """The project's protocol: resumes after the last received record, and sends receipts as a logging client does."""

    opening = opening(subprotocol=wire.SUBPROTOCOL)
    last_one_starts = True

    def __init__(self, number: int, total: int) -> None:
        self._name, self._counter = f"profile-{number}", RecordCounter(total)

    def receive(self, text: bytes) -> FrameMeaning:
        """Parse a frame; a damaged batch has no messages."""
        frame, body = wire.decode_from_server(text)
        match frame:
            case wire.Welcome():
                return FrameMeaning(replies=(wire.encode(self._request(frame.run)),))
            case wire.Subscribed():
                return FrameMeaning(ready=True, replies=tuple(self._counter.unanswered.values()))
            case wire.Records() if wire.records_of(frame, body) is not None:
                return self._add_records(frame, body)
            case wire.Recorded():
                self._counter.unanswered.pop(frame.block, None)
        return _NOTHING

    def _request(self, run: str) -> wire.Subscribe:
        return wire.Subscribe(
            client=self._name, session=1, instance=self._name, block_size=BLOCK, after=self._counter.after, run=run
        )

    def _add_records(self, header: wire.Records, body: bytes) -> FrameMeaning:
        self._counter.add(header, body)
        receipt_bytes = self._counter.receipt()
        return FrameMeaning(
            replies=() if receipt_bytes is None else (receipt_bytes,),
            messages=tuple(
                (header.first + place, wire.due_us(header.due_us, place, header.rate)) for place in range(header.count)
            ),
        )


class WebSocket(Dialect):
    """A plain WebSocket, which cannot resume."""

    ready_when_open = True

    def __init__(self, number: int, total: int) -> None:
        pass

    def receive(self, text: bytes) -> FrameMeaning:
        """Parse a message."""
        message = msgspec.json.decode(text)
        return FrameMeaning(messages=((message["seq"], message["sent_us"]),))


class SocketIo(Dialect):
    """Engine.IO 4 over WebSocket; resumes if the server sends a session id, and offsets with its events."""

    opening = opening("/socket.io/?EIO=4&transport=websocket")

    def __init__(self, number: int, total: int) -> None:
        self._session: str | None = None
        self._offset: str | None = None

    def receive(self, text: bytes) -> FrameMeaning:
        """Parse a packet. Missed messages may arrive before the server's confirmation."""
        if text.startswith(b"42"):
            _, message, *offset = msgspec.json.decode(text[2:])
            if offset:
                self._offset = offset[0]
            return FrameMeaning(messages=((message["seq"], message["sent_us"]),))
        if text.startswith(b"40"):
            self._session = msgspec.json.decode(text[2:]).get("pid")
            return FrameMeaning(ready=True)
        if text.startswith(b"0"):
            return FrameMeaning(replies=(self._greeting(),))
        return FrameMeaning(replies=(b"3",)) if text == b"2" else _NOTHING

    def _greeting(self) -> bytes:
        if self._session is None:
            return b"40"
        return b"40" + msgspec.json.encode({"pid": self._session, "offset": self._offset})


DIALECTS: dict[str, type[Dialect]] = {"ours": Ours, "websocket": WebSocket, "socket.io": SocketIo}
"""The dialects by name."""
