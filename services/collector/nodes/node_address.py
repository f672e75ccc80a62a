"""Where a node listens. In a module of its own, since the settings name it, and need no HTTP client for that."""

from __future__ import annotations

from typing import NamedTuple


class NodeAddress(NamedTuple):
    """Where a node listens.

    Attributes:
        host: name or address.
        port: TCP port.
        tls_name: the host name that its certificate has to have; empty without TLS.
    """

    host: str
    port: int
    tls_name: str = ""
