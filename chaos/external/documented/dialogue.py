"""What a documented server says and wants to hear, and the server that follows it strictly.

Whatever the documentation does not permit is answered with close code 4400 and the reason, so that a client that the
real server would refuse is refused here too.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

_STEP_SECONDS = 5.0


class Now(NamedTuple):
    """The moment at which a message is sent.

    Attributes:
        place: of the record in the feed, from 1.
        number: of this message among those of its connection that are made for a moment, from 1; constant texts, such
            as confirmations, are not counted.
        ms: epoch milliseconds.
    """

    place: int
    number: int
    ms: int

    @property
    def iso(self) -> str:
        """Return the time as text."""
        return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(self.ms // 1000)) + f".{self.ms % 1000:03}Z"


Said = str | Callable[[Now], str]
"""A message of the server; in a text ``<1>`` is the first group of the pattern that the client's last message fits."""


class Hear(NamedTuple):
    """A message of the client: JSON that is equal, a text that a pattern matches, or JSON of which a test is true."""

    expected: Any

    def fits(self, text: str) -> tuple[str, ...] | None:
        """Return the groups of the pattern, none for JSON; None if a message is not the expected one."""
        if isinstance(self.expected, re.Pattern):
            found = self.expected.fullmatch(text)
            return None if found is None else found.groups()
        with contextlib.suppress(ValueError):
            message = json.loads(text)
            if self.expected(message) if callable(self.expected) else message == self.expected:
                return ()
        return None


class Beat(NamedTuple):
    """A message that a client has to send at least every ``seconds``."""

    message: Hear
    seconds: float


class Ask(NamedTuple):
    """A message that the server sends every ``every`` seconds, and an answer that has to come within ``seconds``."""

    message: Said
    every: float
    answer: Hear | None = None
    seconds: float = 1.5


@dataclass(frozen=True)
class Dialogue:
    """One server.

    Attributes:
        path: of the request, with the query.
        steps: of the greeting: texts to send and messages to hear, in this order.
        record: makes the message of a record.
        subprotocol: which a client has to ask for.
        answers: further messages that are permitted, with what is answered.
        beat: what the client has to send regularly.
        asks: what the server sends regularly.
        batch: how many records a frame has at most, joined by ``joint``.
        joint: see ``batch``; it is also at the end if ``is_terminator``.
    """

    path: str
    steps: tuple[Said | Hear, ...]
    record: Callable[[Now], str]
    subprotocol: str = ""
    answers: tuple[tuple[Hear, Said], ...] = ()
    beat: Beat | None = None
    asks: tuple[Ask, ...] = field(default=())
    batch: int = 1
    joint: str = ""
    is_terminator: bool = False


