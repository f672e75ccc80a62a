"""Tests of the event loop with exact timers, and of how garbage collections are kept short."""

from __future__ import annotations

import asyncio
import gc
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

from services.runtime import eventloop
from services.runtime.eventloop import ACCEPTED_AT_ONCE, exact_loop

SLACK = Path("/proc/self/timerslack_ns")
PRINT_SLACK = f"""
from services.runtime import eventloop
from services.runtime.eventloop import exact_loop
exact_loop().close()
print(open("{SLACK}").read())
"""


@contextmanager
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Create a loop with exact timers, closed at the end."""
    made = exact_loop()
    try:
        yield made
    finally:
        made.close()


def test_timers_are_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loop waits for the exact time of a timer, not for whole milliseconds."""
    waited: list[float] = []
    plain = select.select

    def watched(*arguments: Any) -> Any:
        waited.append(arguments[3])
        return plain(*arguments)

    monkeypatch.setattr(select, "select", watched)
    with loop() as exact:
        # Long enough that a busy machine does not reach the time before the loop waits.
        exact.run_until_complete(asyncio.sleep(0.0503))

    assert waited
    assert not [seconds for seconds in waited if seconds > 0.0503]


@pytest.mark.skipif(not SLACK.exists(), reason="timer slack exists on Linux only")
def test_the_timer_slack_is_reduced() -> None:
    """A process with such a loop has a timer slack of 1 ns."""
    printed = subprocess.run([sys.executable, "-c", PRINT_SLACK], capture_output=True, text=True, check=True).stdout

    assert "1" == printed.strip()


def test_waits_for_sockets_and_timers() -> None:
    """Received bytes wake the loop before a timer, and a timer wakes it without bytes."""

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


def test_without_epoll_the_loop_is_asyncios(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system without ``epoll`` gets the default loop of asyncio."""
    monkeypatch.delattr(selectors, "EpollSelector")
    with loop() as plain:
        assert isinstance(plain, asyncio.SelectorEventLoop)


@contextmanager
def few_files(more: int) -> Iterator[None]:
    """Let this process open only ``more`` files beyond those it has open."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(map(int, os.listdir("/proc/self/fd")))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1 + more, hard))
    # Occupy the free numbers below the limit, since the lowest free number is used first.
    occupied = []
    with suppress(OSError):
        while True:
            occupied.append(os.open("/dev/null", os.O_RDONLY))
    for descriptor in occupied[len(occupied) - more :]:
        os.close(descriptor)
    try:
        yield
    finally:
        for descriptor in occupied[: len(occupied) - more]:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_without_descriptors_it_stays_quiet(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """While no descriptor is left, connections wait and one line is logged; afterwards all are accepted."""
    monkeypatch.setattr("asyncio.constants.ACCEPT_RETRY_DELAY", 0.05)
    connected: list[asyncio.BaseTransport] = []
    all_accepted, attempts = asyncio.Event(), 0
    plain = socket.socket.accept

    def accept(listening: socket.socket) -> tuple[socket.socket, Any]:
        nonlocal attempts
        attempts += 1
        return plain(listening)

    class AcceptingProtocol(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            connected.append(transport)
            if len(connected) == 50:
                all_accepted.set()

    async def starve() -> None:
        peers = [socket.socket() for _ in range(50)]
        server = await asyncio.get_running_loop().create_server(AcceptingProtocol, "127.0.0.1", 0, backlog=100)
        with few_files(3):
            for peer in peers:
                peer.connect(server.sockets[0].getsockname())
            await asyncio.sleep(0.5)
            assert 3 == len(connected)
        async with asyncio.timeout(10):
            await all_accepted.wait()
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


def test_a_burst_is_accepted_in_several_turns() -> None:
    """A burst of connections is accepted in several turns of the loop, so that it does not delay everything else."""
    at_once: list[int] = []

    async def accept_burst() -> None:
        accepted = 0

        class AcceptingProtocol(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                nonlocal accepted
                accepted += 1
                transport.close()

        server = await asyncio.get_running_loop().create_server(AcceptingProtocol, "127.0.0.1", 0, backlog=200)
        peers = [socket.create_connection(server.sockets[0].getsockname()) for _ in range(100)]
        async with asyncio.timeout(10):
            while accepted < len(peers):
                before = accepted
                await asyncio.sleep(0)
                at_once.append(accepted - before)
        for peer in peers:
            peer.close()
        server.close()
        await asyncio.sleep(0)

    with loop() as exact:
        exact.run_until_complete(accept_burst())

    assert 0 < max(at_once) <= ACCEPTED_AT_ONCE


class Cycle:
    """An object that refers to itself, so that only the garbage collector frees it."""

    freed = 0

    def __init__(self) -> None:
        self.me = self

    def __del__(self) -> None:
        Cycle.freed += 1


def test_survivors_are_excluded() -> None:
    """An object that survived a full collection is freed by `collect_all` only."""
    Cycle.freed = 0
    with eventloop.gc_frozen():
        cycles = [Cycle()]
        gc.collect()
        cycles.clear()
        gc.collect()
        assert 0 == Cycle.freed

        eventloop.collect_all()
        assert 1 == Cycle.freed


def test_new_garbage_is_collected() -> None:
    """An object that became garbage before its first full collection is freed by it."""
    Cycle.freed = 0
    with eventloop.gc_frozen():
        gc.collect()
        Cycle()
        gc.collect()

        assert 1 == Cycle.freed


def test_the_collector_is_restored() -> None:
    """After the block full collections include all objects again."""
    before = gc.callbacks[:]
    with eventloop.gc_frozen():
        gc.collect()
        assert 0 < gc.get_freeze_count()

    assert (0, before) == (gc.get_freeze_count(), gc.callbacks)
