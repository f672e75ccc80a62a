"""Connects to a server's host by TCP, with repeated DNS queries and staggered connection attempts.

A SYN to an address that no host has, or into a partition, is lost; the kernel repeats it after a second, and then at
growing intervals. So another attempt starts shortly after, at the address that the name resolves to by then, and the
first that is answered counts. The same holds for DNS queries.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
from collections.abc import Callable, Coroutine
from typing import Any

Query = Callable[[str, int], Coroutine[Any, Any, list[str]]]
"""Returns the addresses of a host and port."""
# The kernel retransmits a SYN after 1 s: a single attempt would be answered shortly after that.
REACH_SECONDS = 1.25
# Each further attempt queries the name again and keeps the first connection that is accepted.
RETRY_SECONDS = 0.3
# Each pending query occupies a thread until the resolver has given up.
_MAX_QUERIES = 4


def shorten_resolver_timeout() -> None:
    """Make the system's resolver give up a query after one second, unless the operator has configured it.

    Docker's name server does not answer for a container that is down, and the resolver would wait ten seconds for it;
    this client repeats the query itself. Must be called before the first query.
    """
    os.environ.setdefault("RES_OPTIONS", "timeout:1 attempts:1")


class AddressLookup:
    """Resolves one host, with several queries at a time; the first answer counts."""

    def __init__(self, query: Query | None = None) -> None:
        """Resolve by ``query``, by default by the system's resolver."""
        self._query = query or _query
        self._pending: set[asyncio.Task[list[str]]] = set()

    async def addresses(self, host: str, port: int) -> list[str]:
        """Return the addresses to try, in their order.

        May be cancelled and called again: queries that are still pending count for the next call.

        Raises:
            OSError: the name is unknown, or no query was answered.
        """
        if len(self._pending) < _MAX_QUERIES:
            self._pending.add(asyncio.create_task(self._query(host, port)))
        while True:
            done, self._pending = await asyncio.wait(self._pending, return_when=asyncio.FIRST_COMPLETED)
            answers = [task.result() for task in done if task.exception() is None]
            if answers:
                return answers[0]
            if not self._pending:
                raise done.pop().exception() or OSError(f"no address for {host}")


async def reach(
    lookup: AddressLookup,
    host: str,
    port: int,
    timeout_seconds: float = REACH_SECONDS,
    retry_seconds: float = RETRY_SECONDS,
) -> socket.socket:
    """Return a socket that is connected to the server's host.

    Args:
        lookup: of the host's name.
        host: name of the server's host.
        port: of the server.
        timeout_seconds: when to give up.
        retry_seconds: when to start another attempt beside those that have not been answered.

    Raises:
        ConnectionError: no address answered in time.
        OSError: the name is unknown, or the host refuses.
    """
    attempts: set[asyncio.Task[socket.socket]] = set()
    try:
        async with asyncio.timeout(timeout_seconds):
            while True:
                attempts.add(asyncio.create_task(_connect_to_any(lookup, host, port)))
                done, attempts = await asyncio.wait(
                    attempts, timeout=retry_seconds, return_when=asyncio.FIRST_COMPLETED
                )
                if done:
                    return _first_connected(done)
    except TimeoutError:
        raise ConnectionError(f"no address answered within {timeout_seconds:g} s") from None
    finally:
        for attempt in attempts:
            attempt.cancel()
            attempt.add_done_callback(_close_result)


async def _query(host: str, port: int) -> list[str]:
    results = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    # Not in the order of the resolver, which may always be the same: several servers of one name share their clients.
    addresses = list(dict.fromkeys(str(address[0]) for *_, address in results))
    random.shuffle(addresses)
    return addresses


def _first_connected(done: set[asyncio.Task[socket.socket]]) -> socket.socket:
    connected = [attempt for attempt in done if attempt.exception() is None]
    for spare in connected[1:]:
        _close_result(spare)
    # If all were refused, the refusal is raised: it shows that the host is up, so no further attempt is needed.
    return (connected or list(done))[0].result()


def _close_result(attempt: asyncio.Task[socket.socket]) -> None:
    if not attempt.cancelled() and attempt.exception() is None:
        attempt.result().close()


async def _connect_to_any(lookup: AddressLookup, host: str, port: int) -> socket.socket:
    addresses = await lookup.addresses(host, port)
    # Only the error of the last address is raised.
    for address in addresses[:-1]:
        with contextlib.suppress(OSError):
            return await _connect(address, port)
    return await _connect(addresses[-1], port)


async def _connect(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # The protocol is named because asyncio sets TCP_NODELAY only then; without it small frames wait for an ACK.
    connection = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, (address, port))
    except BaseException:
        connection.close()
        raise
    return connection
