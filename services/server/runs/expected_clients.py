"""How many clients a run waits for when ``CLIENTS`` is not set: containers times connections. Pure."""

from __future__ import annotations

UNCHANGED_SECONDS = 1.0
"""The number of containers must have been the same for this long: an `up` starts them one after another."""
AT_MOST_SECONDS = 30.0
"""The run starts this long after the first subscription in any case; a client that is still missing fails it."""
KNOWN_SECONDS = 5.0
"""A number of containers is forgotten if the name server has not repeated it for this long."""


class ExpectedClients:
    """The number of clients to wait for, from the answers of the name server. Times are monotonic seconds.

    Args:
        service: name of the clients' service; empty outside of containers, where no number is known.
        connections: number of clients in each container.
    """

    def __init__(self, service: str = "", connections: int = 1) -> None:
        self.service, self._connections = service, connections
        self._addresses, self._unchanged_since, self._answered_at = 0, 0.0, float("-inf")

    def add_answer(self, now: float, addresses: int | None) -> None:
        """Add an answer of the name server: the number of addresses of the service, None for no answer."""
        if addresses is None:
            return
        if addresses != self._addresses or not self.is_known(now):
            self._addresses, self._unchanged_since = addresses, now
        self._answered_at = now

    def is_known(self, now: float) -> bool:
        """Return whether the number of clients is known: the service had addresses lately."""
        return self._addresses > 0 and now - self._answered_at <= KNOWN_SECONDS

    @property
    def clients(self) -> int:
        """The number of clients, as far as it is known."""
        return self._addresses * self._connections

    @property
    def source(self) -> str:
        """The origin of the number, for the ledger."""
        return f"addresses of {self.service}: {self._addresses}, CONNECTIONS: {self._connections}"

    def may_start(self, now: float, connected: int, first_joined_at: float) -> bool:
        """Return whether the run need not wait any longer for this number of clients.

        Args:
            now: the time.
            connected: number of clients that are subscribed.
            first_joined_at: since when at least one has been.
        """
        is_settled = self._answered_at - self._unchanged_since >= UNCHANGED_SECONDS
        return (is_settled and connected >= self.clients) or now - first_joined_at >= AT_MOST_SECONDS