class _Conversation:
    """The dialogue with one client."""

    def __init__(self, dialogue: Dialogue, connection: ServerConnection) -> None:
        self._dialogue, self._connection = dialogue, connection
        self._numbers = itertools.count(1)
        self._heard = time.monotonic()
        self._groups: tuple[str, ...] = ()
        self._awaited: list[tuple[Hear, float]] = []
        self._waiting: list[str] = []

    async def greet(self) -> None:
        """Follow the steps of the greeting."""
        for step in self._dialogue.steps:
            if isinstance(step, Hear):
                text = await asyncio.wait_for(self._message(), _STEP_SECONDS)
                if not self._is(step, text):
                    await self._refuse(f"unexpected: {text}")
            else:
                await self.say(step)
        self._heard = time.monotonic()

    async def say(self, *messages: Said, place: int = 0) -> None:
        """Send messages in one frame."""
        now_ms = time.time_ns() // 1_000_000
        texts = [
            self._text(message)
            if isinstance(message, str)
            else message(Now(place + index, next(self._numbers), now_ms))
            for index, message in enumerate(messages)
        ]
        joint = self._dialogue.joint
        await self._connection.send(joint.join(texts) + (joint if self._dialogue.is_terminator else ""))

    async def listen(self) -> None:
        """Answer what the client says, until it leaves."""
        while True:
            await self._take(await self._message())

    async def watch(self) -> None:
        """Hang up on a client that does not send what it has to."""
        beat = self._dialogue.beat
        while True:
            await asyncio.sleep(0.05)
            now = time.monotonic()
            if beat is not None and now - self._heard > beat.seconds:
                await self._refuse(f"no heartbeat for {beat.seconds:g} s")
            if any(now > until for _, until in self._awaited):
                await self._refuse("no answer")

    async def ask(self, question: Ask) -> None:
        """Ask regularly."""
        while True:
            await asyncio.sleep(question.every)
            if question.answer is not None:
                self._awaited.append((question.answer, time.monotonic() + question.seconds))
            await self.say(question.message)

    def _text(self, text: str) -> str:
        for place, group in enumerate(self._groups, 1):
            text = text.replace(f"<{place}>", group)
        return text

    def _is(self, expected: Hear, text: str) -> bool:
        groups = expected.fits(text)
        if groups is not None:
            self._groups = groups
        return groups is not None

    async def _take(self, text: str) -> None:
        beat = self._dialogue.beat
        is_beat = beat is not None and self._is(beat.message, text)
        if is_beat:
            self._heard = time.monotonic()
        answered = [awaited for awaited in self._awaited if self._is(awaited[0], text)]
        if answered:
            self._awaited.remove(answered[0])
        replies = [reply for message, reply in self._dialogue.answers if self._is(message, text)]
        if not (is_beat or answered or replies):
            await self._refuse(f"unexpected: {text}")
        for reply in replies:
            if reply:
                await self.say(reply)

    async def _message(self) -> str:
        """Return the next message; a frame may have several."""
        while not self._waiting:
            frame = await self._connection.recv()
            text = frame if isinstance(frame, str) else frame.decode("latin-1")
            joint = self._dialogue.joint
            self._waiting = text.removesuffix(joint).split(joint) if joint else [text]
        return self._waiting.pop(0)

    async def _refuse(self, reason: str) -> None:
        await self._connection.close(4400, reason[:120])
        raise ConnectionError(reason)


async def play(dialogue: Dialogue, port: int, clients: int, count: int, rate: float) -> None:
    """Serve until killed; the feed begins when all clients have greeted."""
    subscribed: set[_Conversation] = set()
    all_subscribed = asyncio.Event()

    async def handle(connection: ServerConnection) -> None:
        assert connection.request is not None
        if connection.request.path != dialogue.path or (dialogue.subprotocol and not connection.subprotocol):
            await connection.close(4404, f"no such feed: {connection.request.path}, {connection.subprotocol}")
            return
        conversation = _Conversation(dialogue, connection)
        with contextlib.suppress(ConnectionClosed, ConnectionError, TimeoutError):
            await conversation.greet()
            subscribed.add(conversation)
            if len(subscribed) == clients:
                all_subscribed.set()
            tasks = [asyncio.create_task(conversation.ask(question)) for question in dialogue.asks]
            tasks += [asyncio.create_task(conversation.listen()), asyncio.create_task(conversation.watch())]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        subscribed.discard(conversation)

    subprotocols = [Subprotocol(dialogue.subprotocol)] if dialogue.subprotocol else None
    async with serve(handle, "127.0.0.1", port, subprotocols=subprotocols):
        await all_subscribed.wait()
        loop, place = asyncio.get_running_loop(), 1
        began = loop.time()
        while place <= count:
            # Frames of one, two … records, up to the largest.
            size = min(1 + place % dialogue.batch, count + 1 - place)
            await asyncio.sleep(began + (place + size - 1) / rate - loop.time())
            for conversation in list(subscribed):
                with contextlib.suppress(ConnectionClosed):
                    await conversation.say(*[dialogue.record] * size, place=place)
            place += size
        await loop.create_future()
