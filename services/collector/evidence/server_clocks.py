"""How far the clocks of the servers of one run are apart, from the clock offsets that clients logged. Pure.

A client logs with each block by how much the clock of its server is ahead of its own. Two such offsets to one clock, of
clients of one kernel at two servers or of one client that moved from one server to another, differ by the skew of the
two servers. Servers on one kernel share a clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple


class ClockBlock(NamedTuple):
    """A block with its clock offset: the server's clock minus the client's, and the largest error, microseconds."""

    number: int
    crc: str
    first: int
    last: int
    offset_us: int
    error_us: int


class ClockOffset(NamedTuple):
    """A server's clock minus that of a kernel, and the largest error; of several the most exact one counts."""

    error_us: int
    offset_us: int


Offsets = Mapping[tuple[str, str], ClockOffset]
"""By the client's kernel and the server's: identities of boots."""


class ServerSkew(NamedTuple):
    """The two servers whose clocks are furthest apart.

    Attributes:
        servers: their instances.
        skew_us: how far, microseconds.
        error_us: the largest error of that.
    """

    servers: tuple[str, str]
    skew_us: int
    error_us: int


class SessionClocks:
    """The first and the last block of each session of a client, and the kernel that it ran on."""

    __slots__ = ("_blocks", "_kernels")

    def __init__(self) -> None:
        self._kernels: dict[int, str] = {}
        self._blocks: dict[int, tuple[ClockBlock, ClockBlock]] = {}

    def add_open(self, session: int, boot: str) -> None:
        """Add the open line of a session."""
        self._kernels[session] = min(boot, self._kernels.get(session, boot))

    def add_block(self, session: int, block: ClockBlock) -> None:
        """Add a block, in any order."""
        first, last = self._blocks.get(session, (block, block))
        self._blocks[session] = min(first, block), max(last, block)

    def merge(self, other: SessionClocks) -> None:
        """Add what other files of the client hold."""
        for session, boot in other._kernels.items():
            self.add_open(session, boot)
        for session, blocks in other._blocks.items():
            for block in blocks:
                self.add_block(session, block)

    def offsets(self, subscriptions: Mapping[int, list[tuple[int, str]]]) -> dict[tuple[str, str], ClockOffset]:
        """Return the offsets of a client, by its kernel and the server's.

        Args:
            subscriptions: by session, the first record of each subscription and the kernel of the server that granted
                it, in the order of their fences.
        """
        found: dict[tuple[str, str], ClockOffset] = {}
        for session, (first, last) in self._blocks.items():
            granted = subscriptions.get(session)
            if session not in self._kernels or not granted:
                continue
            kernel = self._kernels[session]
            servers = {server for _, server in granted}
            # A block is logged with the offset at its end. That of a client with one server is to that server; of one
            # that moved, a block that ended before the second subscription, or began after the last one.
            if len(servers) == 1 or first.last < granted[1][0] - 1:
                _add(found, (kernel, granted[0][1]), first)
            if len(servers) == 1 or last.first >= granted[-1][0]:
                _add(found, (kernel, granted[-1][1]), last)
        return found


def merged(parts: Iterable[Offsets]) -> dict[tuple[str, str], ClockOffset]:
    """Return the most exact offset for each pair of kernels."""
    found: dict[tuple[str, str], ClockOffset] = {}
    for part in parts:
        for key, offset in part.items():
            found[key] = min(offset, found.get(key, offset))
    return found


def skew(offsets: Offsets, kernels: Mapping[str, str]) -> ServerSkew | None:
    """Return the two servers that are furthest apart; None if that is not known of all of them.

    Args:
        offsets: of clients.
        kernels: of the servers that took part, by instance: at least two different ones.
    """
    names = {kernel: min(name for name, of in kernels.items() if of == kernel) for kernel in kernels.values()}
    # From one server's clock over a client's to the next server's: each step adds its error.
    start = min(names)
    known = {("server", start): ClockOffset(0, 0)}
    left = dict(known)
    while left:
        place = min(left, key=lambda one: (left[one], one))
        here = left.pop(place)
        for (client, server), offset in offsets.items():
            ends = {("client", client): -offset.offset_us, ("server", server): offset.offset_us}
            if place not in ends:
                continue
            (other,) = ends.keys() - {place}
            step = ClockOffset(here.error_us + offset.error_us, here.offset_us + ends[other])
            if other not in known or step < known[other]:
                known[other] = left[other] = step
    places = {kernel: known[where] for kernel in names if (where := ("server", kernel)) in known}
    if places.keys() != names.keys():
        return None
    ahead = max(places, key=lambda kernel: (places[kernel].offset_us, kernel))
    behind = min(places, key=lambda kernel: (places[kernel].offset_us, kernel))
    error_us = places[ahead].error_us + places[behind].error_us
    skew_us = places[ahead].offset_us - places[behind].offset_us
    return ServerSkew((names[ahead], names[behind]), skew_us, error_us)


def _add(found: dict[tuple[str, str], ClockOffset], key: tuple[str, str], block: ClockBlock) -> None:
    offset = ClockOffset(block.error_us, block.offset_us)
    found[key] = min(offset, found.get(key, offset))
