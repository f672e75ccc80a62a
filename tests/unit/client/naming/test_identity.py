"""Tests of the names of a process's clients."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.client.naming.identity import guessed_name, identities, is_too_long, name_of_text, replica_name
from services.contract.scalars import is_name

SIZES = (10, 25, 50)


@pytest.mark.parametrize(
    ("name", "project", "expected"),
    [
        ("shop-client-2.shop_wire", "shop", "client-2"),
        ("shop-client-2.my_feed_net", "shop", "client-2"),
        ("shop-client-2.bridged", "shop", "client-2"),
        ("shop_client_12.shop_wire", "shop", "client-12"),
        ("shop-slow-client-3.x", "shop", "slow-client-3"),
        ("my-shop-client-3", "my-shop", "client-3"),
        ("Shop-Client-3.x", "shop", "client-3"),
        ("my-shop-client-3.x", "shop", None),
        ("shop2-client-3.x", "shop", None),
        ("shop-client-run-0123456789ab.x", "shop", None),
        ("probe.x", "shop", None),
        ("", "shop", None),
    ],
)
def test_a_replica_is_named_by_its_service_and_number(name: str, project: str, expected: str | None) -> None:
    """In any network, and with hyphens or underscores, what follows the project is the name."""
    assert expected == replica_name([name], project)
    assert expected == replica_name(["3f2a9c", name], project)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("streamgauge-client-2.streamgauge_wire", "client-2"),
        ("my-app-client-12.my-app_wire", "client-12"),
        ("my_app-client-3.my_app_wire", "client-3"),
        ("localhost", None),
        ("router.example.com", None),
        ("streamgauge-client.streamgauge_wire", None),
        ("other-client-2.streamgauge_wire", None),
    ],
)
def test_without_a_project_the_network_names_it(name: str, expected: str | None) -> None:
    """Where the project is unknown it is taken from the name of the network."""
    assert expected == guessed_name(name)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("3f2a9c", "3f2a9c"),
        ("My_Laptop.local", "my_laptop.local"),
        ("Ünïcode Box", "client--n-code-box"),
        ("_x", "client-_x"),
    ],
)
def test_a_host_name_becomes_a_name(text: str, expected: str) -> None:
    """What a name may not contain becomes a hyphen."""
    assert expected == name_of_text(text)


@given(st.text(), st.text(max_size=20), st.text(max_size=20))
def test_any_text_gives_a_name(text: str, project: str, other: str) -> None:
    """Any host name gives a name that is valid as a folder name, and any container's name a valid one or none."""
    assert is_name(name_of_text(text))
    for found in (
        replica_name([text, f"{project}-{other}-1"], project),
        guessed_name(f"{project}-{other}-1.{project}_x"),
    ):
        assert found is None or is_name(found)


@pytest.mark.parametrize(("length", "expected"), [(11, False), (51, False), (52, True), (54, True), (60, True)])
def test_long_projects_are_recognised(length: int, *, expected: bool) -> None:
    """A project is too long if the name of its thousandth client has more than the 63 characters of a DNS label."""
    assert expected == is_too_long("p" * length, "client")
    assert expected == (len(f"{'p' * length}-client-1000") > 63)


@pytest.mark.parametrize(
    ("base", "size"),
    [("client-1", 10), ("client-2", 25), ("client-3", 50), ("client-4", 10), ("client", 10), ("client-0", 10)],
)
def test_the_number_selects_the_block_size(base: str, size: int) -> None:
    """The trailing number selects the block size, cyclically; without a number it is the first."""
    assert [(base, "x", size)] == identities(base, "x", 1, SIZES)


def test_connections_are_numbered() -> None:
    """With several connections each has its own name, and the numbers continue over all processes."""
    found = [(identity.name, identity.block_size) for identity in identities("client-2", "x", 4, SIZES)]

    assert [("client-2.1", 25), ("client-2.2", 50), ("client-2.3", 10), ("client-2.4", 25)] == found


@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 50))
def test_client_names_are_unique(processes: int, connections: int, sizes: int) -> None:
    """All clients of all processes have different names, and block sizes in turn."""
    block_sizes = tuple(range(1, sizes + 1))
    found = [
        identity
        for number in range(1, processes + 1)
        for identity in identities(f"client-{number}", "x", connections, block_sizes)
    ]

    assert processes * connections == len({identity.name for identity in found})
    assert [1 + index % sizes for index in range(len(found))] == [identity.block_size for identity in found]
