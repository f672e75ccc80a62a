"""The sockets on which the server listens, bound before anything is written: a refused start changes nothing."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Iterator, Sequence
from ipaddress import ip_address

from services.runtime.errors import BadSettings, PortInUse
from services.runtime.settings import ALL_INTERFACES

BACKLOG = 1024
"""When all come at once, as after a restart, a client that finds no place here asks again a second later."""


@contextlib.contextmanager
def bound(hosts: Sequence[str], port: int) -> Iterator[list[socket.socket]]:
    """Bind a socket for each address, and close them in the end. Connections are refused until `listen`.

    Args:
        hosts: addresses, IPv4 or IPv6; `ALL_INTERFACES` is 0.0.0.0, and :: where there is IPv6.
        port: of all of them.

    Raises:
        PortInUse: another process listens there.
        BadSettings: an address that this machine does not have, or a port that this user may not bind.
    """
    with contextlib.ExitStack() as opened:
        sockets: list[socket.socket] = []
        for host in hosts:
            if host == ALL_INTERFACES:
                sockets.append(opened.enter_context(_bound("0.0.0.0", port)))
                with contextlib.suppress(_NoSuchAddress):
                    sockets.append(opened.enter_context(_bound("::", port)))
                continue
            try:
                sockets.append(opened.enter_context(_bound(host, port)))
            except _NoSuchAddress as problem:
                raise BadSettings([f"HOST={host!r}: this machine has no such address ({problem})"]) from problem
        yield sockets


def listen(sockets: Sequence[socket.socket], port: int) -> None:
    """Let connections come; they wait until they are accepted.

    Raises:
        PortInUse: another process that had bound the port too was first.
    """
    for each in sockets:
        try:
            each.listen(BACKLOG)
        except OSError as problem:
            raise _explained(problem, port) from problem


class _NoSuchAddress(Exception):
    pass


def _bound(host: str, port: int) -> socket.socket:
    is_v6 = ip_address(host).version == 6
    try:
        family = socket.AF_INET6 if is_v6 else socket.AF_INET
        # Only of sockets that name their protocol asyncio knows that small frames must not wait (TCP_NODELAY).
        made = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except OSError as problem:
        raise _NoSuchAddress(_text(problem)) from problem
    try:
        # Connections of a server that has just ended do not hold the port; one that listens does.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_v6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.setblocking(False)
        made.bind(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)[0][4])
    except OSError as problem:
        made.close()
        if problem.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            raise _NoSuchAddress(_text(problem)) from problem
        raise _explained(problem, port) from problem
    return made


def _explained(problem: OSError, port: int) -> Exception:
    if problem.errno == errno.EADDRINUSE:
        return PortInUse("PORT", port)
    return BadSettings([f"PORT={port}: cannot listen there: {_text(problem)}"])


def _text(problem: OSError) -> str:
    return os.strerror(problem.errno).lower() if problem.errno and problem.errno > 0 else str(problem)
