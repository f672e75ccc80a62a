"""What a container's own address resolves back to, asked of the name server itself.

The C library would answer from ``/etc/hosts``, where a container finds only its own id; Docker's name server knows
``<project>-<service>-<number>``. One question and one answer of DNS (RFC 1035) are all that is needed.
"""

from __future__ import annotations

import secrets
import socket
import time
from pathlib import Path

from services.runtime import dns
from services.runtime.dns import DOCKER, name_server

_PORT = dns.PORT

INSIST_SECONDS = 20.0
"""How long Docker's name server is asked. A container that took another name would be a client of its own, with a log
of its own; and when many containers start on a busy machine, their names are known seconds after they run."""

ASK_SECONDS = 3.0
"""How long another one is asked, when it is silent."""

_AGAIN_SECONDS = 0.2


def pointer_name(timeout_seconds: float = 1.0) -> str | None:
    """Return the name that this host's own address resolves back to, None when nothing does."""
    server = name_server(Path("/etc/resolv.conf"))
    if server is None:
        return None
    insist = server == DOCKER
    until = time.monotonic() + (INSIST_SECONDS if insist else ASK_SECONDS)
    while time.monotonic() < until:
        try:
            name = _ask(server, timeout_seconds)
        except TimeoutError:
            continue
        except OSError:
            # A container may run before its name server listens, or before its own address is known.
            name = None
        if name is not None or not insist:
            return name
        time.sleep(_AGAIN_SECONDS)
    return None


def _ask(server: str, timeout_seconds: float) -> str | None:
    # The address is looked up each time: a container that was started again may have another one than before.
    address, number = socket.gethostbyname(socket.gethostname()), secrets.randbelow(65_536)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(timeout_seconds)
        asking.connect((server, _PORT))
        asking.send(question(number, address))
        return answer(number, asking.recv(4096))


def question(number: int, address: str) -> bytes:
    """Return the DNS message that asks for an IPv4 address's pointer record."""
    return dns.question(number, dns.reverse(address), dns.POINTER)


def answer(number: int, message: bytes) -> str | None:
    """Return the name in a DNS answer, None when it has none or answers something else."""
    return next(iter(dns.answers(number, message, dns.POINTER)), None)
