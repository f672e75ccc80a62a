"""Tests of services/collector/results/client_result.py."""

from __future__ import annotations

import pytest

from services.collector.results.client_result import ClientResult, client_order
from services.contract.rangeset import RangeSet


def test_clients_are_sorted_by_their_number() -> None:
    """client-2 comes before client-10."""
    assert ["client-2", "client-10", "x"] == sorted(["x", "client-10", "client-2"], key=client_order)


def test_a_missing_record_has_the_times_of_its_gap() -> None:
    """A missing record has the times of its whole gap, also if the gap has several causes."""
    client = ClientResult(
        client="a", state="lost", missing_seqs=RangeSet([(3, 5), (9, 9)]), gap_times={3: (10, 20), 9: (None, 30)}
    )

    assert [(10, 20), (10, 20), (None, 30)] == [client.around(seq) for seq in (3, 5, 9)]
    assert (None, None) == client.around(7)


def test_a_result_does_not_change() -> None:
    """A result is frozen, and unknown facts are None in it."""
    client = ClientResult(client="a", state="lost")

    assert (None, None, None) == (client.expected, client.residual, client.catch_up)
    with pytest.raises(AttributeError):
        client.received = 1  # type: ignore[misc]
