"""Checks the ``Host`` of an opening request. Pure.

A page in a browser can have its own name resolved to this machine (DNS rebinding), and then read plain responses as if
they were of its own origin. It can do so only with a name of the public DNS; the name is in ``Host``.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from http import HTTPStatus
from typing import NamedTuple

_PRIVATE_SUFFIXES = (".localhost", ".local", ".internal", ".svc", ".lan", ".home.arpa", ".test")
"""Ends of names that the public DNS does not have. Kubernetes has services below ``.svc.cluster.local``."""


class RefusedRequest(NamedTuple):
    """The answer to a request that is refused."""

    status: HTTPStatus
    text: str


def host_problem(hosts: Collection[str], *, is_plain: bool, own_name: str = "") -> RefusedRequest | None:
    """Return why a request is refused for its ``Host``; None if it is accepted.

    Args:
        hosts: the values of ``Host``: RFC 9112, section 3.2, demands one.
        is_plain: whether it asks for a page. An upgrade is not checked further: a browser adds ``Origin`` to it, which
            is refused, and a proxy in front of the server passes its own name on.
        own_name: of this machine.
    """
    if len(hosts) != 1:
        return RefusedRequest(HTTPStatus.BAD_REQUEST, f"a request needs one Host, not {len(hosts)}\n")
    (host,) = hosts
    if is_plain and not _is_private(_without_port(host).lower(), own_name.lower()):
        text = "the Host of a plain request must be an address, or a name that the public DNS does not have\n"
        return RefusedRequest(HTTPStatus.MISDIRECTED_REQUEST, text)
    return None


def _is_private(name: str, own_name: str) -> bool:
    if name and name == own_name:
        return True
    try:
        return bool(ipaddress.ip_address(name.removeprefix("[").removesuffix("]")))
    except ValueError:
        return bool(name) and ("." not in name or name.endswith(_PRIVATE_SUFFIXES))


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and port.isdecimal() else host
