"""Hands an operator's wishes on to the server: the one place where the collector is on the wire.

It only asks there: what it publishes still comes from the books alone, and the wish comes back to it as a line of the
ledger like everything else.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from services.collector.settings import CollectorSettings
from services.contract import wire
from services.runtime.control import token
from services.runtime.control.client import Line
from services.runtime.control.commands import NOT_OURS, Unreachable

ANSWER_SECONDS = 2.0


def line_to(url: str, token_shown: str, seconds: float) -> Line:
    """Return a line to a server; see `Line`."""
    return Line(url, token_shown, seconds)


class Control:
    """Asks the server, one wish at a time, each on a connection of its own: who holds none holds up nobody."""

    def __init__(self, settings: CollectorSettings) -> None:
        self._url, self._token = settings.server_url, settings.control_token
        self._file = settings.volumes / "ledger" / token.NAME
        self._turn = asyncio.Lock()

    async def ask(self, wish: wire.Control) -> wire.Controlled:
        """Say a wish; return how the run stands then.

        Raises:
            Declined: the server does not grant it.
            Unreachable: the server cannot be asked, or is not ours: to such a one nothing is said, and no token shown.
        """
        if self._url is None:
            raise Unreachable(NOT_OURS)
        async with self._turn, Line(self._url, self._token_now(), ANSWER_SECONDS) as line:
            return await line.ask(wish)

    def _token_now(self) -> str:
        # Read each time: a server that has started again has drawn another.
        if not self._token:
            with suppress(OSError, ValueError):
                return token.read(self._file)
        return self._token
