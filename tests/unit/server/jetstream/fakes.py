"""A stream in memory, with the promises of NATS JetStream that the server relies on, and its faults."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from services.runtime.setting_tables.nats_address import NatsAddress
from services.server.jetstream.client import EXPECTED, JetStreamClient, OutdatedSequence, StreamMessage, StreamState

ADDRESS = NatsAddress(("nats://127.0.0.1:4222",), "test", 1, "nats://127.0.0.1:4222/test")
NOW_US = 1_795_332_600_000_000


class FakeStream:
    """The messages of one stream, for any number of clients.

    Attributes:
        messages: in their order.
        lost_answers: number of messages that are stored next without an answer.
        is_down: whether no node answers.
        first: sequence of the first message, with those before it deleted.
    """

    def __init__(self) -> None:
        self.messages: list[StreamMessage] = []
        self.lost_answers, self.is_down = 0, False
        self.listeners: list[Callable[[str], None]] = []
        self.state = StreamState("2026-11-22", None, is_readable=True)

    def store(self, subject: str, data: bytes, headers: dict[str, str] | None = None) -> int:
        """Store a message and return its sequence; see `JetStreamClient.publish`."""
        if self.is_down:
            raise OSError("no node answers")
        headers = headers or {}
        last = max((message.seq for message in self.messages if message.subject == subject), default=0)
        if int(headers.get(EXPECTED, last)) != last:
            raise OutdatedSequence(subject)
        self.messages.append(StreamMessage(len(self.messages) + 1, subject, NOW_US, headers, data, 0))
        if self.lost_answers:
            self.lost_answers -= 1
            raise OSError("the answer was lost")
        return len(self.messages)


class FakeClient(JetStreamClient):
    """A connection to a `FakeStream`; its thread is a real one."""

    def __init__(self, stream: FakeStream, address: NatsAddress = ADDRESS) -> None:
        super().__init__(address, "LEDGER")
        self._stream = stream

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    async def ensure_stream(self, subjects: list[str]) -> int:
        """Return one replica."""
        return 1

    async def publish(self, subject: str, data: bytes, headers: dict[str, str] | None = None) -> int:
        """Store a message."""
        return self._stream.store(subject, data, headers)

    async def last_sequence(self, subject: str) -> int:
        """Return the sequence of the last message under a subject."""
        return max((message.seq for message in self._stream.messages if message.subject == subject), default=0)

    async def stream_state(self) -> StreamState:
        """Return the state that the test has set."""
        return self._stream.state

    async def announce(self, subject: str) -> None:
        """Tell all listeners."""
        for listener in self._stream.listeners:
            listener(subject)

    async def listen(self, subject: str, on_subject: Any) -> None:
        """Keep the listener."""
        self._stream.listeners.append(on_subject)

    async def read(self, first: int, batch: int = 256) -> list[StreamMessage] | None:
        """Return messages from a sequence on."""
        if self._stream.is_down:
            return None
        found = [message for message in self._stream.messages if message.seq >= first]
        return [message._replace(pending=len(found) - 1 - at) for at, message in enumerate(found)][:batch]
