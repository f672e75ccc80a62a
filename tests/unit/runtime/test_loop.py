"""Tests of the event loop with exact timers."""

from __future__ import annotations

import asyncio
import select
import selectors
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from services.runtime.loop import exact_loop

SLACK = Path("/proc/self/timerslack_ns")
SAYS_SLACK = f"""
from services.runtime.loop import exact_loop
exact_loop().close()
print(open("{SLACK}").read())
"""


@contextmanager
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop with exact timers."""
    made = exact_loop()
    try:
        yield made
    finally:
        made.close()


def test_timers_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """A timer is waited for by its own time, not by that rounded up to whole milliseconds."""
    waited: list[float] = []
    plain = select.select

    def watched(*arguments: Any) -> Any:
        waited.append(arguments[3])
        return plain(*arguments)

    monkeypatch.setattr(select, "select", watched)
    with loop() as exact:
        exact.run_until_complete(asyncio.sleep(0.0003))

    assert waited
    assert not [seconds for seconds in waited if seconds > 0.0003]


@pytest.mark.skipif(not SLACK.exists(), reason="a matter of Linux")
def test_sleepers_are_not_gathered() -> None:
    """Who has such a loop is woken at its time, and not together with others some time later."""
    told = subprocess.run([sys.executable, "-c", SAYS_SLACK], capture_output=True, text=True, check=True).stdout.split()

    assert ["1"] == told


def test_waits_for_sockets_and_timers() -> None:
    """Bytes that come wake the loop before its timer, and a timer wakes it without bytes."""

    async def play() -> tuple[bytes, bytes | None]:
        running = asyncio.get_running_loop()
        here, there = socket.socketpair()
        with here, there:
            here.setblocking(False)
            running.call_later(0.01, there.send, b"x")
            async with asyncio.timeout(10):
                first = await running.sock_recv(here, 1)
            try:
                async with asyncio.timeout(0.01):
                    return first, await running.sock_recv(here, 1)
            except TimeoutError:
                return first, None

    with loop() as exact:
        assert (b"x", None) == exact.run_until_complete(play())


def test_is_asyncios_own_without_epoll(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that has no ``epoll`` gets the loop that asyncio makes for it."""
    monkeypatch.delattr(selectors, "EpollSelector")
    with loop() as plain:
        assert isinstance(plain, asyncio.SelectorEventLoop)
