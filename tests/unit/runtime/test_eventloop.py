"""Tests of the event loop with exact timers."""

from __future__ import annotations

import asyncio
import os
import resource
import select
import selectors
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from services.runtime.eventloop import ACCEPTED_AT_ONCE, exact_loop

SLACK = Path("/proc/self/timerslack_ns")
SAYS_SLACK = f"""
from services.runtime.eventloop import exact_loop
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


@contextmanager
def few_files(more: int) -> Iterator[None]:
    """Let this process open so many files more than it has open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1 + more, hard))
    # Lower numbers that are free would be taken first.
    taken = []
    with suppress(OSError):
        while True:
            taken.append(os.open("/dev/null", os.O_RDONLY))
    for descriptor in taken[len(taken) - more :]:
        os.close(descriptor)
    try:
        yield
    finally:
        for descriptor in taken[: len(taken) - more]:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_without_descriptors_it_stays_quiet(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """While no descriptor is left, connections wait, one line says so, and all are taken when there are some again."""
    monkeypatch.setattr("asyncio.constants.ACCEPT_RETRY_DELAY", 0.05)
    connected: list[asyncio.BaseTransport] = []
    everyone, attempts = asyncio.Event(), 0
    plain = socket.socket.accept

    def accept(listening: socket.socket) -> tuple[socket.socket, Any]:
        nonlocal attempts
        attempts += 1
        return plain(listening)

    class Taking(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            connected.append(transport)
            if len(connected) == 50:
                everyone.set()

    async def starve() -> None:
        peers = [socket.socket() for _ in range(50)]
        server = await asyncio.get_running_loop().create_server(Taking, "127.0.0.1", 0, backlog=100)
        with few_files(3):
            for peer in peers:
                peer.connect(server.sockets[0].getsockname())
            await asyncio.sleep(0.5)
            assert 3 == len(connected)
        async with asyncio.timeout(10):
            await everyone.wait()
        for peer in peers:
            peer.close()
        for transport in connected:
            transport.close()
        server.close()
        await asyncio.sleep(0)

    monkeypatch.setattr(socket.socket, "accept", accept)
    with loop() as exact:
        exact.run_until_complete(starve())

    assert ["connections wait: no descriptor is left for them"] == caplog.messages
    assert attempts < 200


def test_few_connections_are_taken_at_once() -> None:
    """A burst of connections is taken in several turns, so that nothing else waits for all of it."""
    at_once: list[int] = []

    async def take() -> None:
        taken = 0

        class Taking(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                nonlocal taken
                taken += 1
                transport.close()

        server = await asyncio.get_running_loop().create_server(Taking, "127.0.0.1", 0, backlog=200)
        peers = [socket.create_connection(server.sockets[0].getsockname()) for _ in range(100)]
        async with asyncio.timeout(10):
            while taken < len(peers):
                before = taken
                await asyncio.sleep(0)
                at_once.append(taken - before)
        for peer in peers:
            peer.close()
        server.close()
        await asyncio.sleep(0)

    with loop() as exact:
        exact.run_until_complete(take())

    assert 0 < max(at_once) <= ACCEPTED_AT_ONCE
