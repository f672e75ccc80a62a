"""Tests of services/runtime/access/neighbours.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.runtime.access.neighbours import Neighbours

ROUTES = """\
Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010012AC\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000012AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
eth1\t0000000A\t010012AC\t0003\t0\t0\t0\t000000FF\t0\t0\t0
ppp0\t00000000\t00000000\t0001\t0\t0\t0\t00000000\t0\t0\t0
"""
ROUTES_V6 = """\
fd001234000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0
fe800000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 fd001234000000000000000000000001 00000400 00000001 00000000 00000003     eth0
00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo
20010db8000000000000000000000000 20 00000000000000000000000000000000 00 fd001234000000000000000000000001 00000400 00000001 00000000 00000003     eth0
"""  # noqa: E501


@pytest.fixture
def neighbours(tmp_path: Path) -> Neighbours:
    """Return the neighbours of a container on 172.18.0.0/16 and fd00:1234::/64."""
    (tmp_path / "route").write_text(ROUTES)
    (tmp_path / "ipv6_route").write_text(ROUTES_V6)
    return Neighbours(tmp_path / "route", tmp_path / "ipv6_route")


@pytest.mark.parametrize("peer", ["172.18.0.1", "172.18.255.9", "127.0.0.1", "::1", "fd00:1234::7", "fe80::1"])
def test_includes_connected_networks(neighbours: Neighbours, peer: str) -> None:
    """Loopback and the networks without a gateway are neighbours."""
    assert neighbours.includes(peer)


@pytest.mark.parametrize(
    "peer", ["172.19.0.1", "192.0.2.7", "10.1.2.3", "8.8.8.8", "fd00:1235::7", "2001:db8::1", "2606:4700::1", "", "x"]
)
def test_excludes_what_is_behind_a_gateway(neighbours: Neighbours, peer: str) -> None:
    """Networks behind a gateway, the rest of the world, and texts that are no address are not."""
    assert not neighbours.includes(peer)


def test_a_network_that_comes_later_is_found(tmp_path: Path) -> None:
    """A container that is connected to a further network while it runs serves that one too."""
    (tmp_path / "route").write_text("")
    neighbours = Neighbours(tmp_path / "route", tmp_path / "nothing")

    assert not neighbours.includes("172.18.0.1")
    (tmp_path / "route").write_text(ROUTES)
    assert neighbours.includes("172.18.0.1")


def test_the_kernel_lists_its_own_networks() -> None:
    """The kernel's own list is readable, and loopback is a neighbour even without it."""
    assert Neighbours().includes("127.0.0.1")
