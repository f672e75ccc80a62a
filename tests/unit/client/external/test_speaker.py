"""Tests of how a client greets first, and how it resumes."""

from __future__ import annotations

import asyncio
from pathlib import Path

from services.client.external.session import Sequences
from services.client.external.speaker import Speaker
from services.client.external.talk.conversation import Conversation
from services.contract.sequence_tracker import SequenceTracker
from tests.unit.client.external.fakes import feed_settings


async def said(speaker: Speaker, last: dict[str | None, int], connections: int, *heard: bytes) -> list[str | bytes]:
    """Return the messages on a connection, after these numbers were received."""
    found: list[str | bytes] = []

    async def send(message: str | bytes) -> None:
        found.append(message)

    sequences = Sequences()
    for key, seq in last.items():
        sequences.by_key[key] = SequenceTracker()
        sequences.by_key[key].accept(seq, 0)
    speaker.prepare()
    conversation: Conversation = speaker.begin(send, sequences, connections)
    for message in heard:
        conversation.hear(message)
    async with asyncio.timeout(30):
        await conversation.speak()
    return found


async def test_a_connection_is_greeted_until_there_is_something_to_resume_from() -> None:
    """The first connection and one after which nothing was received are greeted; later ones are resumed."""
    speaker = Speaker("client-1", feed_settings(FEED_HELLO="hello {client}", FEED_RESUME="after {seq}"))

    assert [["hello client-1"], ["hello client-1"], ["after 7"]] == [
        await said(speaker, {}, 1), await said(speaker, {}, 2), await said(speaker, {None: 7}, 2)
    ]  # fmt: skip


async def test_a_feed_without_numbers_is_resumed_by_every_reconnect() -> None:
    """Without FEED_SEQ every connection but the first is resumed."""
    speaker = Speaker("client-1", feed_settings(FEED_SEQ="", FEED_HELLO="hello", FEED_RESUME="again"))

    assert [["hello"], ["again"]] == [await said(speaker, {}, 1), await said(speaker, {}, 2)]


async def test_a_login_comes_first_on_every_connection(tmp_path: Path) -> None:
    """The steps of FEED_HELLO_FILE come before the greeting and before the resumption, as the file has them then."""
    login = tmp_path / "login"
    settings = feed_settings(FEED_HELLO_FILE=str(login), FEED_HELLO="hello", FEED_RESUME="after {seq}")
    speaker = Speaker("client-1", settings)
    login.write_text("token one")
    first = await said(speaker, {}, 1)
    login.write_text("token two")

    assert [["token one", "hello"], ["token two", "after 7"]] == [first, await said(speaker, {None: 7}, 2)]


async def test_a_captured_value_serves_later_connections() -> None:
    """A session that was named on one connection is resumed on the next; without it the server is greeted again."""
    settings = feed_settings(FEED_HELLO="hello\nwait:session=(?P<session>.*)", FEED_RESUME="resume {session} {seq}")
    speaker = Speaker("client-1", settings)

    assert [["hello"], ["resume abc 7"]] == [
        await said(speaker, {}, 1, b"session=abc"), await said(speaker, {None: 7}, 2)
    ]  # fmt: skip
    assert ["hello"] == await said(Speaker("client-1", settings), {None: 7}, 2, b"session=")


async def test_a_login_may_capture_a_value_for_the_resumption(tmp_path: Path) -> None:
    """A value that the login of this connection will capture is known to the resuming messages after it."""
    login = tmp_path / "login"
    login.write_text("auth\nwait:session=(?P<session>.*)")
    hello, resume = "hello\nwait:session=(?P<session>.*)", "resume {session} {seq}"
    settings = feed_settings(FEED_HELLO_FILE=str(login), FEED_HELLO=hello, FEED_RESUME=resume)

    assert ["auth", "resume abc 7"] == await said(Speaker("client-1", settings), {None: 7}, 2, b"session=abc")


async def test_secrets_are_known(tmp_path: Path) -> None:
    """Headers, subprotocols and everything that was said or captured may be secret."""
    (tmp_path / "login").write_text('{"token":"file-token"}')
    (tmp_path / "headers").write_text("X-API-Key: header-secret\n")
    subprotocol = "base64url.bearer.authorization.k8s.io.dG9rZW4"
    settings = feed_settings(
        FEED_HELLO_FILE=str(tmp_path / "login"), FEED_HEADERS_FILE=str(tmp_path / "headers"),
        FEED_SUBPROTOCOL=subprotocol, FEED_HELLO="wait:(?P<sid>.+)",
    )  # fmt: skip
    speaker = Speaker("client-1", settings)
    await said(speaker, {}, 1, b"s" * 30)

    assert {"file-token", "header-secret", subprotocol, "s" * 30} <= set(speaker.secrets())
