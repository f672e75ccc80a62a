"""What a client says to each kind of server, and what it understands of the answers, over all its connections. Pure."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

import msgspec

from benchmarks.scale.deliveries import BLOCK, Taker
from benchmarks.scale.websocket import opening
from services.contract import wire


class Heard(NamedTuple):
    """What a frame means: the server has confirmed the client, what to answer, and the messages in it.

    A message is its number and when it was sent, in microseconds, epoch.
    """

    ready: bool = False
    says: tuple[bytes, ...] = ()
    messages: tuple[tuple[int, int], ...] = ()


_NOTHING = Heard()


class Speaker(ABC):
    """One client's part; ``total`` messages are to come."""

    opening: ClassVar[bytes] = opening()
    ready_when_open: ClassVar[bool] = False
    """The server confirms a client by agreeing to the opening."""
    last_one_starts: ClassVar[bool] = False
    """The server starts to publish when the last client has come; else it is told when."""

    @abstractmethod
    def __init__(self, number: int, total: int) -> None: ...

    @abstractmethod
    def hear(self, text: bytes) -> Heard:
        """Take a frame of the server's; return what it means."""


class Ours(Speaker):
    """Resumes by the number of the last record it holds, and receipts what it takes, as a client that logs does."""

    opening = opening(subprotocol=wire.SUBPROTOCOL)
    last_one_starts = True

    def __init__(self, number: int, total: int) -> None:
        self._name, self._taker = f"profile-{number}", Taker(total)

    def hear(self, text: bytes) -> Heard:
        """Take a frame of the wire; a batch that was damaged on its way has no messages in it."""
        frame, body = wire.decode_from_server(text)
        match frame:
            case wire.Welcome():
                return Heard(says=(wire.encode(self._request(frame.run)),))
            case wire.Subscribed():
                return Heard(ready=True, says=tuple(self._taker.unanswered.values()))
            case wire.Records() if wire.records_of(frame, body) is not None:
                return self._take(frame, body)
            case wire.Recorded():
                self._taker.unanswered.pop(frame.block, None)
        return _NOTHING

    def _request(self, run: str) -> wire.Subscribe:
        return wire.Subscribe(
            client=self._name, session=1, instance=self._name, block_size=BLOCK, after=self._taker.after, run=run
        )

    def _take(self, header: wire.Records, body: bytes) -> Heard:
        self._taker.take(header, body)
        said = self._taker.receipt()
        return Heard(
            says=() if said is None else (said,),
            messages=tuple(
                (header.first + place, wire.due_us(header.due_us, place, header.rate)) for place in range(header.count)
            ),
        )


class WebSocket(Speaker):
    """Has nothing to resume by: it takes what comes."""

    ready_when_open = True

    def __init__(self, number: int, total: int) -> None:
        pass

    def hear(self, text: bytes) -> Heard:
        """Take a message."""
        said = msgspec.json.decode(text)
        return Heard(messages=((said["seq"], said["sent_us"]),))


class SocketIo(Speaker):
    """Engine.IO 4 over WebSocket. It resumes wherever the server gives it a session, and offsets with its events."""

    opening = opening("/socket.io/?EIO=4&transport=websocket")

    def __init__(self, number: int, total: int) -> None:
        self._session: str | None = None
        self._offset: str | None = None

    def hear(self, text: bytes) -> Heard:
        """Take a packet. What was missed may come before the server's confirmation."""
        if text.startswith(b"42"):
            _, message, *offset = msgspec.json.decode(text[2:])
            if offset:
                self._offset = offset[0]
            return Heard(messages=((message["seq"], message["sent_us"]),))
        if text.startswith(b"40"):
            self._session = msgspec.json.decode(text[2:]).get("pid")
            return Heard(ready=True)
        if text.startswith(b"0"):
            return Heard(says=(self._greeting(),))
        return Heard(says=(b"3",)) if text == b"2" else _NOTHING

    def _greeting(self) -> bytes:
        if self._session is None:
            return b"40"
        return b"40" + msgspec.json.encode({"pid": self._session, "offset": self._offset})


SPEAKERS: dict[str, type[Speaker]] = {"ours": Ours, "websocket": WebSocket, "socket.io": SocketIo}
"""By the name of what is spoken."""
