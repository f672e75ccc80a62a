"""Questions and answers of DNS (RFC 1035), as far as a container needs them to learn which others are on its network.

The C library would answer from ``/etc/hosts`` first, where a container finds only its own id, and would wait for a
silent name server for longer than a service may.
"""

from __future__ import annotations

import struct
from pathlib import Path

ADDRESS, POINTER = 1, 12
"""The kinds of record: a name's IPv4 address, and the name of an address."""
PORT = 53
DOCKER = "127.0.0.11"
"""The name server in every container of a network of the user's own. It knows all of them."""

_INTERNET = 1
_OPTIONS = 41


def name_server(path: Path) -> str | None:
    """Return the first IPv4 name server of a ``resolv.conf``."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    servers = [line.split()[1] for line in lines if line.startswith("nameserver") and len(line.split()) > 1]
    return next((server for server in servers if "." in server), None)


def reverse(address: str) -> str:
    """Return the name under which the pointer of an IPv4 address is kept."""
    return ".".join([*reversed(address.split(".")), "in-addr", "arpa"])


def question(number: int, name: str, kind: int, *, answer_bytes: int = 0) -> bytes:
    """Return the message that asks for the records of one kind of a name.

    Args:
        number: by which the answer is known, of 16 bits.
        name: labels of ASCII, separated by dots.
        kind: `ADDRESS` or `POINTER`.
        answer_bytes: how long the answer may be (RFC 6891); 0 leaves it at 512.
    """
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"
    # The root's name, the kind, the size in the place of the class, no flags, no data.
    options = struct.pack("!B2HIH", 0, _OPTIONS, answer_bytes, 0, 0) if answer_bytes else b""
    head = struct.pack("!6H", number, 0x0100, 1, 0, 0, 1 if options else 0)
    return head + labels + struct.pack("!2H", kind, _INTERNET) + options


def number_of(message: bytes) -> int:
    """Return by which number an answer is known, -1 when it is too short to have one."""
    return int.from_bytes(message[:2]) if len(message) >= 2 else -1


def answers(number: int, message: bytes, kind: int) -> list[str]:
    """Return the names or addresses in an answer, none when it holds no such record or answers something else."""
    found: list[str] = []
    try:
        said, _, questions, records, _, _ = struct.unpack_from("!6H", message)
        if said != number or not records or questions != 1:
            return []
        _, at = _name(message, 12)
        at += 4
        for _ in range(records):
            _, at = _name(message, at)
            found_kind, _, _, length = struct.unpack_from("!2HIH", message, at)
            at += 10
            if found_kind == kind == POINTER:
                found.append(_name(message, at)[0])
            elif found_kind == kind == ADDRESS and length == 4 and at + 4 <= len(message):
                found.append(".".join(map(str, message[at : at + 4])))
            at += length
    except (struct.error, IndexError, UnicodeDecodeError):
        # What stands before the damage is good.
        pass
    return found


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
