"""Reaches a server's machine by TCP: a request that nobody answers does not hold up the next one.

A request to an address that nobody holds, or into a partition, is lost; the kernel repeats it after a second, and then
more and more rarely. So another one is made shortly after, to where the server's name points by then, and the first
that is answered counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket

_MOST_PENDING = 4
"""Each of them occupies a thread until the resolver has given up."""


def give_up_early() -> None:
    """Have the system's resolver give up a question after one second, unless the operator has told it otherwise.

    Docker's name server is silent about a container that is down, and the resolver would wait ten seconds for it; this
    client asks again itself. To be called before the first look-up.
    """
    os.environ.setdefault("RES_OPTIONS", "timeout:1 attempts:1")


class AddressLookup:
    """Asks for the addresses of one host, again and again, and takes whichever answer comes first."""

    def __init__(self) -> None:
        self._pending: set[asyncio.Task[list[str]]] = set()

    async def addresses(self, host: str, port: int) -> list[str]:
        """Return the addresses to try, in their order. May be cancelled, and called again: earlier questions count.

        Raises:
            OSError: the name is not known, or nobody says.
        """
        if len(self._pending) < _MOST_PENDING:
            self._pending.add(asyncio.create_task(_ask(host, port)))
        while True:
            done, self._pending = await asyncio.wait(self._pending, return_when=asyncio.FIRST_COMPLETED)
            answers = [task.result() for task in done if task.exception() is None]
            if answers:
                return answers[0]
            if not self._pending:
                raise done.pop().exception() or OSError(f"nobody knows {host}")


async def _ask(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


REACH_SECONDS = 1.25
AGAIN_SECONDS = 0.3


async def reach(lookup: AddressLookup, host: str, port: int) -> socket.socket:
    """Return a socket that is connected to the server's machine.

    Raises:
        ConnectionError: nobody was reached within `REACH_SECONDS`.
        OSError: the name is not known, or the machine refuses.
    """
    tries: set[asyncio.Task[socket.socket]] = set()
    try:
        async with asyncio.timeout(REACH_SECONDS):
            while True:
                tries.add(asyncio.create_task(_first_of(lookup, host, port)))
                done, tries = await asyncio.wait(tries, timeout=AGAIN_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                if done:
                    return _one_of(done)
    except TimeoutError:
        raise ConnectionError(f"nobody was reached within {REACH_SECONDS:g} s") from None
    finally:
        for one in tries:
            one.cancel()
            one.add_done_callback(_drop)


def _one_of(done: set[asyncio.Task[socket.socket]]) -> socket.socket:
    reached = [one for one in done if one.exception() is None]
    for spare in reached[1:]:
        _drop(spare)
    # Who is refused knows that the machine is there: that is an answer too.
    return (reached or list(done))[0].result()


def _drop(one: asyncio.Task[socket.socket]) -> None:
    if not one.cancelled() and one.exception() is None:
        one.result().close()


async def _first_of(lookup: AddressLookup, host: str, port: int) -> socket.socket:
    addresses = await lookup.addresses(host, port)
    for address in addresses[:-1]:
        with contextlib.suppress(OSError):
            return await _reached(address, port)
    return await _reached(addresses[-1], port)


async def _reached(address: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # Named TCP: for others asyncio would leave small frames to wait for the peer's acknowledgement.
    connecting = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        connecting.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connecting, (address, port))
    except BaseException:
        connecting.close()
        raise
    return connecting
