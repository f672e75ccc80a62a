"""Decides which clients are asked to move to another server of the run, so that each has about the same number. Pure.

A server that starts later than its clients would get none: connections stay where they are. Clients find the servers by
a name or a port that they share, so one that is asked to move may come back; what remains is moved later.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

SHARE = 1.2
"""A server with more than this multiple of its share of the clients asks some of them to move."""
LEAST_EXCESS = 10
"""During a run a few clients too many are left alone: to reconnect costs each of them some records' latency."""
PART_PER_SECOND = 0.01
"""Part of a server's clients that is asked to move in each second of a run."""
SETTLED_SECONDS, WAITING_SECONDS = 10.0, 1.5
"""The imbalance must have lasted this long: longer than a server that was killed counts as one; while a run waits, as
long as its clients need to connect."""
MOST_WAITING_ROUNDS = 2
"""A run that waits for its clients starts later with each round."""


class Rebalancer:
    """Chooses clients of one server in one run. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._since: float | None = None
        self._rounds = 0
        self._allowed, self._asked_at = 0.0, 0.0

    def choose(
        self, now: float, clients: Mapping[str, int], elsewhere: int, servers: int, *, is_waiting: bool
    ) -> list[str]:
        """Return the names of the clients to move now, those that subscribed last first.

        Args:
            now: the time.
            clients: fences of the clients that are connected to this server, by name.
            elsewhere: number of clients that are connected to other servers.
            servers: number of servers, this one included.
            is_waiting: the run has not started, so nobody is disturbed.
        """
        share = (len(clients) + elsewhere) / servers
        excess = len(clients) - math.ceil(share)
        if servers < 2 or len(clients) <= SHARE * share or excess < (1 if is_waiting else LEAST_EXCESS):
            self._since = None
            return []
        if self._since is None:
            self._since, self._allowed, self._asked_at = now, 0.0, now
        if now - self._since < (WAITING_SECONDS if is_waiting else SETTLED_SECONDS):
            self._asked_at = now
            return []
        count = self._count(now, len(clients), excess, is_waiting=is_waiting)
        return sorted(clients, key=lambda name: -clients[name])[:count]

    def _count(self, now: float, clients: int, excess: int, *, is_waiting: bool) -> int:
        if is_waiting:
            self._since, self._rounds = None, self._rounds + 1
            return excess if self._rounds <= MOST_WAITING_ROUNDS else 0
        self._allowed += (now - self._asked_at) * PART_PER_SECOND * clients
        self._asked_at = now
        count = min(int(self._allowed), excess)
        self._allowed -= count
        return count
