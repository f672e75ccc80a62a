"""Tests of services/collector/results/builders/sequence_contradictions.py."""

from __future__ import annotations

from typing import Any

import pytest

from services.collector.results.builders.external_builder import external_run_result
from services.collector.results.client_result import Contradiction
from services.contract.blocklog import ExternalMessage
from services.contract.sequence_rules import SequenceRules
from tests.builders.external_runs import evidence_of, log, message, numbered_messages


def found(*logs: Any) -> list[tuple[Contradiction, ...]]:
    """Return the contradictions of each client."""
    return [client.external.contradictions for client in external_run_result(evidence_of(*logs), final=True).clients]


def one(messages: list[ExternalMessage], **settings: Any) -> tuple[Contradiction, ...]:
    """Return the contradictions of one client."""
    return found(log("client-1", messages, **settings))[0]


def other(seqs: range, text: str) -> list[ExternalMessage]:
    """Return messages whose records differ from those of `numbered_messages`."""
    return [message(seq, place, text=f"{text} {seq}") for place, seq in enumerate(seqs)]


@pytest.mark.parametrize(
    ("seqs", "numbers"), [(range(10, 400, 10), (10, 10, 20)), ([3, 7, 20, 28, 29, 60], (0, 3, 7)), ([5, 9, 13], ())]
)
def test_numbers_that_do_not_rise_by_one_are_recognised(seqs: Any, numbers: tuple[int, ...]) -> None:
    """If most numbers do not follow the one before, the usual step is proposed; two gaps are losses."""
    expected = (Contradiction("steps", numbers=numbers),) if numbers else ()

    assert expected == one(numbered_messages(seqs))


def test_what_others_received_shows_that_numbers_rise_by_one() -> None:
    """A client that lacks nine records of ten lacks them, if another one received them."""
    sparse, whole = (
        log("client-1", numbered_messages(range(10, 400, 10))),
        log("client-2", numbered_messages(range(10, 400))),
    )

    assert [(), ()] == found(sparse, whole)


def test_a_step_may_be_wrong() -> None:
    """Numbers that do not rise by the step of the setting contradict it."""
    assert () == one(numbered_messages(range(10, 400, 10)), rules=SequenceRules(step=10))
    assert "FEED_STEP=5" == one(numbered_messages(range(10, 400, 10)), rules=SequenceRules(step=5))[0].text


def test_links_that_join_nothing_are_recognised() -> None:
    """If most records name another number than the one before, the path is not that of the number before."""
    rules = SequenceRules(previous="$.p")
    wrong = [message(10 * seq, seq, previous=10 * seq - 3) for seq in range(1, 20)]
    right = [message(10 * seq, seq, previous=10 * seq - 10) for seq in range(1, 20)]

    assert (Contradiction("links", text="FEED_PREVIOUS=$.p"),) == one(wrong, rules=rules)
    assert () == one(right, rules=rules)


def test_a_path_without_any_value_is_recognised() -> None:
    """A path of a first number, of the number before or of a key that leads to nothing is named."""
    for rules in (SequenceRules(first="$.U"), SequenceRules(previous="$.p")):
        assert ("first" if rules.first else "previous", rules.first or rules.previous) in [
            (contradiction.kind, contradiction.text) for contradiction in one(numbered_messages([1, 2, 3]), rules=rules)
        ]
    assert (Contradiction("key", text="$.k"),) == one(numbered_messages([1, 2, 3]), key="$.k")
    assert () == one([*numbered_messages([1, 2], key="a"), *numbered_messages([7])], key="$.k")
    assert () == one(numbered_messages([None]), key="$.k")


def test_mixed_sequences_are_recognised() -> None:
    """Two sequences in turn need a key."""
    mixed = [message(seq, seq) for pair in zip(range(50), range(90_000, 90_050), strict=True) for seq in pair]

    assert ["mixed"] == [contradiction.kind for contradiction in one(mixed)]


@pytest.mark.parametrize("scope", ["stream", "key"])
def test_a_shared_scope_may_be_wrong(scope: Any) -> None:
    """Other records under the same numbers, on two clients or two connections, contradict a shared scope."""
    rules = SequenceRules(scope=scope)
    apart = found(
        log("client-1", numbered_messages(range(1, 90)), rules=rules),
        log("client-2", other(range(1, 90), "x"), rules=rules),
    )
    again: list[Any] = [
        ("opened", 0.0),
        numbered_messages(range(1, 90)),
        ("closed", 1.0, 1006, ""),
        ("opened", 1.1),
        other(range(1, 50), "x"),
    ]

    assert [["scope"], ["scope"]] == [[contradiction.kind for contradiction in client] for client in apart]
    assert ["scope"] == [contradiction.kind for contradiction in found(log("client-1", course=again, rules=rules))[0]]
    assert [(), ()] == found(
        log("client-1", numbered_messages(range(1, 90)), rules=rules),
        log("client-2", numbered_messages(range(20, 90)), rules=rules),
    )


def test_a_number_above_the_wrap_is_recognised() -> None:
    """A counter that is said to end at a number cannot have a higher one."""
    rules = SequenceRules(wrap="999")

    assert (Contradiction("wrap", numbers=(1000,), text="FEED_WRAP=999"),) == one(
        numbered_messages([998, 999, 1000]), rules=rules
    )
