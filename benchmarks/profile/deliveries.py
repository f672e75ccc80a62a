"""Classifies every delivery from the logs of publisher and clients. Pure.

Received messages are counted from the client's log alone; lost ones from the publisher's log and the numbers that the
client does not have; the expected number comes from neither. So the three agree only if the two logs do, and both were
read completely.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

Published = Sequence[tuple[int, int]]
"""The publisher's log: number and time in microseconds, epoch, of every message."""


class Connection(NamedTuple):
    """One connection of a client: its begin, the server's confirmation, and its end, in epoch microseconds.

    None if it was not confirmed, or has not ended.
    """

    begun_us: int
    ready_us: int | None = None
    ended_us: int | None = None


class Arrival(NamedTuple):
    """A received message: number and time of sending from its contents, time of arrival, index of the connection."""

    number: int
    sent_us: int
    at_us: int
    connection: int


class Log(NamedTuple):
    """The log of one client."""

    client: int
    connections: list[Connection]
    arrivals: list[Arrival]


class Classes(NamedTuple):
    """Number of deliveries by class. A message that arrives again is no delivery; ``duplicates`` counts these.

    ``lost_at_the_tail`` counts messages after the last received one, which a search for gaps does not find.
    """

    live: int = 0
    replayed: int = 0
    lost_away: int = 0
    lost_connected: int = 0
    lost_at_the_tail: int = 0
    unpublished: int = 0
    duplicates: int = 0

    @property
    def received(self) -> int:
        """Number of messages received, without duplicates."""
        return self.live + self.replayed

    @property
    def lost(self) -> int:
        """Number of messages published and never received."""
        return self.lost_away + self.lost_connected + self.lost_at_the_tail

    def residual(self, expected: int) -> int:
        """Return the number of expected deliveries in no class, minus those in more than one."""
        return expected - self.received - self.lost - self.unpublished

    def plus(self, other: Classes) -> Classes:
        """Return the sums."""
        return Classes(*map(sum, zip(self, other, strict=True)))


def classes(log: Log, published: Published, messages: int) -> Classes:
    """Return the classes of the deliveries of ``messages`` messages to one client."""
    received_numbers, live, replayed = set[int](), 0, 0
    for arrival in log.arrivals:
        if arrival.number in received_numbers:
            continue
        received_numbers.add(arrival.number)
        if is_replay(arrival, log):
            replayed += 1
        else:
            live += 1
    away, connected, tail = _lost(log, published, received_numbers)
    known = {number for number, _ in published}
    return Classes(
        live=live,
        replayed=replayed,
        lost_away=away,
        lost_connected=connected,
        lost_at_the_tail=tail,
        unpublished=sum(number not in known for number in range(1, messages + 1)),
        duplicates=len(log.arrivals) - len(received_numbers),
    )


def is_replay(arrival: Arrival, log: Log) -> bool:
    """Return whether a message was sent before its connection began."""
    return arrival.sent_us < log.connections[arrival.connection].begun_us


def _lost(log: Log, published: Published, received_numbers: Collection[int]) -> tuple[int, int, int]:
    """Return how many messages were lost while away, while connected, and after the last received one."""
    last = max(received_numbers, default=0)
    away = connected = tail = 0
    for number, sent_us in published:
        if number in received_numbers:
            continue
        if number > last:
            tail += 1
        elif _is_connected(log.connections, sent_us):
            connected += 1
        else:
            away += 1
    return away, connected, tail


def _is_connected(connections: Sequence[Connection], at_us: int) -> bool:
    return any(
        connection.ready_us is not None
        and connection.ready_us <= at_us
        and (connection.ended_us is None or at_us < connection.ended_us)
        for connection in connections
    )


def contradictions(log: Log, published: Published) -> list[str]:
    """Return a sentence for each message whose time of sending differs between the two logs."""
    times = dict(published)
    return [
        f"client {log.client} received message {arrival.number} as sent at {arrival.sent_us};"
        f" published at {times[arrival.number]}"
        for arrival in log.arrivals
        if arrival.number in times and arrival.sent_us != times[arrival.number]
    ]
