"""Tests of services/collector/results/builders/client_comparison.py."""

from __future__ import annotations

from typing import Any

from services.collector.results.builders.client_comparison import groups_of, jumps_of, union_of
from services.contract.rangeset import RangeSet
from services.contract.sequence_rules import SequenceRules
from tests.builders.external_runs import evidence_of, log, message, numbered_messages

NAMES = ("client-1", "client-2")


def logs(*seqs: Any, **settings: Any) -> list[Any]:
    """Return the logs of clients that received these numbers, each number at its time; a 0 is another first record."""
    return [
        log(name, [message(seq or 1, seq or 1000, text=None if seq else "new") for seq in one], **settings)
        for name, one in zip(NAMES, seqs, strict=False)
    ]


def test_numbers_that_no_client_received_may_be_a_jump() -> None:
    """A leap that the rate does not explain is a jump, unless another client received the numbers in between."""
    leap = log("client-1", numbered_messages([*range(1, 51), *range(50_001, 50_051)]))
    alone, both = evidence_of(leap), evidence_of(leap, log("client-2", numbered_messages(range(20_000, 50_051))))

    assert {"client-1": {None: RangeSet([(51, 50_000)])}} == jumps_of(alone, NAMES[:1])
    assert {"client-1": {None: RangeSet()}} == jumps_of(both, NAMES)


def test_clients_of_one_scope_are_compared() -> None:
    """Clients are compared unless the numbers are of their connections, or the sequence began again."""
    shared, own, again = (
        evidence_of(*logs(range(1, 90), seqs, rules=rules))
        for rules, seqs in (
            (SequenceRules(), range(1, 90)),
            (SequenceRules(scope="connection"), range(1, 90)),
            (SequenceRules(), [*range(1, 90), 0]),
        )
    )

    assert [False, True] == [groups_of(one, NAMES, ()).are_apart(None, *NAMES) for one in (shared, own)]
    assert {} == union_of(again, NAMES, groups_of(again, NAMES, ()), ())


def test_what_clients_received_together_is_their_union() -> None:
    """The union of clients that are compared is of both; a sequence that is uncertain has none."""
    both = evidence_of(*logs(range(1, 41), range(21, 61)))
    groups = groups_of(both, NAMES, ())

    assert [RangeSet([(1, 60)])] == list(union_of(both, NAMES, groups, ()).values())
    assert {} == union_of(both, NAMES, groups, (None,))
