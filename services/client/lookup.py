"""Looks up where a server is: a question that is not answered does not hold up the next one."""

from __future__ import annotations

import asyncio
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


class Lookup:
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
