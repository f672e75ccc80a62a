"""Finds the name of this process: from ``CLIENT_ID``, from its container's name, or as a number that no other one has.

The name has to be the same when the container is made again. Only the name server of the container's network knows
the container's name; where that cannot be asked, as in the host's network or with a name that is too long for DNS, the
clients that share a folder of logs divide the numbers among them.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from services.client.naming.identity import guessed_name, is_too_long, name_of_text, replica_name
from services.runtime import dns

CLAIMS = ".client-numbers"
"""File in the folder of the logs; a process that has number n holds a lock on its byte n."""
_MAX_NUMBER = 10_000


class FoundName(NamedTuple):
    """A name for this process.

    Attributes:
        name: the name.
        source: where it is from, for the log.
        doubt: why another process may have the same name, or this one another name after a restart; empty without.
    """

    name: str
    source: str
    doubt: str = ""


def _own_address() -> str:
    return socket.gethostbyname(socket.gethostname())


@dataclass(frozen=True)
class NetworkNames:
    """Asks the name server for the names of this host's own address.

    The C library would answer from ``/etc/hosts``, where a container's address maps to its own id. Only the name server
    of ``resolv.conf`` knows the name in the network, ``streamgauge-client-2.streamgauge_wire``, so it is asked itself.

    Attributes:
        resolv_conf: names the name server.
        port: of the name server.
        engine_seconds: how long the name server of a container engine is asked. A container that took another name
            would count as another client, with another log; and when many containers start on a busy machine, their
            names are known seconds after they run. Podman's name server does not answer while it learns of another one.
        other_seconds: how long another name server is asked that does not answer.
        timeout_seconds: time limit for one answer.
        retry_seconds: pause after an answer without a name.
        own_address: returns this host's IPv4 address.
    """

    resolv_conf: Path = Path("/etc/resolv.conf")
    port: int = dns.PORT
    engine_seconds: float = 20.0
    other_seconds: float = 3.0
    timeout_seconds: float = 1.0
    retry_seconds: float = 0.2
    own_address: Callable[[], str] = _own_address

    def own(self) -> list[str]:
        """Return the names that this host's address resolves back to. Blocks for up to `engine_seconds`."""
        server = dns.name_server(self.resolv_conf)
        if server is None:
            return []
        is_engine = dns.knows_containers(self.resolv_conf)
        deadline = time.monotonic() + (self.engine_seconds if is_engine else self.other_seconds)
        while time.monotonic() < deadline:
            try:
                # The address is looked up each time: a restarted container may have another address than before.
                names = self._ask(server, dns.reverse(self.own_address()), dns.POINTER)
            except TimeoutError:
                continue
            except OSError:
                # A container may run before its name server listens, or before its own address is known.
                names = []
            if names or not is_engine:
                return names
            time.sleep(self.retry_seconds)
        return []

    def has(self, service: str) -> bool:
        """Return whether this host has an address of the service."""
        server = dns.name_server(self.resolv_conf)
        try:
            return server is not None and self.own_address() in self._ask(server, service, dns.ADDRESS)
        except OSError:
            return False

    def _ask(self, server: str, name: str, kind: int) -> list[str]:
        number = secrets.randbelow(65_536)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
            connection.settimeout(self.timeout_seconds)
            connection.connect((server, self.port))
            connection.send(dns.question(number, name, kind))
            return dns.answers(number, connection.recv(4096), kind)


def claim_number(folder: Path) -> int:
    """Return the lowest number that no other live process has in this folder; this process has it until it ends.

    Raises:
        OSError: the folder has no locks, or cannot be written to.
    """
    # Never closed: the end of the process releases the lock, however it ends.
    descriptor = os.open(folder / CLAIMS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o664)
    for number in range(1, _MAX_NUMBER):
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EAGAIN):
                raise
        else:
            return number
    raise OSError(errno.ENOLCK, f"all {_MAX_NUMBER - 1} numbers are in use")


def find_name(
    client_id: str, project: str, service: str, logs: Path, *, hostname: str, network: NetworkNames | None = None
) -> FoundName:
    """Return the name of this process. May block for seconds.

    Args:
        client_id: the setting; empty when not set.
        project: of compose; empty elsewhere.
        service: of the clients in compose; empty elsewhere.
        logs: the folder of the logs, which all clients share.
        hostname: host name, in a container its id.
        network: to ask for the container's name.
    """
    network = network or NetworkNames()
    if client_id:
        return FoundName(client_id, "CLIENT_ID")
    if not project or not service:
        guesses = map(guessed_name, network.own())
        name = next((guess for guess in guesses if guess is not None), None)
        return FoundName(name_of_text(hostname), "hostname") if name is None else FoundName(name, "reverse DNS")
    if is_too_long(project, service):
        return _claimed(service, logs, hostname, f"project {project} is too long for names of containers in DNS")
    names = network.own()
    if not names:
        return _claimed(service, logs, hostname, "the name server knows no name of this container")
    name, source = replica_name(names, project), "reverse DNS"
    if name is None and network.has(service):
        # A container with a `container_name` is the only one of its service.
        name, source = f"{service}-1", "service"
    return FoundName(name or name_of_text(names[0].partition(".")[0]), source if name else "container")


def _claimed(service: str, logs: Path, hostname: str, why: str) -> FoundName:
    try:
        return FoundName(f"{name_of_text(service)}-{claim_number(logs)}", "free number")
    except OSError as error:
        doubt = f"{why}, and {logs} has no locks: {error.strerror}; set CLIENT_ID, one service for each client"
        return FoundName(name_of_text(hostname), "hostname", doubt)
