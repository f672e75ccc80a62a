"""The networks that this machine or container is directly connected to, by the kernel's routes.

A port of a container that is published on the host gets connections with the addresses of other machines; a port that
only other containers reach does not.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable
from pathlib import Path

ROUTES, ROUTES_V6 = Path("/proc/net/route"), Path("/proc/net/ipv6_route")

_ON_LINK = "0" * 32
_REJECT_FLAG = 0x0200

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Neighbours:
    """Tells whether an address is of this host or of a network that it is directly connected to.

    Args:
        routes: the kernel's IPv4 routes.
        routes_v6: its IPv6 routes.
    """

    def __init__(self, routes: Path = ROUTES, routes_v6: Path = ROUTES_V6) -> None:
        self._routes, self._routes_v6 = routes, routes_v6
        self._networks: tuple[Network, ...] = ()

    def includes(self, peer: str) -> bool:
        """Return whether a peer's address is such; False if it is no address, or the kernel has no list of routes."""
        try:
            address = ipaddress.ip_address(peer)
        except ValueError:
            return False
        if address.is_loopback or any(address in network for network in self._networks):
            return True
        # A container can be connected to further networks while it runs.
        self._networks = (*_networks(_lines(self._routes)), *_networks_v6(_lines(self._routes_v6)))
        return any(address in network for network in self._networks)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return []


def _networks(lines: Iterable[str]) -> Iterable[Network]:
    """Yield the networks of routes without a gateway; a default route is not one of them."""
    for line in lines:
        fields = line.split()
        if len(fields) < 8 or fields[0] == "Iface":
            continue
        destination, gateway, mask = (_swapped(fields[index]) for index in (1, 2, 7))
        if gateway == 0 and mask != 0 and not int(fields[3], 16) & _REJECT_FLAG:
            yield ipaddress.IPv4Network((destination, str(ipaddress.IPv4Address(mask))), strict=False)


def _swapped(digits: str) -> int:
    """Return a number that the kernel prints in the byte order of the machine, as if it were a whole one."""
    value: int = struct.unpack("!I", struct.pack("=I", int(digits, 16)))[0]
    return value


def _networks_v6(lines: Iterable[str]) -> Iterable[Network]:
    for line in lines:
        fields = line.split()
        if len(fields) < 10:
            continue
        prefix, flags = int(fields[1], 16), int(fields[8], 16)
        if fields[4] == _ON_LINK and prefix and not flags & _REJECT_FLAG:
            yield ipaddress.IPv6Network((int(fields[0], 16), prefix), strict=False)
