"""Tests of the gate: the limits of connections, and of peers without a subscription."""

from __future__ import annotations

import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contract import bounds
from services.server.connections.gate import RESERVED, SPARE, Gate, MessageAllowance, max_connections, max_names

SILENT, SPEAKING = bounds.SILENT_SECONDS.value, bounds.UNSUBSCRIBED_SECONDS.value


def test_the_limit_holds() -> None:
    """No connection is counted beyond the limit; one is again after another was released."""
    gate = Gate[str](lambda: 2)

    assert [True, True, False] == [gate.acquire(name, "10.0.0.1", 0) for name in "abc"]
    assert gate.is_nearly_reached
    gate.release("a")
    assert [True, False] == [gate.acquire(name, "10.0.0.1", 0) for name in "cd"]


def test_the_last_places_are_spare() -> None:
    """The limit is nearly reached once only spare places are left."""
    gate = Gate[int](lambda: SPARE + 1)

    assert [False, True] == [gate.acquire(number, "::1", 0) and gate.is_nearly_reached for number in range(2)]


@pytest.mark.parametrize(
    ("soft", "clients", "most"),
    [
        (256, 0, 256 - RESERVED),
        (20_000, 0, 20_000 - RESERVED),
        (1_048_576, 0, 20_000),
        (1_048_576, 30_000, 120_000),
        (40, 0, 32),
        (resource.RLIM_INFINITY, 0, 20_000),
    ],
)
def test_the_limit_leaves_descriptors_free(soft: int, clients: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit follows from the clients, and leaves the descriptors that the server itself needs."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, soft))

    assert most == max_connections(clients)


@given(st.integers(0, 10**6))
def test_every_connection_may_have_a_name(clients: int) -> None:
    """A run may have at least as many names as its server has connections."""
    assert max_names(clients) >= max_connections(clients)


def test_an_address_is_crowded_by_peers_that_are_not_engaged() -> None:
    """Peers of one address count until they are engaged or released; other addresses are not affected."""
    gate = Gate[int](lambda: 100, per_address=3)
    for number in range(4):
        gate.acquire(number, "10.0.0.1", 0)
    gate.acquire(9, "10.0.0.2", 0)

    assert [True, False] == [gate.is_crowded(address) for address in ("10.0.0.1", "10.0.0.2")]
    gate.engage(0)
    assert not gate.is_crowded("10.0.0.1")
    gate.acquire(4, "10.0.0.1", 0)
    assert gate.is_crowded("10.0.0.1")
    gate.release(1)
    assert not gate.is_crowded("10.0.0.1")


def test_a_refused_peer_takes_no_place() -> None:
    """A peer that was refused keeps no other one of its address out while it disconnects."""
    gate = Gate[int](lambda: 100, per_address=1)
    for number in range(2):
        gate.acquire(number, "10.0.0.1", 0)
    gate.refuse(1)

    assert (False, 2) == (gate.is_crowded("10.0.0.1"), gate.in_use)
    gate.release(1)
    assert 1 == gate.in_use


def test_one_network_counts_as_one_address() -> None:
    """IPv6 addresses that share their first 64 bits count together."""
    gate = Gate[str](lambda: 100, per_address=1)
    for name, address in (("a", "2001:db8:0:1::5"), ("b", "2001:db8:0:1:6:7:8:9"), ("c", "2001:db8:0:2::5")):
        gate.acquire(name, address, 0)

    assert [True, False] == [gate.is_crowded(address) for address in ("2001:db8:0:1::77", "2001:db8:0:2::5")]


@given(st.lists(st.sampled_from(["connect", "subscribe", "leave"]), max_size=300))
def test_every_honest_client_gets_in(events: list[str]) -> None:
    """Whatever the order, a client is refused only while as many others of its address as allowed wait to subscribe."""
    gate, waiting, engaged, number = Gate[int](lambda: 10_000, per_address=5), set[int](), set[int](), 0
    for event in events:
        if event == "connect":
            number += 1
            gate.acquire(number, "10.0.0.1", 0)
            waiting.add(number)
            assert gate.is_crowded("10.0.0.1") == (len(waiting) > 5)
        elif event == "subscribe" and waiting:
            gate.engage(peer := waiting.pop())
            engaged.add(peer)
        elif event == "leave" and engaged:
            gate.release(engaged.pop())
    assert len(waiting) + len(engaged) == gate.in_use


def test_ten_thousand_clients_of_one_address_get_in() -> None:
    """With hundreds that subscribe while hundreds connect, ten thousand clients of one address are never refused."""
    gate, at_once = Gate[int](max_connections), bounds.UNSUBSCRIBED.value
    for number in range(10_000):
        assert gate.acquire(number, "172.18.0.3", 0)
        assert not gate.is_crowded("172.18.0.3")
        if number >= at_once - 1:
            gate.engage(number - at_once + 1)
    assert 10_000 == gate.in_use


def test_silent_peers_are_overdue_first() -> None:
    """A silent peer is overdue early, one that sends frames late, an engaged one never; each is yielded once."""
    gate = Gate[str](lambda: 100)
    for name in ("silent", "speaking", "engaged"):
        gate.acquire(name, "10.0.0.1", 0)
    gate.heard("speaking")
    gate.engage("engaged")

    assert [] == list(gate.overdue(SILENT))
    assert ["silent"] == list(gate.overdue(SILENT + 0.1))
    assert [] == list(gate.overdue(SPEAKING))
    assert ["speaking"] == list(gate.overdue(SPEAKING + 0.1))
    assert [] == list(gate.overdue(1e9))
    for name in ("silent", "speaking", "engaged"):
        gate.release(name)
    assert 0 == gate.in_use


def test_the_time_starts_again() -> None:
    """After `restart` every peer has its whole time."""
    gate = Gate[str](lambda: 100)
    gate.acquire("one", "10.0.0.1", 0)
    gate.restart(100)

    assert [[], ["one"]] == [list(gate.overdue(at)) for at in (100 + SILENT, 100.1 + SILENT)]


def test_a_new_peer_has_less() -> None:
    """Before a peer is engaged less is read from it at a time, and it may send fewer messages at once."""
    new, engaged = (MessageAllowance(0.0, is_engaged=is_engaged) for is_engaged in (False, True))

    assert new.read_bytes < engaged.read_bytes
    assert [bounds.FIRST_MESSAGES.value, bounds.MESSAGES.value] == [
        sum(allowance.consume(0.0) for _ in range(1000)) for allowance in (new, engaged)
    ]
