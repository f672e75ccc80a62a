"""Reaches a server's machine by TCP: a request that nobody answers does not hold up the next one.

A request to an address that nobody holds, or into a partition, is lost; the kernel repeats it after a second, and then
more and more rarely. So another one is made shortly after, to where the server's name points by then, and the first
that is answered counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

from services.client.lookup import Lookup

REACH_SECONDS = 1.25
AGAIN_SECONDS = 0.3


async def reach(lookup: Lookup, host: str, port: int) -> socket.socket:
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


async def _first_of(lookup: Lookup, host: str, port: int) -> socket.socket:
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
