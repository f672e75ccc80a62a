"""Tests of what a client says on one connection."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import pytest

from services.client.external.talk.client_heartbeat import BeatInterval, ClientHeartbeat
from services.client.external.talk.conversation import Conversation, Voice
from services.client.external.talk.greeting import CommandStep, Greeting, Planned
from services.client.external.talk.greeting_sources import GreetingFailed
from services.client.external.templates import Template
from tests.unit.client.fakes import until

Spoken = tuple[Conversation, list[str | bytes], "asyncio.Task[None]"]


def steps(text: str) -> list[Planned]:
    """Return the steps of a greeting."""
    return Greeting.of(text).planned({"client": "client-1"})


@asynccontextmanager
async def spoken(
    planned: Sequence[Planned],
    heartbeat: ClientHeartbeat | None = None,
    captured: dict[str, str] | None = None,
    last: Callable[[], int | None] = lambda: None,
) -> AsyncIterator[Spoken]:
    """Let a conversation speak; yield it with the messages it has sent and its task."""
    said: list[str | bytes] = []

    async def send(message: str | bytes) -> None:
        said.append(message)

    made = Conversation(Voice("client-1", send, last), planned, heartbeat, {} if captured is None else captured)
    task = asyncio.create_task(made.speak())
    try:
        async with asyncio.timeout(30):
            yield made, said, task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def every(text: str, seconds: str) -> ClientHeartbeat:
    """Return a heartbeat."""
    return ClientHeartbeat(Template.of(text), BeatInterval.of(seconds))


async def test_a_step_waits_for_its_answer() -> None:
    """Nothing is said after a step that waits, until a message matches; what else comes changes nothing."""
    async with spoken(steps('init {client}\nwait:"ack"\nsubscribe')) as (made, said, task):
        await until(lambda: said == ["init client-1"])
        made.hear(b'{"seq":1}')
        assert made.waits_for is not None
        made.hear(b'{"type":"ack"}')
        await task

    assert ["init client-1", "subscribe"] == said
    assert made.is_greeted
    assert made.waits_for is None


async def test_one_message_answers_one_step() -> None:
    """Two steps that wait for the same take two messages, and one that came before its step was reached counts."""
    async with spoken(steps("wait:ok\na\nwait:ok\nb")) as (made, said, task):
        made.hear(b"ok")
        await until(lambda: said == ["a"])
        assert not task.done()
        made.hear(b"ok")
        await task

    assert ["a", "b"] == said


async def test_what_is_captured_is_said_later() -> None:
    """A named group of a step that waits is a value of later messages, and is kept for later connections."""
    captured = {"sid": "old"}
    async with spoken(steps('wait:"sid":"(?P<sid>.*?)"\n{"auth":"{sid}"}'), captured=captured) as (made, said, task):
        made.hear(b'{"sid":"x\\"y","n":1}')
        await task

    assert {"sid": "x\\"} == captured
    assert ['{"auth":"x\\\\"}'] == said


async def test_a_greeting_that_is_not_answered_fails() -> None:
    """If no message matches in time, the failure names pattern and time."""
    async with spoken(steps("init\nwait 0.05s:connection_ack\nsubscribe")) as (made, said, task):
        made.hear(b"hello")
        with pytest.raises(GreetingFailed, match=r"unanswered: nothing matched /connection_ack/ within 0.05 s"):
            await task

    assert ["init"] == said
    assert not made.is_greeted


async def test_what_a_command_prints_is_said() -> None:
    """The lines that a command prints are messages with values."""
    printed = CommandStep((sys.executable, "-c", "print('login {client}')"), 60)
    async with spoken([printed, *steps("subscribe")]) as (made, said, task):
        await task

    assert ["login client-1", "subscribe"] == said
    assert "login {client}" in made.texts


async def test_a_heartbeat_begins_after_the_greeting() -> None:
    """The heartbeat is said regularly after the last step, with the last number and the captured values."""
    last: list[int | None] = [None]
    beat = every('{"op":1,"d":{seq},"sid":"{sid}"}\nbinary:\\x09', "0.1")
    async with spoken(steps("wait:sid=(?P<sid>.)\nhi"), beat, last=lambda: last[0]) as (made, said, _task):
        await asyncio.sleep(0.3)
        assert [] == said
        made.hear(b"sid=7")
        await until(lambda: len(said) >= 3)
        last[0] = 41
        await until(lambda: len(said) >= 7)

    assert ["hi", '{"op":1,"d":null,"sid":"7"}', b"\x09"] == said[:3]
    assert '{"op":1,"d":41,"sid":"7"}' in said


async def test_heartbeats_are_on_a_schedule() -> None:
    """Heartbeats keep their interval, and none of them is made up for."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with spoken([], every("beat", "0.1")) as (_, said, _task):
        await until(lambda: len(said) == 5)
    took = loop.time() - began

    assert 0.5 <= took + 0.001


async def test_a_server_may_name_the_interval() -> None:
    """The interval is taken from the first message that has it, before the greeting is over or after it."""
    beat, interval = every("beat", "$.d.heartbeat_interval ms"), b'{"op":10,"d":{"heartbeat_interval":100}}'
    async with (
        spoken(steps("wait:10\nidentify"), beat) as (early, first, _),
        spoken(steps("identify"), beat) as (late, second, _),
    ):
        early.hear(interval)
        await until(lambda: late.is_greeted)
        late.hear(b'{"op":9}')
        await asyncio.sleep(0)  # the task may look at the interval
        late.hear(interval)
        await until(lambda: len(first) >= 3 and len(second) >= 3)

    assert ["identify", "beat", "beat"] == first[:3] == second[:3]


async def test_an_interval_that_is_never_named_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    """If the first hundred messages name no interval, no heartbeat is sent, and one log line says so."""
    with caplog.at_level(logging.WARNING):
        async with spoken(steps("hi"), every("beat", "$.interval s")) as (made, said, task):
            for _ in range(101):
                made.hear(b'{"seq":1}')
            await task

    assert ["hi"] == said
    remarks = [vars(record)["why"] for record in caplog.records]
    assert ["nothing usable at $.interval in the first 100 messages"] == remarks
