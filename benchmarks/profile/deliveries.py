"""In which class every delivery ended, from what both sides logged. Pure.

What was received is counted from the client's log alone, by what the messages themselves say; what was lost, from the
publisher's log and the numbers that the client does not hold; what is expected, from neither. So the three agree only
if the two logs do, and all of both was read.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import NamedTuple

Published = Sequence[tuple[int, int]]
"""The publisher's log: number and time in microseconds, epoch, of every message."""


class Connection(NamedTuple):
    """One connection of a client, in microseconds, epoch: when it began, was confirmed by the server, and ended.

    One that was never confirmed, or has not ended, has None there.
    """

    begun_us: int
    ready_us: int | None = None
    ended_us: int | None = None


class Arrival(NamedTuple):
    """A message as it came: its number and time of sending by its own account, when, and over which connection."""

    number: int
    sent_us: int
    at_us: int
    connection: int


class Log(NamedTuple):
    """What one client wrote down."""

    client: int
    connections: list[Connection]
    arrivals: list[Arrival]


class Classes(NamedTuple):
    """Deliveries by how they ended. A message that comes again is no delivery: ``again`` counts it apart.

    Lost at the tail is what a client missed after the last that it received: what nobody sees who looks for gaps.
    """

    live: int = 0
    replayed: int = 0
    lost_away: int = 0
    lost_connected: int = 0
    lost_at_the_tail: int = 0
    unpublished: int = 0
    again: int = 0

    @property
    def received(self) -> int:
        """How many were received, each once."""
        return self.live + self.replayed

    @property
    def lost(self) -> int:
        """How many were published and never received."""
        return self.lost_away + self.lost_connected + self.lost_at_the_tail

    def residual(self, expected: int) -> int:
        """Return how many of the deliveries expected are in no class, less those that are in more than one."""
        return expected - self.received - self.lost - self.unpublished

    def plus(self, other: Classes) -> Classes:
        """Return both together."""
        return Classes(*map(sum, zip(self, other, strict=True)))


def classes(log: Log, published: Published, messages: int) -> Classes:
    """Return how the deliveries of so many messages to one client ended."""
    held, live, replayed = set[int](), 0, 0
    for arrival in log.arrivals:
        if arrival.number in held:
            continue
        held.add(arrival.number)
        if is_replay(arrival, log):
            replayed += 1
        else:
            live += 1
    away, connected, tail = _lost(log, published, held)
    known = {number for number, _ in published}
    return Classes(
        live=live,
        replayed=replayed,
        lost_away=away,
        lost_connected=connected,
        lost_at_the_tail=tail,
        unpublished=sum(number not in known for number in range(1, messages + 1)),
        again=len(log.arrivals) - len(held),
    )


def is_replay(arrival: Arrival, log: Log) -> bool:
    """Tell whether a message was sent before the connection over which it came even began."""
    return arrival.sent_us < log.connections[arrival.connection].begun_us


def _lost(log: Log, published: Published, held: Collection[int]) -> tuple[int, int, int]:
    """Return how many were lost while away, while connected, and after the last that was received."""
    last = max(held, default=0)
    away = connected = tail = 0
    for number, sent_us in published:
        if number in held:
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
        one.ready_us is not None and one.ready_us <= at_us and (one.ended_us is None or at_us < one.ended_us)
        for one in connections
    )


def contradictions(log: Log, published: Published) -> list[str]:
    """Return what the two sides say differently about the same message, a sentence each."""
    times = dict(published)
    return [
        f"client {log.client} received message {one.number} as sent at {one.sent_us}; published at {times[one.number]}"
        for one in log.arrivals
        if one.number in times and one.sent_us != times[one.number]
    ]
