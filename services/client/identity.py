"""Names the clients of this process: from ``CLIENT_ID``, the container's reverse DNS name, or the host name.

Replicas of one compose service share one environment, so a name must come from the network: a container's address
resolves back to ``<project>-<service>-<number>``, which stays the same when the container is made again.
"""

from __future__ import annotations

import re
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from services.contract.scalars import is_name
from services.runtime import dns


class Identity(NamedTuple):
    """One client's name, its source, and its block size in messages."""

    name: str
    source: str
    block_size: int


def identities(base: str, source: str, connections: int, block_sizes: tuple[int, ...]) -> list[Identity]:
    """Return the clients that one process runs.

    The trailing number of the name selects the block size, cyclically. With several connections the names are
    ``client-2.1``, ``client-2.2`` …, and the numbers continue over all processes.
    """
    trailing = re.search(r"([0-9]{1,9})$", base)
    number = max(int(trailing[1]), 1) if trailing else 1
    if connections == 1:
        return [Identity(base, source, block_sizes[(number - 1) % len(block_sizes)])]
    first = (number - 1) * connections
    return [
        Identity(f"{base}.{k + 1}", source, block_sizes[(first + k) % len(block_sizes)]) for k in range(connections)
    ]


def base_name(client_id: str, hostname: str, reverse_name: str | None) -> tuple[str, str]:
    """Return the process's name and its source.

    Args:
        client_id: the setting; empty when not set.
        hostname: host name, in a container its id.
        reverse_name: name that the container's address resolves back to, such as
            ``streamgauge-client-2.streamgauge_wire``; None without one.
    """
    if client_id:
        return client_id, "CLIENT_ID"
    if reverse_name and "." in reverse_name:
        label, _, network = reverse_name.partition(".")
        project = network.rpartition("_")[0]
        name = label.removeprefix(f"{project}-").lower()
        if name != label and re.search(r"[0-9]$", name) and is_name(name):
            return name, "reverse DNS"
    # Names have at most 63 characters; the rest is room for the number of a connection and for a suggested suffix.
    name = re.sub(r"[^a-z0-9._~-]", "-", hostname.lower())[:50]
    return (name if is_name(name) else f"client-{name}"), "hostname"


def _own_address() -> str:
    return socket.gethostbyname(socket.gethostname())


@dataclass(frozen=True)
class ReverseLookup:
    """Asks the name server for the name of this host's own address.

    The C library would answer from ``/etc/hosts``, where a container's address maps to its own id. Only the name server
    of ``resolv.conf`` knows the name in the network, ``streamgauge-client-2.streamgauge_wire``, so it is asked itself.

    Attributes:
        resolv_conf: names the name server.
        port: of the name server.
        docker: address of Docker's name server, which knows the containers of a network.
        docker_seconds: how long Docker's name server is asked. A container that took another name would count as
            another client, with another log; and when many containers start on a busy machine, their names are
            known seconds after they run.
        other_seconds: how long another name server is asked that does not answer.
        timeout_seconds: time limit for one answer.
        retry_seconds: pause after an answer without a name.
        own_address: returns this host's IPv4 address.
    """

    resolv_conf: Path = Path("/etc/resolv.conf")
    port: int = dns.PORT
    docker: str = dns.DOCKER
    docker_seconds: float = 20.0
    other_seconds: float = 3.0
    timeout_seconds: float = 1.0
    retry_seconds: float = 0.2
    own_address: Callable[[], str] = _own_address

    def name(self) -> str | None:
        """Return the name that this host's address resolves back to, None without one. Blocks for `docker_seconds`."""
        server = dns.name_server(self.resolv_conf)
        if server is None:
            return None
        is_docker = server == self.docker
        deadline = time.monotonic() + (self.docker_seconds if is_docker else self.other_seconds)
        while time.monotonic() < deadline:
            try:
                name = self._ask(server)
            except TimeoutError:
                continue
            except OSError:
                # A container may run before its name server listens, or before its own address is known.
                name = None
            if name is not None or not is_docker:
                return name
            time.sleep(self.retry_seconds)
        return None

    def _ask(self, server: str) -> str | None:
        # The address is looked up each time: a restarted container may have another address than before.
        address, number = self.own_address(), secrets.randbelow(65_536)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
            connection.settimeout(self.timeout_seconds)
            connection.connect((server, self.port))
            connection.send(dns.question(number, dns.reverse(address), dns.POINTER))
            return next(iter(dns.answers(number, connection.recv(4096), dns.POINTER)), None)
