"""Names the clients of this process. Pure; ``container_name.py`` finds out what is known about the container.

Replicas of one compose service share one environment, so their names must come from elsewhere: a container's address
resolves back to ``<project>-<service>-<number>``, which stays the same when the container is made again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from services.contract.scalars import is_name

_MAX_LABEL = 63
"""Characters of a name between two dots in DNS; about a longer one a name server gives no answer."""
_ROOM_FOR_NUMBER = len("--1000")
"""Two hyphens and a number of four digits, so that all replicas of a service find their names in the same way."""


class Identity(NamedTuple):
    """One client's name, its source, and its block size in messages."""

    name: str
    source: str
    block_size: int


def identities(base: str, source: str, connections: int, block_sizes: tuple[int, ...]) -> list[Identity]:
    """Return the clients that one process runs.

    The trailing number of the name selects the block size, cyclically. With several connections the names are
    ``client-2.1``, ``client-2.2`` …, and the numbers continue over all processes.
    """
    trailing = re.search(r"([0-9]{1,9})$", base)
    number = max(int(trailing[1]), 1) if trailing else 1
    if connections == 1:
        return [Identity(base, source, block_sizes[(number - 1) % len(block_sizes)])]
    first = (number - 1) * connections
    return [
        Identity(f"{base}.{k + 1}", source, block_sizes[(first + k) % len(block_sizes)]) for k in range(connections)
    ]


def replica_name(names: Iterable[str], project: str) -> str | None:
    """Return the name of a replica, such as ``client-2``; None if none of the names is that of a replica.

    Args:
        names: names of the container, perhaps with that of a network: ``shop-client-2.shop_wire``, or with
            ``--compatibility`` ``shop_client_2.shop_wire``.
        project: of compose, which the container's name begins with.
    """
    for name in names:
        container = name.partition(".")[0]
        match = re.fullmatch(rf"{re.escape(project)}[-_](.+)[-_]([0-9]{{1,9}})", container, re.IGNORECASE)
        found = f"{match[1]}-{match[2]}".lower() if match is not None else ""
        if is_name(found):
            return found
    return None


def guessed_name(name: str) -> str | None:
    """Return the name of a replica whose project is unknown, and taken from that of its network; None without one.

    Args:
        name: the container's, such as ``streamgauge-client-2.streamgauge_wire``.
    """
    network = name.partition(".")[2]
    return replica_name([name], network.rpartition("_")[0]) if "_" in network else None


def name_of_text(text: str) -> str:
    """Return a valid name that resembles a text, such as a host name."""
    # Names have at most 63 characters; the rest is room for the number of a connection and for a suggested suffix.
    name = re.sub(r"[^a-z0-9._~-]", "-", text.lower())[:50]
    return name if is_name(name) else f"client-{name}"


def is_too_long(project: str, service: str) -> bool:
    """Return whether the names of a service's containers may be too long for a name server."""
    return len(project) + len(service) + _ROOM_FOR_NUMBER > _MAX_LABEL
