"""Tests of services/collector/publish/web/large_responses.py."""

import asyncio
from typing import Any

import pytest
from starlette.types import Message

from services.collector.publish.web import large_responses
from services.collector.publish.web.large_responses import PIECE, ChunkedResponse, MadeOnce, QueuedResponse

BODY = bytes(range(256)) * 1024


async def never() -> Message:
    """Receive nothing."""
    return await asyncio.Future[Message]()


class Peer:
    """A peer that reads when it is let."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.reads = asyncio.Event()
        self.reads.set()

    async def send(self, message: Message) -> None:
        """Take a message."""
        await self.reads.wait()
        self.messages.append(message)

    @property
    def body(self) -> bytes:
        """What has come."""
        return b"".join(message.get("body", b"") for message in self.messages)


async def test_an_answer_is_sent_in_pieces() -> None:
    """All of it arrives, with its length, and no piece is longer than the bound."""
    peer = Peer()
    await ChunkedResponse(BODY, media_type="text/html")({"type": "http"}, never, peer.send)

    assert BODY == peer.body
    assert max(len(message.get("body", b"")) for message in peer.messages) <= PIECE
    assert (b"content-length", b"%d" % len(BODY)) in peer.messages[0]["headers"]


async def test_a_hundred_requests_at_once_make_it_once() -> None:
    """Those that ask while it is made wait for it; another version, and another kind, is made again."""
    made, once = list[int](), MadeOnce()

    async def make() -> bytes:
        await asyncio.sleep(0)
        made.append(1)
        return b"%d" % len(made)

    assert {b"1"} == set(await asyncio.gather(*(once.get("run", 1, make) for _ in range(100))))
    assert b"2" == await once.get("run", 2, make)
    assert b"3" == await once.get("other", 2, make)


async def test_what_changes_all_the_time_is_not_made_all_the_time() -> None:
    """For a while the one before does, of the same kind."""
    now, made = 0.0, list[int]()
    once = MadeOnce(1.0, lambda: now)

    async def make() -> bytes:
        made.append(1)
        return b"%d" % len(made)

    assert [b"1"] * 3 == [await once.get("running", version, make) for version in range(3)]
    assert b"2" == await once.get("closed", 3, make)
    now = 1.1
    assert b"3" == await once.get("closed", 4, make)


async def test_a_few_have_their_turn_at_the_same_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Peers that do not read hold the turns for a bounded time; one that waits too long is told to come back."""
    monkeypatch.setattr(large_responses, "WAIT_SECONDS", 0.05)
    monkeypatch.setattr(large_responses, "SEND_SECONDS", 0.2)
    turns, deaf, late, later = asyncio.Semaphore(1), Peer(), Peer(), Peer()
    deaf.reads.clear()

    async def make() -> bytes:
        return BODY

    def answer(peer: Peer) -> Any:
        return QueuedResponse(turns, make, "text/html")({"type": "http"}, never, peer.send)

    holding = asyncio.create_task(answer(deaf))
    await asyncio.sleep(0)
    await answer(late)
    with pytest.raises(TimeoutError):
        await holding
    await answer(later)

    assert 503 == late.messages[0]["status"]
    assert (200, BODY) == (later.messages[0]["status"], later.body)
