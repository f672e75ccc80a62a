"""The gate of a server process: how many connections are open, and how long a peer may stay without a subscription."""

from __future__ import annotations

import resource
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, TypeVar

from services.contract import bounds
from services.runtime.rate_limit import TokenBucket

RESERVED = 96
"""File descriptors that connections leave free for the ledger, the heartbeat and the metrics, and for connections that
one turn of the event loop accepts before they are counted."""

SPARE = bounds.SPARE_CONNECTIONS.value
_MIN_CONNECTIONS = 2 * SPARE

Peer = TypeVar("Peer", bound=Hashable)


class Gate(Generic[Peer]):
    """Counts the open connections of one process, and those of each address that have no subscription yet.

    A peer becomes *engaged* with its first subscription, or its first control request that is permitted; it stays so
    until it disconnects. Engaged peers are not limited by their address, because one process may run 10,000 clients.

    Args:
        maximum: returns the greatest allowed number of connections. It is called for every connection, since a
            process's limit of open files may be changed while it runs.
        per_address: peers of one address that are not engaged.
    """

    def __init__(self, maximum: Callable[[], int], per_address: int = bounds.UNSUBSCRIBED.value) -> None:
        self.maximum, self._per_address = maximum, per_address
        self.in_use = 0
        # In the order of connecting, so the first ones are the first to exceed their time.
        self._silent: dict[Peer, tuple[str, float]] = {}
        self._speaking: dict[Peer, tuple[str, float]] = {}
        self._new_by_address: Counter[str] = Counter()

    def acquire(self, peer: Peer, address: str, now: float) -> bool:
        """Count a connection; return False, and count nothing, if the limit is reached."""
        if self.in_use >= self.maximum():
            return False
        self.in_use += 1
        network = _network(address)
        self._silent[peer] = network, now
        self._new_by_address[network] += 1
        return True

    def release(self, peer: Peer) -> None:
        """Stop counting a connection that was acquired."""
        self._remove(peer)
        self.in_use -= 1

    @property
    def is_nearly_reached(self) -> bool:
        """Whether only spare places are left."""
        return self.in_use > self.maximum() - SPARE

    def is_crowded(self, address: str) -> bool:
        """Return whether more peers of an address than allowed are not engaged."""
        return self._new_by_address[_network(address)] > self._per_address

    def heard(self, peer: Peer) -> None:
        """Note that a peer has sent a frame: it has longer until it must be engaged."""
        if (waiting := self._silent.pop(peer, None)) is not None:
            self._speaking[peer] = waiting

    def engage(self, peer: Peer) -> None:
        """Note that a peer is engaged: it may stay."""
        self._remove(peer)

    def refuse(self, peer: Peer) -> None:
        """Note that a peer is refused: until it has disconnected it takes no place of others of its address.

        Otherwise clients that are refused and try again would keep each other out.
        """
        self._remove(peer)

    def _remove(self, peer: Peer) -> None:
        waiting = self._silent.pop(peer, None) or self._speaking.pop(peer, None)
        if waiting is not None:
            network = waiting[0]
            self._new_by_address[network] -= 1
            if not self._new_by_address[network]:
                del self._new_by_address[network]

    def overdue(self, now: float) -> Iterator[Peer]:
        """Yield the peers that are not engaged although their time is over; each is yielded once."""
        for peers, seconds in (
            (self._silent, bounds.SILENT_SECONDS.value),
            (self._speaking, bounds.UNSUBSCRIBED_SECONDS.value),
        ):
            while peers:
                peer, (_, since) = next(iter(peers.items()))
                if now - since <= seconds:
                    break
                self._remove(peer)
                yield peer

    def restart(self, now: float) -> None:
        """Give every peer its whole time again: until now no subscription could be granted."""
        for peers in (self._silent, self._speaking):
            for peer, (network, _) in peers.items():
                peers[peer] = network, now


class MessageAllowance(TokenBucket):
    """The messages that a peer may send, and the bytes that are read from it at a time: fewer until it is engaged."""

    __slots__ = ("read_bytes",)

    def __init__(self, now: float, *, is_engaged: bool) -> None:
        burst = bounds.MESSAGES if is_engaged else bounds.FIRST_MESSAGES
        super().__init__(burst.value, bounds.MESSAGES_PER_SECOND, now)
        self.read_bytes = (bounds.READ_BYTES if is_engaged else bounds.FIRST_READ_BYTES).value


def max_connections(clients: int = 0) -> int:
    """Return the number of connections that a process may have: enough for its clients, and for open files.

    Args:
        clients: number of clients that are expected; 0 if it is unknown.
    """
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = max(bounds.CONNECTIONS.value, bounds.NAMES_PER_CLIENT * clients)
    return most if soft == resource.RLIM_INFINITY else min(max(soft - RESERVED, _MIN_CONNECTIONS), most)


def max_names(clients: int = 0) -> int:
    """Return the number of names that a run may have; never less than `max_connections`."""
    return max(bounds.NAMES.value, bounds.NAMES_PER_CLIENT * clients)


def _network(address: str) -> str:
    """Return the part of an address that one host has to itself: of IPv6 the first 64 bits."""
    if ":" not in address:
        return address
    groups = address.partition("::")[0].split(":")
    return ":".join(groups[:4])
