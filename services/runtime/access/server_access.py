"""How a client identifies itself to a server, and how it verifies the server: its token, and trusted certificates."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from services.runtime.access.tls import ClientTls
from services.runtime.access.token_file import read_tokens
from services.runtime.errors import BadSettings


class ServerAccess:
    """The operator's files for connections to one server, as they are at each connection.

    Args:
        url: address of the server.
        token_file: path of a token file; empty for no token.
        ca_file: path of the certificates to trust; empty for those of the system.

    Attributes:
        has_token: whether a token is sent.

    Raises:
        BadSettings: a file cannot be used, or the address has a password besides the token.
    """

    def __init__(self, url: str, token_file: str = "", ca_file: str = "") -> None:
        parts = urlsplit(url)
        self.has_token = bool(token_file)
        self._token_file = token_file
        self._tls = ClientTls(ca_file) if parts.scheme == "wss" else None
        if token_file:
            read_tokens(token_file)
            if parts.username is not None:
                raise BadSettings(
                    ["SERVER_URL, FEED_TOKEN_FILE: expected only one of a user in the address and a token"]
                )

    def options_for(self, name: str) -> dict[str, Any]:
        """Return the options of the library with which a client of this name connects.

        Raises:
            BadSettings: a file cannot be used any more.
        """
        tls = {} if self._tls is None else {"ssl": self._tls.context()}
        return {"additional_headers": bearer(self.token_for(name)), **tls}

    def token_for(self, name: str) -> str:
        """Return the token with which a client of this name takes part; empty if there is none.

        Raises:
            BadSettings: the token file cannot be used any more.
        """
        return read_tokens(self._token_file).token_for(name) if self._token_file else ""


def bearer(token: str) -> dict[str, str] | None:
    """Return the headers that present a token; None for an empty one."""
    return {"Authorization": f"Bearer {token}"} if token else None
