"""The conditions in which a feed is judged, and what a summary has to report in each."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import NamedTuple

from chaos.external.servers import FeedSize

SIZE = FeedSize(2, 150, 100)
"""Two clients, and a hundred and fifty records in a second and a half."""
_LONG_SECONDS, _START_SECONDS, _SLOW_RATE = 30, 5, 4
FAULTS_OF_EACH_KIND = 4
"""Number of drops, duplicates and swaps."""
_UNAUTHORIZED = (
    b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 13\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
    b"no such token"
)


class Faults(NamedTuple):
    """Number of messages with each fault; None where the feed cannot show it."""

    missing: int | None = 0
    duplicates: int | None = 0
    reordered: int | None = 0


@dataclass(frozen=True)
class Condition:
    """One condition.

    Attributes:
        name: as in the table.
        verdict: which one is right.
        headline: words that the headline has to contain.
        check: the check that has to fail; none if all have to pass.
        faults: number of drops, duplicates and swaps in the feed of one client.
        stop: the signal that the server gets half way, if any; after SIGKILL the port is closed.
        refusal: the answer to every handshake, if any.
        is_refused: whether nothing listens at the port.
        seconds: how long the run lasts.
        quiet_seconds: how long at least it has to last after the fault of the server, which shows only then.
    """

    name: str
    verdict: str
    headline: str = ""
    check: str = ""
    faults: tuple[int, int, int] = (0, 0, 0)
    stop: signal.Signals | None = None
    refusal: bytes = b""
    is_refused: bool = False
    seconds: float = 5.0
    quiet_seconds: float = 0.0

    @property
    def size(self) -> FeedSize:
        """Return the feed that is sent: a hundred records a second, or a few throughout a long run."""
        if self.seconds < _LONG_SECONDS:
            return SIZE
        return FeedSize(SIZE.clients, int((self.seconds - _START_SECONDS) * _SLOW_RATE), _SLOW_RATE)

    @property
    def needs_server(self) -> bool:
        """Return whether the clients reach a server."""
        return not (self.refusal or self.is_refused)


_K = FAULTS_OF_EACH_KIND
HEALTHY = Condition("healthy", "PASS")
ALL_FAULTS = Condition("all faults", "FAIL", faults=(_K, _K, _K))


def long(seconds: float) -> Condition:
    """Return a healthy run of this length, in which a server hangs up on a client that keeps too quiet."""
    return Condition(f"{seconds:g} s", "PASS", seconds=seconds)


CONDITIONS = (
    HEALTHY,
    Condition("drops", "FAIL", check="complete", faults=(_K, 0, 0)),
    Condition("duplicates", "FAIL", check="once", faults=(0, _K, 0)),
    Condition("swaps", "FAIL", check="in order", faults=(0, 0, _K)),
    Condition("killed", "FAIL", "connected", "connected", stop=signal.SIGKILL, quiet_seconds=1.0),
    # Without FEED_SILENCE 5 s without a record are always permitted.
    Condition("silent", "INVALID", "no record", "receiving", stop=signal.SIGSTOP, seconds=10.0, quiet_seconds=6.0),
    Condition("refused", "INVALID", "connection refused", is_refused=True, seconds=4.0),
    Condition("401", "INVALID", "HTTP 401", refusal=_UNAUTHORIZED, seconds=4.0),
)
