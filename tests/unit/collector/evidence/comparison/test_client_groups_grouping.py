"""Tests of putting clients into groups."""

from __future__ import annotations

import pytest

from services.collector.evidence.comparison import client_groups
from services.collector.evidence.comparison.client_groups import Starts, grouped
from services.collector.evidence.comparison.kept_records import Number
from services.collector.evidence.comparison.record_likeness import RecordFact

Facts = dict[Number, RecordFact]


def facts(numbers: range, *, text: int = 0, apart_us: int = 0) -> Facts:
    """Return the facts of a client whose records have this ``text`` and arrived later by this time."""
    return {
        (None, number): RecordFact(1000 * text + number, b"%d" % text, None, number * 10_000 + apart_us)
        for number in numbers
    }


def groups(*clients: Facts, begin: int | None = None) -> list[int]:
    """Return the groups of clients whose sequences begin with this number, or each with its lowest one."""
    starts: Starts = {
        f"client-{at}": {None: min(one, default=(None, 0))[1] if begin is None else begin}
        for at, one in enumerate(clients)
    }
    return list(grouped({f"client-{at}": one for at, one in enumerate(clients)}, starts)[0].values())


def test_clients_with_the_same_records_are_one_group() -> None:
    """Clients with the same records are one group; groups are in the order of their first clients."""
    assert [0, 1, 0, 2, 1] == groups(*(facts(range(5, 50), text=text) for text in (1, 2, 1, 3, 2)))


def test_a_client_that_shares_no_number_is_compared() -> None:
    """Clients without a common number are in one group."""
    assert [0, 0, 0] == groups(facts(range(5, 9)), facts(range(20, 30)), {})


def test_clients_are_compared_with_those_that_joined_a_group() -> None:
    """A client is compared with later members of a group for numbers that its first member does not have."""
    late, other = facts(range(20, 60)), facts(range(30, 60), text=2)

    assert [0, 0, 1, 0] == groups(facts(range(5, 25)), late, other, facts(range(50, 60)))


def test_a_small_overlap_is_found() -> None:
    """A long and a short sequence are compared by the few numbers that they share."""
    assert [0, 0, 1] == groups(facts(range(2000, 2010)), facts(range(1, 2010)), facts(range(1, 2010), text=2))


def test_one_pair_shows_that_a_feed_counts_per_connection() -> None:
    """Clients that connected at the same time are separated once a third client shows that they must be."""
    every = [facts(range(200), apart_us=apart) for apart in (0, 10, 150_000)]

    assert [[0, 0], [0, 1, 2]] == [groups(*every[:2], begin=0), groups(*every, begin=0)]


def test_many_groups_are_distinguished(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client gets its group although it is compared with at most two leaders."""
    monkeypatch.setattr(client_groups, "CANDIDATES", 2)
    kinds = [facts(range(5, 50), text=text) for text in range(40)]

    assert [*range(40), *range(40)] == groups(*kinds, *kinds)
