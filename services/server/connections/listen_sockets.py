"""The sockets on which the server listens.

They are bound before anything is written, so that a start that fails because of its address changes nothing.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Iterator, Sequence
from ipaddress import ip_address

from services.runtime.errors import BadSettings, PortInUse
from services.runtime.setting_tables.parsers import ALL_INTERFACES

BACKLOG = 1024
"""Connections that wait to be accepted. When all clients connect at once, as after a restart of the server, a client
beyond this number tries again a second later."""


@contextlib.contextmanager
def bind_sockets(hosts: Sequence[str], port: int, *, is_shared: bool = False) -> Iterator[list[socket.socket]]:
    """Bind a socket for each address; close them at the end. Connections are refused until `listen` is called.

    Args:
        hosts: IPv4 or IPv6 addresses; `ALL_INTERFACES` stands for 0.0.0.0, and for :: if the machine has IPv6.
        port: the same for all addresses.
        is_shared: other processes of this user listen on the port too; the kernel divides the connections among them.

    Raises:
        PortInUse: another process listens on the port, and does not share it.
        BadSettings: this machine does not have an address, or this user may not bind the port.
    """
    with contextlib.ExitStack() as opened:
        sockets: list[socket.socket] = []
        for host in hosts:
            if host == ALL_INTERFACES:
                sockets.append(opened.enter_context(_bind("0.0.0.0", port, is_shared=is_shared)))
                with contextlib.suppress(_NoSuchAddress):
                    sockets.append(opened.enter_context(_bind("::", port, is_shared=is_shared)))
                continue
            try:
                sockets.append(opened.enter_context(_bind(host, port, is_shared=is_shared)))
            except _NoSuchAddress as problem:
                raise BadSettings([f"HOST={host!r}: this machine has no such address ({problem})"]) from problem
        yield sockets


def listen(sockets: Sequence[socket.socket], port: int) -> None:
    """Let the kernel accept connections; they wait in the backlog until the server accepts them.

    Raises:
        PortInUse: another process had bound the port too, and listened first.
    """
    for bound in sockets:
        try:
            bound.listen(BACKLOG)
        except OSError as problem:
            raise _operator_error(problem, port) from problem


class _NoSuchAddress(Exception):
    pass


def _bind(host: str, port: int, *, is_shared: bool) -> socket.socket:
    is_v6 = ip_address(host).version == 6
    try:
        family = socket.AF_INET6 if is_v6 else socket.AF_INET
        # asyncio sets TCP_NODELAY only on sockets whose protocol is given; without it small frames wait in the kernel.
        bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    except OSError as problem:
        raise _NoSuchAddress(_reason(problem)) from problem
    try:
        # Connections of a server that has just ended then do not block the port; a process that listens still does.
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if is_shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if is_v6:
            # Otherwise :: would also claim the port on IPv4, which this server binds by a socket of its own.
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.setblocking(False)
        bound.bind(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)[0][4])
    except OSError as problem:
        bound.close()
        if problem.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            raise _NoSuchAddress(_reason(problem)) from problem
        raise _operator_error(problem, port) from problem
    return bound


def _operator_error(problem: OSError, port: int) -> Exception:
    if problem.errno == errno.EADDRINUSE:
        return PortInUse("PORT", port)
    return BadSettings([f"PORT={port}: cannot listen there: {_reason(problem)}"])


def _reason(problem: OSError) -> str:
    return os.strerror(problem.errno).lower() if problem.errno and problem.errno > 0 else str(problem)
