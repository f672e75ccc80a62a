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


def test_numbers_far_apart_are_no_jumps() -> None:
    """Times in nanoseconds are no sequence, even if no rate explains how far apart they are."""
    seqs = [10**18 + at * 6_666_667 + at % 7 for at in range(60)]

    assert ["steps"] == [found.kind for found in one(numbered_messages(seqs))]


def test_a_step_is_proposed_if_most_messages_have_it() -> None:
    """If half of the numbers follow the one before, the other half are gaps and no step."""
    seqs = [seq for seq in range(300) if seq % 5 not in (1, 3)]
    [found] = one(numbered_messages(seqs))

    assert ("steps", 0) == (found.kind, found.numbers[0])


@pytest.mark.parametrize("step", [-1, -7, 7919 * 7919])
def test_numbers_that_fall_are_no_sequence(step: int) -> None:
    """A counter that runs down, or a checksum, is not out of order: most of its numbers are below an earlier one."""
    seqs = [(5_000 + at * step) % 2**32 for at in range(200)]
    [found] = one(numbered_messages(seqs))

    assert "falls" == found.kind
    assert found.numbers[0] > found.numbers[1]


def test_a_feed_out_of_order_is_a_sequence() -> None:
    """Pairs that all came in the wrong order are out of order, and contradict no setting."""
    assert () == one(numbered_messages(at ^ 1 for at in range(100, 300)))


def test_numbers_that_begin_again_and_again_are_no_sequence() -> None:
    """What counts the parts of each message cannot show a loss; one that begins again now and then can."""
    parts, turns = ([message(seq % size, seq, text=f"{seq}") for seq in range(10 * size + 1)] for size in (5, 50))

    assert (Contradiction("restarts", numbers=(5,)),) == one(parts)
    assert () == one(turns)


@pytest.mark.parametrize(("snapshots", "is_other"), [(2, False), (3, True), (9, True)])
def test_snapshots_with_the_last_number_are_no_duplicates(snapshots: int, *, is_other: bool) -> None:
    """If no number ever comes again with the same record, the messages between are no records of the sequence."""
    messages = numbered_messages(range(400))
    for place in range(snapshots):
        at = 20 + 40 * place
        messages.insert(at + 1, message(messages[at].seq, at, text="snapshot"))
    found = one(messages)

    assert ([("mixed", "again")] if is_other else []) == [(one.kind, one.text) for one in found]
    # A record that is sent twice shows that the feed has duplicates.
    assert () == one([*messages, message(399, 399)])


@pytest.mark.parametrize(("keys", "is_unique"), [(99, False), (100, True)])
def test_a_key_of_each_record_shows_no_loss(keys: int, *, is_unique: bool) -> None:
    """If nearly every record has a key of its own, no number follows another, and nothing would be missing."""
    messages = [message(seq, seq, key=f"id-{seq}") for seq in range(keys)]

    assert ((Contradiction("unique keys", numbers=(keys, keys)),) if is_unique else ()) == one(messages)
    again = [message(seq + 1, keys + seq, key=f"id-{seq}") for seq in range(20)]
    assert () == one(messages + again)


def test_too_many_keys_prove_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sequences beyond the bound are not followed, in any order of reading, so the run is INVALID."""
    monkeypatch.setattr("services.collector.evidence.external_evidence.MOST_SEQUENCES", 3)
    monkeypatch.setattr("services.collector.results.builders.sequence_contradictions.MOST_SEQUENCES", 3)
    messages = [message(seq // 4, seq, key=f"k{seq % 4}") for seq in range(40)]
    [client] = external_run_result(evidence_of(log("client-1", messages)), final=True).clients

    assert (Contradiction("many keys", numbers=(3,)),) == client.external.contradictions
    assert (40, None) == (client.received, client.missing)
    assert () == one([one for one in messages if one.key != "k3"])


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


def test_records_that_name_themselves_are_recognised() -> None:
    """If most records name their own number as the one before, they are no signs of life: the path is wrong."""
    rules = SequenceRules(previous="$.n")

    assert ["links"] == [found.kind for found in one([message(at, at, previous=at) for at in range(9)], rules=rules)]


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
