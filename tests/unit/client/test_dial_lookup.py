"""Tests of services/client/dial.py."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator

import pytest

from services.client import dial
from services.client.dial import AddressLookup


class Resolver:
    """Answers what the test says, when it says so."""

    def __init__(self) -> None:
        self.asked: list[asyncio.Future[list[str]]] = []

    async def ask(self, host: str, port: int) -> list[str]:
        """Take a question."""
        self.asked.append(asyncio.get_running_loop().create_future())
        return await self.asked[-1]


@pytest.fixture
def resolver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Resolver]:
    """A resolver instead of the system's."""
    made = Resolver()
    monkeypatch.setattr(dial, "_ask", made.ask)
    yield made
    for question in made.asked:
        question.cancel()


async def asks(found: AddressLookup, seconds: float = 0.01) -> list[str]:
    """Ask, for so long."""
    async with asyncio.timeout(seconds):
        return await found.addresses("server", 8765)


async def test_a_literal_address_is_its_own() -> None:
    """An address is looked up without anybody's help."""
    assert ["127.0.0.1"] == await AddressLookup().addresses("127.0.0.1", 8765)


async def test_an_unanswered_question_is_asked_again(resolver: Resolver) -> None:
    """Each attempt asks once more, four questions at most; an answer to any of them is taken."""
    found = AddressLookup()
    for _ in range(6):
        with pytest.raises(TimeoutError):
            await asks(found)
    assert 4 == len(resolver.asked)

    resolver.asked[2].set_result(["10.0.0.7"])

    assert ["10.0.0.7"] == await asks(found, 5)


@pytest.mark.parametrize(
    ("told", "expected"), [(None, "timeout:1 attempts:1"), ("timeout:7", "timeout:7")], ids=["not told", "told"]
)
def test_the_resolver_gives_up_early(monkeypatch: pytest.MonkeyPatch, told: str | None, expected: str) -> None:
    """The resolver is told to give up after a second, unless the operator has told it something."""
    monkeypatch.setattr(os, "environ", {} if told is None else {"RES_OPTIONS": told})
    dial.give_up_early()

    assert {"RES_OPTIONS": expected} == os.environ


async def test_the_last_refusal_counts(resolver: Resolver) -> None:
    """A name that is not known is told once no question is open any more."""
    found = AddressLookup()
    with pytest.raises(TimeoutError):
        await asks(found)
    asking = asyncio.create_task(asks(found, 5))
    while len(resolver.asked) < 2:  # noqa: ASYNC110 - the test's own timeout is the task's
        await asyncio.sleep(0)
    resolver.asked[0].set_exception(socket.gaierror(-2, "Name or service not known"))
    await asyncio.sleep(0)
    resolver.asked[1].set_exception(socket.gaierror(-3, "Temporary failure in name resolution"))

    with pytest.raises(socket.gaierror):
        await asking
