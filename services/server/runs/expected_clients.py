"""How many clients a run waits for when ``CLIENTS`` is not set: as many as the clients' containers make. Pure."""

from __future__ import annotations

UNCHANGED_SECONDS = 1.0
"""For so long the number of containers must have been the same: those of one ``up`` are started one after the other."""
AT_MOST_SECONDS = 30.0
"""So long after the first subscription the run starts in any case; a client that is lacking then fails it."""
KNOWN_SECONDS = 5.0
"""So long an answer of the name server counts when later ones do not come."""


class Expected:
    """What is known of the number of clients. Times are monotonic seconds.

    Args:
        service: the name of the clients' service; empty when nothing is known, as outside of containers.
        connections: how many clients each container is.
    """

    def __init__(self, service: str = "", connections: int = 1) -> None:
        self.service, self._connections = service, connections
        self._addresses, self._since, self._seen = 0, 0.0, float("-inf")

    def note(self, now: float, addresses: int | None) -> None:
        """Take in what the name server said: how many addresses the service has, None when it said nothing."""
        if addresses is None:
            return
        if addresses != self._addresses or not self.is_known(now):
            self._addresses, self._since = addresses, now
        self._seen = now

    def is_known(self, now: float) -> bool:
        """Tell whether the service has addresses, so that it is known how many clients there will be."""
        return self._addresses > 0 and now - self._seen <= KNOWN_SECONDS

    @property
    def clients(self) -> int:
        """How many clients there will be, as far as it is known."""
        return self._addresses * self._connections

    @property
    def source(self) -> str:
        """Where the number comes from, for the ledger."""
        return f"addresses of {self.service}: {self._addresses}, CONNECTIONS: {self._connections}"

    def may_start(self, now: float, connected: int, first: float) -> bool:
        """Tell whether the run need not wait any longer for this number of clients.

        Args:
            now: the time.
            connected: how many clients are subscribed.
            first: since when there has been one.
        """
        is_settled = self._seen - self._since >= UNCHANGED_SECONDS
        return (is_settled and connected >= self.clients) or now - first >= AT_MOST_SECONDS
