"""Tests of the bounds on the memory of large responses."""

import asyncio
from typing import Any

import pytest
from starlette.types import Message

from services.collector.publish.web.peer_limits import PIECE, CachedBody, ChunkedResponse, QueuedResponse

BODY = bytes(range(256)) * 1024


async def never() -> Message:
    """Wait forever."""
    return await asyncio.Future[Message]()


class Peer:
    """A peer that only reads while `reads` is set."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.reads = asyncio.Event()
        self.reads.set()

    async def send(self, message: Message) -> None:
        """Receive a message."""
        await self.reads.wait()
        self.messages.append(message)

    @property
    def body(self) -> bytes:
        """The received body."""
        return b"".join(message.get("body", b"") for message in self.messages)


async def test_a_response_is_sent_in_pieces() -> None:
    """The whole body arrives, with its length, in pieces of bounded size."""
    peer = Peer()
    await ChunkedResponse(BODY, media_type="text/html")({"type": "http"}, never, peer.send)

    assert BODY == peer.body
    assert max(len(message.get("body", b"")) for message in peer.messages) <= PIECE
    assert (b"content-length", b"%d" % len(BODY)) in peer.messages[0]["headers"]


async def test_a_body_is_made_once_for_concurrent_requests() -> None:
    """Concurrent requests wait for one body; another version or kind is made again."""
    made, once = list[int](), CachedBody()

    async def make() -> bytes:
        await asyncio.sleep(0)
        made.append(1)
        return b"%d" % len(made)

    assert {b"1"} == set(await asyncio.gather(*(once.get("run", 1, make) for _ in range(100))))
    assert b"2" == await once.get("run", 2, make)
    assert b"3" == await once.get("other", 2, make)


async def test_a_fresh_body_is_not_made_again() -> None:
    """A body of the same kind is kept for a while even if the version changes."""
    now, made = 0.0, list[int]()
    once = CachedBody(1.0, lambda: now)

    async def make() -> bytes:
        made.append(1)
        return b"%d" % len(made)

    assert [b"1"] * 3 == [await once.get("running", version, make) for version in range(3)]
    assert b"2" == await once.get("closed", 3, make)
    now = 1.1
    assert b"3" == await once.get("closed", 4, make)


async def test_a_slow_peer_holds_its_slot_for_a_bounded_time() -> None:
    """A peer that does not read is cut after a while; a request that waits too long gets 503."""
    slots, deaf, late, later = asyncio.Semaphore(1), Peer(), Peer(), Peer()
    deaf.reads.clear()

    async def make() -> bytes:
        return BODY

    def answer(peer: Peer) -> Any:
        return QueuedResponse(slots, make, "text/html", None, 0.05, 0.2)({"type": "http"}, never, peer.send)

    holding = asyncio.create_task(answer(deaf))
    await asyncio.sleep(0)
    await answer(late)
    with pytest.raises(TimeoutError):
        await holding
    await answer(later)

    assert 503 == late.messages[0]["status"]
    assert (200, BODY) == (later.messages[0]["status"], later.body)
