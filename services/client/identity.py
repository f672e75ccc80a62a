"""Who this client is: a name that survives a restart, and the number that picks its block size.

Replicas of one compose service share one environment, so the name comes from the network: a container's address
resolves back to ``<project>-<service>-<number>``, which is kept when the container is made anew.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from services.contract.scalars import is_name


class Identity(NamedTuple):
    """One client's name, where that came from, and its block size in messages."""

    name: str
    source: str
    block_size: int


def base_name(client_id: str, hostname: str, pointer: str | None) -> tuple[str, str]:
    """Return the process's name and its source.

    Args:
        client_id: the setting; empty when not set.
        hostname: this host's name, in a container its id.
        pointer: what the container's address resolves back to, if anything:
            ``streamgauge-client-2.streamgauge_wire``.
    """
    if client_id:
        return client_id, "CLIENT_ID"
    if pointer and "." in pointer:
        label, _, network = pointer.partition(".")
        project = network.rpartition("_")[0]
        name = label.removeprefix(f"{project}-").lower()
        if name != label and re.search(r"[0-9]$", name) and is_name(name):
            return name, "reverse DNS"
    name = re.sub(r"[^a-z0-9._~-]", "-", hostname.lower())[:50]
    return (name if is_name(name) else f"client-{name}"), "hostname"


def identities(base: str, source: str, connections: int, block_sizes: tuple[int, ...]) -> list[Identity]:
    """Return the clients that one process runs.

    The trailing number of the name picks the block size, going round. With several connections the names are
    ``client-2.1``, ``client-2.2`` …, and the numbers run on.
    """
    trailing = re.search(r"([0-9]{1,9})$", base)
    number = max(int(trailing[1]), 1) if trailing else 1
    if connections == 1:
        return [Identity(base, source, block_sizes[(number - 1) % len(block_sizes)])]
    first = (number - 1) * connections
    return [
        Identity(f"{base}.{k + 1}", source, block_sizes[(first + k) % len(block_sizes)]) for k in range(connections)
    ]
