"""Queries and answers of DNS (RFC 1035): the part that a container needs to find the others on its network.

The C library is no alternative: it answers from ``/etc/hosts`` first, where a container has only its own id, and waits
for a silent name server longer than a service can.
"""

from __future__ import annotations

import struct
from pathlib import Path

ADDRESS, POINTER = 1, 12
"""Types of records: A (the IPv4 address of a name) and PTR (the name of an address)."""
PORT = 53
DOCKER = "127.0.0.11"
"""Docker's name server in the containers of a user-defined network; it knows all containers of that network."""
PODMAN = "dns.podman"
"""The domain that Podman lets containers of a user-defined network search; its name server is the network's gateway."""

_INTERNET = 1
_OPTIONS = 41


def name_server(path: Path) -> str | None:
    """Return the first IPv4 name server of a ``resolv.conf``."""
    return next((server for server in _values(path, "nameserver") if "." in server), None)


def knows_containers(path: Path) -> bool:
    """Return whether the name server of a ``resolv.conf`` is Docker's or Podman's."""
    return name_server(path) == DOCKER or PODMAN in _values(path, "search")


def _values(path: Path, option: str) -> list[str]:
    try:
        lines = [line.split() for line in path.read_text(encoding="utf-8").splitlines()]
    except OSError:
        return []
    return [value for name, *values in filter(None, lines) if name == option for value in values]


def reverse(address: str) -> str:
    """Return the name of the PTR record of an IPv4 address."""
    return ".".join([*reversed(address.split(".")), "in-addr", "arpa"])


def question(number: int, name: str, kind: int, *, answer_bytes: int = 0) -> bytes:
    """Return the query for the records of one type of a name.

    Args:
        number: identifies the answer; 16 bits.
        name: ASCII labels, separated by dots.
        kind: `ADDRESS` or `POINTER`.
        answer_bytes: longest answer to accept (RFC 6891); 0 for the default of 512.
    """
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
    # An OPT record: name of the root, type, size in the place of the class, no flags, no data.
    options = struct.pack("!B2HIH", 0, _OPTIONS, answer_bytes, 0, 0) if answer_bytes else b""
    # 0x0100: the name server is to ask others if it does not know the answer.
    head = struct.pack("!6H", number, 0x0100, 1, 0, 0, 1 if options else 0)
    return head + labels + struct.pack("!2H", kind, _INTERNET) + options


def number_of(message: bytes) -> int:
    """Return the number of an answer; -1 if the message is too short to have one."""
    return int.from_bytes(message[:2]) if len(message) >= 2 else -1


def answers(number: int, message: bytes, kind: int) -> list[str]:
    """Return the names or addresses in an answer; none if it has no record of this type or another number."""
    values: list[str] = []
    try:
        identity, _, questions, records, _, _ = struct.unpack_from("!6H", message)
        if identity != number or not records or questions != 1:
            return []
        # Behind the header of 12 bytes the question is repeated: name, type and class.
        _, at = _name(message, 12)
        at += 4
        for _ in range(records):
            _, at = _name(message, at)
            record_kind, _, _, length = struct.unpack_from("!2HIH", message, at)
            at += 10
            if record_kind == kind == POINTER:
                values.append(_name(message, at)[0])
            elif record_kind == kind == ADDRESS and length == 4 and at + 4 <= len(message):
                values.append(".".join(map(str, message[at : at + 4])))
            at += length
    except (struct.error, IndexError, UnicodeDecodeError):
        # The message is malformed from here on; the records before are valid.
        pass
    return values


def _name(message: bytes, at: int) -> tuple[str, int]:
    labels: list[str] = []
    end = 0
    # Names may refer to earlier parts of the message; the bound ends a malicious loop.
    for _ in range(64):
        length = message[at]
        # Two high bits mark a pointer to an earlier name (RFC 1035, 4.1.4).
        if length >= 0xC0:
            end = end or at + 2
            at = ((length & 0x3F) << 8) | message[at + 1]
        elif length:
            labels.append(message[at + 1 : at + 1 + length].decode("ascii"))
            at += 1 + length
        else:
            return ".".join(labels), end or at + 1
    raise IndexError("a name that never ends")
