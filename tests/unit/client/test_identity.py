"""Tests of who a client is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.client.identity import base_name, identities
from services.contract.scalars import is_name

SIZES = (10, 25, 50)


@pytest.mark.parametrize(
    ("client_id", "hostname", "pointer", "expected"),
    [
        ("mine", "3f2a9c", "streamgauge-client-2.streamgauge_wire", ("mine", "CLIENT_ID")),
        ("", "3f2a9c", "streamgauge-client-2.streamgauge_wire", ("client-2", "reverse DNS")),
        ("", "3f2a9c", "my-app-client-12.my-app_wire", ("client-12", "reverse DNS")),
        ("", "3f2a9c", "Proj-Client-3.Proj_wire", ("client-3", "reverse DNS")),
        ("", "3f2a9c", "my_app-client-3.my_app_wire", ("client-3", "reverse DNS")),
        ("", "3f2a9c", None, ("3f2a9c", "hostname")),
        ("", "3f2a9c", "", ("3f2a9c", "hostname")),
        ("", "3f2a9c", "localhost", ("3f2a9c", "hostname")),
        ("", "3f2a9c", "router.example.com", ("3f2a9c", "hostname")),
        ("", "3f2a9c", "streamgauge-client.streamgauge_wire", ("3f2a9c", "hostname")),
        ("", "3f2a9c", "other-client-2.streamgauge_wire", ("3f2a9c", "hostname")),
        ("", "My_Laptop.local", None, ("my_laptop.local", "hostname")),
        ("", "Ünïcode Box", None, ("client--n-code-box", "hostname")),
        ("", "_x", None, ("client-_x", "hostname")),
    ],
)
def test_where_the_name_comes_from(
    client_id: str, hostname: str, pointer: str | None, expected: tuple[str, str]
) -> None:
    """The setting goes first, then what the container's address resolves back to, then the hostname."""
    assert expected == base_name(client_id, hostname, pointer)


@given(st.text(), st.none() | st.text())
def test_any_host_gives_a_name(hostname: str, pointer: str | None) -> None:
    """Whatever the host and the network say, the name can name a folder."""
    assert is_name(base_name("", hostname, pointer)[0])


@pytest.mark.parametrize(
    ("base", "size"),
    [("client-1", 10), ("client-2", 25), ("client-3", 50), ("client-4", 10), ("client", 10), ("client-0", 10)],
)
def test_the_number_picks_the_block_size(base: str, size: int) -> None:
    """The trailing number picks the block size, going round; without one it is the first."""
    assert [(base, "x", size)] == identities(base, "x", 1, SIZES)


def test_connections_are_numbered_on() -> None:
    """With several connections each has a name of its own, and the numbers run on across the processes."""
    found = [(identity.name, identity.block_size) for identity in identities("client-2", "x", 4, SIZES)]

    assert [("client-2.1", 25), ("client-2.2", 50), ("client-2.3", 10), ("client-2.4", 25)] == found


@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 50))
def test_no_two_clients_have_one_name(processes: int, connections: int, sizes: int) -> None:
    """All clients of all processes have names of their own, and block sizes in turn."""
    block_sizes = tuple(range(1, sizes + 1))
    found = [
        identity
        for number in range(1, processes + 1)
        for identity in identities(f"client-{number}", "x", connections, block_sizes)
    ]

    assert processes * connections == len({identity.name for identity in found})
    assert [1 + place % sizes for place in range(len(found))] == [identity.block_size for identity in found]
