"""Counts the containers of the clients' service by asking the name server. Blocking I/O: call it in a thread.

In compose the service's name resolves to the addresses of all its containers. Of those, the addresses whose reverse
name belongs to another compose project on the same network are not counted.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Collection, Mapping
from pathlib import Path

from services.runtime import dns

RESOLV_CONF = Path("/etc/resolv.conf")
_ANSWER_BYTES = 65_000
"""Enough for the addresses of about two thousand containers."""


class ContainerCounter:
    """Counts the containers of one service.

    Args:
        service: name that compose gives to the clients' containers.
        project: of compose; empty takes it from the name of this container.
        answer_seconds: how long to wait for the addresses of the service.
        reverse_seconds: how long to wait for the names of all addresses; Docker's name server does not answer about a
            name that is too long for DNS.
        resolv_conf: file that names the name server.
        port: of the name server.
        own_address: this container's address on the clients' network; None asks the kernel.
    """

    def __init__(
        self,
        service: str,
        project: str = "",
        *,
        answer_seconds: float = 1.0,
        reverse_seconds: float = 0.5,
        resolv_conf: Path = RESOLV_CONF,
        port: int = dns.PORT,
        own_address: str | None = None,
    ) -> None:
        self._service, self._project, self._resolv_conf, self._port = service, project, resolv_conf, port
        self._answer_seconds, self._reverse_seconds = answer_seconds, reverse_seconds
        self._own_address = own_address

    def count(self) -> int | None:
        """Return the number of addresses of this project's clients; None if the name server does not answer."""
        server = dns.name_server(self._resolv_conf)
        if server is None:
            return None
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
                asking.connect((server, self._port))
                question = dns.question(0, self._service, dns.ADDRESS, answer_bytes=_ANSWER_BYTES)
                replies = _ask(asking, {0: question}, self._answer_seconds)
                if 0 not in replies:
                    return None
                addresses = dict.fromkeys(dns.answers(0, replies[0], dns.ADDRESS))
                own_address = self._own_address or _address_towards(addresses)
                own, *others = self._reverse_names(asking, [own_address, *addresses])
        except OSError:
            return None
        project = self._project or project_of(own)
        return len(addresses_of_project(project, dict(zip(addresses, others, strict=True)), self._service))

    def _reverse_names(self, asking: socket.socket, addresses: Collection[str]) -> list[str | None]:
        questions = {
            number: dns.question(number, dns.reverse(address), dns.POINTER)
            for number, address in enumerate(addresses, 1)
        }
        replies = _ask(asking, questions, self._reverse_seconds)
        return [
            next(iter(dns.answers(number, replies[number], dns.POINTER)), None) if number in replies else None
            for number in questions
        ]


def project_of(own: str | None) -> str:
    """Return the project of a container by its reverse name, such as ``shop-server-1.shop_wire``; empty if unknown."""
    # Compose joins project, service and number by hyphens; older versions used underscores.
    match = re.fullmatch(r"(.+)[-_][^-_]+[-_][0-9]+", _first_label(own))
    return "" if match is None else match[1]


def addresses_of_project(project: str, names: Mapping[str, str | None], service: str) -> Collection[str]:
    """Return the addresses that are not known to belong to another project. Pure.

    Args:
        project: of this container; empty if it is unknown.
        names: reverse name of each address; an address without one counts.
        service: name of the clients' service.
    """
    replica = re.compile(rf"(.+)[-_]{re.escape(service)}[-_][0-9]+", re.IGNORECASE)

    def is_of_project(name: str | None) -> bool:
        match = replica.fullmatch(_first_label(name))
        return not project or match is None or match[1].lower() == project.lower()

    return [address for address, name in names.items() if is_of_project(name)]


def _first_label(name: str | None) -> str:
    return (name or "").partition(".")[0]


def _address_towards(addresses: Collection[str]) -> str:
    """Return this container's address on the network of the others; connecting a UDP socket sends no packet."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as towards:
        towards.connect((next(iter(addresses), "127.0.0.1"), 9))
        return str(towards.getsockname()[0])


def _ask(asking: socket.socket, questions: Mapping[int, bytes], seconds: float) -> dict[int, bytes]:
    """Send all questions at once; return the replies that come within ``seconds``, by number."""
    until, replies = time.monotonic() + seconds, dict[int, bytes]()
    for question in questions.values():
        asking.send(question)
    while len(replies) < len(questions) and (left := until - time.monotonic()) > 0:
        asking.settimeout(left)
        try:
            message = asking.recv(0xFFFF)
        except TimeoutError:
            break
        # Replies may arrive out of order, or after the time of an earlier question.
        if (number := dns.number_of(message)) in questions:
            replies[number] = message
    return replies
