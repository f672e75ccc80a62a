"""What a client says on one connection to an external server: its greeting, step by step, then its heartbeats.

It speaks beside the task that reads, which passes on every message that it has read: while a step waits for an answer,
records are logged as always.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from services.client.external.talk.client_heartbeat import BeatInterval, ClientHeartbeat
from services.client.external.talk.greeting import CommandStep, Planned, Say, WaitStep
from services.client.external.talk.greeting_sources import GreetingFailed, printed_by
from services.client.external.talk.resumption import position
from services.client.external.templates import MessageTemplate, Value
from services.contract import bounds

log = logging.getLogger(__name__)

# A server names the interval of heartbeats in one of its first messages. Parsing all of them would cost too much.
_INTERVAL_MESSAGES = bounds.HEARTBEAT_MESSAGES.value


class Voice(NamedTuple):
    """How a conversation speaks.

    Attributes:
        client: name of the client.
        send: sends one message.
        last: returns the highest number received so far, None for none.
    """

    client: str
    send: Callable[[str | bytes], Awaitable[None]]
    last: Callable[[], int | None] = lambda: None


class Conversation:
    """The conversation on one connection.

    Attributes:
        captured: values by the name of the group that found them; kept by the client for its later connections.
        is_greeted: whether all steps of the greeting are done.
        texts: the lines that files and commands gave for this connection, which may be secret.
    """

    def __init__(
        self, voice: Voice, steps: Sequence[Planned], heartbeat: ClientHeartbeat | None, captured: dict[str, str]
    ) -> None:
        self.captured = captured
        self.is_greeted = False
        self.texts = [step.template.line for step in steps if isinstance(step, Say)]
        self._voice, self._steps, self._heartbeat = voice, steps, heartbeat
        self._waits = [step for step in steps if isinstance(step, WaitStep)]
        # How many steps that wait were answered, and how many were reached.
        self._answered = self._reached = 0
        self._was_answered = asyncio.Event()
        by_path = heartbeat is not None and heartbeat.interval.path is not None
        self._messages_to_search = _INTERVAL_MESSAGES if by_path else 0
        self._interval_s = heartbeat.interval.seconds if heartbeat is not None else None
        self._was_searched = asyncio.Event()

    @property
    def waits_for(self) -> WaitStep | None:
        """The first step that still waits for its answer, or will; None when all steps have theirs."""
        return self._waits[self._answered] if self._answered < len(self._waits) else None

    @property
    def is_listening(self) -> bool:
        """Whether `hear` has to be called with the next frame."""
        return self._answered < len(self._waits) or self._messages_to_search > 0

    def hear(self, frame: str | bytes) -> None:
        """Take note of a frame that was read and decoded. One frame answers one step at most."""
        is_awaited = self._answered < len(self._waits)
        if not is_awaited and not self._messages_to_search:
            return
        message = frame.encode() if isinstance(frame, str) else frame
        if is_awaited:
            # A message that came before its step was reached counts too, because servers greet without being asked.
            self._match(message)
        if self._messages_to_search and self._heartbeat is not None:
            self._search_interval(message, self._heartbeat.interval)

    def _match(self, message: bytes) -> None:
        found = self._waits[self._answered].pattern.search(message)
        if found is not None:
            self.captured |= _captured(found)
            self._answered += 1
            self._was_answered.set()

    def _search_interval(self, message: bytes, interval: BeatInterval) -> None:
        self._messages_to_search -= 1
        self._interval_s = interval.found_in(message)
        if self._interval_s is not None:
            self._messages_to_search = 0
        if not self._messages_to_search:
            self._was_searched.set()

    async def speak(self) -> None:
        """Greet, then send heartbeats until cancelled.

        Raises:
            GreetingFailed: a step was not answered in time, or its command failed.
            websockets.exceptions.ConnectionClosed: the connection has ended.
        """
        for step in self._steps:
            if isinstance(step, WaitStep):
                await self._wait(step)
            elif isinstance(step, CommandStep):
                printed = (await printed_by(step)).templates
                self.texts += [template.line for template in printed]
                for template in printed:
                    await self._say(template, {"client": self._voice.client})
            else:
                await self._say(step.template, step.values)
        self.is_greeted = True
        if self._heartbeat is not None:
            await self._beat(self._heartbeat)

    async def _say(self, template: MessageTemplate, values: Mapping[str, Value]) -> None:
        await self._voice.send(template.message({**self.captured, **values}))

    async def _wait(self, step: WaitStep) -> None:
        self._reached += 1
        try:
            async with asyncio.timeout(step.seconds):
                while self._answered < self._reached:
                    self._was_answered.clear()
                    await self._was_answered.wait()
        except TimeoutError:
            raise GreetingFailed(step.unanswered) from None

    async def _beat(self, heartbeat: ClientHeartbeat) -> None:
        seconds = await self._interval(heartbeat)
        if seconds is None:
            return
        clock = asyncio.get_running_loop().time
        at = clock()
        while True:
            # Heartbeats that were missed, while the machine was asleep for example, are not made up for.
            at = max(at + seconds, clock())
            await asyncio.sleep(at - clock())
            values = {"client": self._voice.client, **position(self._voice.last())}
            for template in heartbeat.template.templates:
                await self._say(template, values)

    async def _interval(self, heartbeat: ClientHeartbeat) -> float | None:
        if heartbeat.interval.path is None:
            return heartbeat.interval.seconds
        await self._was_searched.wait()
        if self._interval_s is None:
            why = f"nothing usable at {heartbeat.interval.path.text} in the first {_INTERVAL_MESSAGES} messages"
            log.warning("no heartbeat is sent", extra={"client": self._voice.client, "why": why})
        return self._interval_s


def _captured(found: re.Match[bytes]) -> dict[str, str]:
    return {name: value.decode("utf-8", "replace") for name, value in found.groupdict().items() if value is not None}
