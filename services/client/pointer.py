"""What a container's own address resolves back to, asked of the name server itself.

The C library would answer from ``/etc/hosts``, where a container finds only its own id; Docker's name server knows
``<project>-<service>-<number>``. One question and one answer of DNS (RFC 1035) are all that is needed.
"""

from __future__ import annotations

import secrets
import socket
import struct
import time
from pathlib import Path

_POINTER, _INTERNET = 12, 1
_PORT = 53


DOCKER = "127.0.0.11"
"""The name server in every container of a network of the user's own. It knows all of them."""

INSIST_SECONDS = 30.0
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


def name_server(path: Path) -> str | None:
    """Return the first IPv4 name server of a ``resolv.conf``."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    servers = [line.split()[1] for line in lines if line.startswith("nameserver") and len(line.split()) > 1]
    return next((server for server in servers if "." in server), None)


def question(number: int, address: str) -> bytes:
    """Return the DNS message that asks for an IPv4 address's pointer record."""
    labels = [*reversed(address.split(".")), "in-addr", "arpa"]
    name = b"".join(bytes([len(label)]) + label.encode() for label in labels) + b"\0"
    return struct.pack("!6H", number, 0x0100, 1, 0, 0, 0) + name + struct.pack("!2H", _POINTER, _INTERNET)


def answer(number: int, message: bytes) -> str | None:
    """Return the name in a DNS answer, None when it has none or answers something else."""
    try:
        said, _, _, answers, _, _ = struct.unpack_from("!6H", message)
        if said != number or not answers:
            return None
        _, at = _name(message, 12)
        at += 4
        for _ in range(answers):
            _, at = _name(message, at)
            kind, _, _, length = struct.unpack_from("!2HIH", message, at)
            if kind == _POINTER:
                return _name(message, at + 10)[0]
            at += 10 + length
    except (struct.error, IndexError, UnicodeDecodeError):
        pass
    return None


def _name(message: bytes, at: int) -> tuple[str, int]:
    labels: list[str] = []
    end = 0
    # Names may point back into the message; a bound on the jumps keeps a hostile one finite.
    for _ in range(64):
        length = message[at]
        if length >= 0xC0:
            end = end or at + 2
            at = ((length & 0x3F) << 8) | message[at + 1]
        elif length:
            labels.append(message[at + 1 : at + 1 + length].decode("ascii"))
            at += 1 + length
        else:
            return ".".join(labels), end or at + 1
    raise IndexError("a name without end")
