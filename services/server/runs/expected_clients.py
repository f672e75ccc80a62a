"""How many clients a run waits for when ``CLIENTS`` is not set: as many as the clients' containers make. Pure."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from services.runtime import dns

UNCHANGED_SECONDS = 1.0
"""For so long the number of containers must have been the same: those of one ``up`` are started one after the other."""
AT_MOST_SECONDS = 30.0
"""So long after the first subscription the run starts in any case; a client that is lacking then fails it."""
KNOWN_SECONDS = 5.0
"""So long an answer of the name server counts when later ones do not come."""


class ExpectedClients:
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


ASK_SECONDS = 1.0
"""How long the answer about the service may take …"""
REVERSE_SECONDS = 0.5
"""… and those about its addresses, all together. The name server is silent about a name that is too long for DNS."""

_RESOLV_CONF = Path("/etc/resolv.conf")
_PORT = dns.PORT
_ANSWER_BYTES = 65_000
"""Enough for the addresses of about two thousand containers."""


def count(service: str) -> int | None:
    """Return how many addresses of this project's clients a service has, None when no name server says.

    Blocks for up to `ASK_SECONDS` and `REVERSE_SECONDS`.

    Args:
        service: the name that compose gives to the clients' containers.
    """
    server = dns.name_server(_RESOLV_CONF)
    if server is None:
        return None
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
            asking.connect((server, _PORT))
            question = dns.question(0, service, dns.ADDRESS, answer_bytes=_ANSWER_BYTES)
            found = _asked(asking, {0: question}, ASK_SECONDS)
            if 0 not in found:
                return None
            addresses = dict.fromkeys(dns.answers(0, found[0], dns.ADDRESS))
            names = _names(asking, [_own_address(addresses), *addresses])
    except OSError:
        return None
    own, *others = names
    return len(of_this_project(own, dict(zip(addresses, others, strict=True)), service))


def of_this_project(own: str | None, names: Mapping[str, str | None], service: str) -> Collection[str]:
    """Return the addresses that are not known to be another project's.

    Args:
        own: the reverse name of this container, ``streamgauge-server-1.streamgauge_wire``; None when there is none.
        names: the reverse name of each address; one that has none counts.
        service: the name of the clients' service.
    """
    ours = re.fullmatch(r"(.+)[-_][^-_]+[-_][0-9]+", _label(own))
    replica = re.compile(rf"(.+)[-_]{re.escape(service)}[-_][0-9]+")

    def is_ours(name: str | None) -> bool:
        theirs = replica.fullmatch(_label(name))
        return ours is None or theirs is None or theirs[1] == ours[1]

    return [address for address, name in names.items() if is_ours(name)]


def _label(name: str | None) -> str:
    return (name or "").partition(".")[0]


def _own_address(addresses: Collection[str]) -> str:
    """Return this container's address on the network of the others; no packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as towards:
        towards.connect((next(iter(addresses), "127.0.0.1"), 9))
        return str(towards.getsockname()[0])


def _names(asking: socket.socket, addresses: Collection[str]) -> list[str | None]:
    questions = {
        number: dns.question(number, dns.reverse(address), dns.POINTER) for number, address in enumerate(addresses, 1)
    }
    found = _asked(asking, questions, REVERSE_SECONDS)
    return [
        next(iter(dns.answers(number, found[number], dns.POINTER)), None) if number in found else None
        for number in questions
    ]


def _asked(asking: socket.socket, questions: Mapping[int, bytes], seconds: float) -> dict[int, bytes]:
    """Ask all questions at once; return the answers that came in time, by number."""
    until, found = time.monotonic() + seconds, dict[int, bytes]()
    for question in questions.values():
        asking.send(question)
    while len(found) < len(questions) and (left := until - time.monotonic()) > 0:
        asking.settimeout(left)
        try:
            message = asking.recv(0xFFFF)
        except TimeoutError:
            break
        if (number := dns.number_of(message)) in questions:
            found[number] = message
    return found
