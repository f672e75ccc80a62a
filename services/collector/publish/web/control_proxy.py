"""Sends an operator's control requests to the server, with the token that authorises them.

Loads no web framework, since the ``control`` command uses it as well.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from services.collector.settings import CollectorSettings
from services.contract import wire
from services.runtime.access.tls import ClientTls
from services.runtime.control import token
from services.runtime.control.client import ControlClient
from services.runtime.control.commands import NOT_CONTROLLABLE, ServerUnreachable

REPLY_SECONDS = 2.0


def control_client(url: str, bearer_token: str, seconds: float, tls: ClientTls) -> ControlClient:
    """Return a client of the server's control channel; see `ControlClient`."""
    return ControlClient(url, bearer_token, seconds, tls)


class ControlProxy:
    """Sends control requests to the server, one at a time.

    Each request has a connection of its own: one that is held open in between would count against the server's limits.
    """

    def __init__(self, settings: CollectorSettings) -> None:
        self._url, self._token = settings.server_url, settings.control_token
        self._token_file = settings.volumes / "ledger" / token.NAME
        self._tls = ClientTls(settings.ca_file)
        self._lock = asyncio.Lock()

    async def ask(self, request: wire.Control) -> wire.Controlled:
        """Send a request; return the state of the run after it.

        Raises:
            ControlRefused: the server refuses the request.
            ServerUnreachable: the server does not answer, or the feed is external: then neither the request nor
                the token is sent.
        """
        if self._url is None:
            raise ServerUnreachable(NOT_CONTROLLABLE)
        # One at a time: two requests that arrive together would be carried out in an unknown order.
        async with self._lock, ControlClient(self._url, self._current_token(), REPLY_SECONDS, self._tls) as client:
            return await client.request(request)

    def _current_token(self) -> str:
        # Read again for each request: a server that was restarted has drawn a new token.
        if not self._token:
            with suppress(OSError, ValueError):
                return token.read(self._token_file)
        return self._token
