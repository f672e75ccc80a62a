"""Tests of what clients may lack of sequences that are not compared by number."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pytest

from services.collector.verdict.summary import reconcile
from services.contract.blocklog import ExternalMessage
from services.contract.sequence_rules import PLAIN, SequenceRules
from services.contract.summary import Summary
from tests.builders.external_runs import evidence_of, log, message

WRAP = SequenceRules(wrap="255")
OWN = SequenceRules(scope="connection")


def stream(seqs: Iterable[int | None], *, key: str | None = None, steps: int = 10) -> list[ExternalMessage]:
    """Return records of a stream, one every tenth of a second; nothing is received in the place of None."""
    return [
        message(seq, place * steps, key=key, text=f"{key} {place}") for place, seq in enumerate(seqs) if seq is not None
    ]


def judged(
    *clients: Sequence[ExternalMessage], rules: SequenceRules = PLAIN, key: str | None = None, **more: Any
) -> Summary:
    """Return the summary of a run of ten seconds whose clients received these records."""
    names = [f"client-{number}" for number in range(1, len(clients) + 1)]
    every = [log(name, of, rules=rules, key=key, **more) for name, of in zip(names, clients, strict=True)]
    return reconcile(evidence_of(*every), final=True)


def mixed(*of_keys: Sequence[ExternalMessage]) -> list[ExternalMessage]:
    """Return the records of several sequences in the order of their times."""
    return sorted((one for of_key in of_keys for one in of_key), key=lambda one: one.received_at)


@pytest.mark.parametrize("rules", [WRAP, PLAIN])
def test_a_client_that_lacks_the_end_of_a_counter_that_wrapped_is_not_passed(rules: SequenceRules) -> None:
    """After a wrap numbers are not compared: a client that received nothing for seconds is a doubt, and says so."""
    seqs = [*range(206, 256), *range(45)]
    one, other = stream(seqs), stream(seqs[:60])
    reported = judged(one, other, rules=rules)

    reason = (
        "client-2: it received no record in the last 3.0 s in which client-1 did, and numbers that begin again are not"
        " compared: whether records are missing is not known"
    )
    assert ("INVALID", [reason]) == (reported.verdict, reported.reasons)
    assert "PASS" == judged(one, stream(seqs[:80]), rules=rules).verdict, "the last second may have been in flight"
    assert "PASS" == judged(one, one, rules=rules).verdict


def test_records_that_others_had_before_a_new_beginning_are_in_doubt() -> None:
    """Of records that one client has before the numbers begin again, and another one lacks, nothing is known."""
    seqs = [*range(5000, 5040), *range(1, 40)]
    lost: list[int | None] = [None if seq in (5038, 5039) else seq for seq in seqs]
    reported = judged(stream(seqs), stream(lost))

    reason = (
        "client-2: its numbers began again without 5,038–5,039, which others received: whether these were lost is not"
        " known; with FEED_SCOPE=connection clients are not compared"
    )
    assert ("INVALID", [reason]) == (reported.verdict, reported.reasons)
    assert "PASS" == judged(stream(seqs), stream(seqs)).verdict
    assert "PASS" == judged(stream(seqs), stream(lost), rules=OWN).verdict


def test_a_client_that_joined_later_is_compared_from_the_end() -> None:
    """Beginnings are counted from the last one, so a client that joined after the first of them lacks nothing."""
    seqs = [*range(100, 120), *range(1, 41), *range(1, 31)]
    late: list[int | None] = [*[None] * 45, *seqs[45:]]

    assert "PASS" == judged(stream(seqs), stream(late)).verdict
    assert "INVALID" == judged(stream(seqs), stream([*late[:59], None, *late[60:]])).verdict


def test_the_numbers_before_a_wrap_are_missing_once() -> None:
    """The numbers up to the counter's highest one are known to be missing, and no doubt as well."""
    seqs = [*range(220, 256), *range(20)]
    reported = judged(stream(seqs), stream([None if seq == 255 else seq for seq in seqs]), rules=WRAP)

    assert ("FAIL", 1, 1) == (reported.verdict, reported.totals.missing, len(reported.reasons))


def test_a_sequence_that_one_client_never_received_is_in_doubt() -> None:
    """Clients that share a sequence asked for the same ones: one that only one of them received is a doubt."""
    shared, second = stream(range(1, 90), key="a"), stream(range(1, 45), key="b", steps=20)
    reported = judged(mixed(shared, second), shared, key="$.key")

    reason = (
        "client-2: it received no record of b, though client-1 did while it was there: whether it should have is not"
        " known; with FEED_SCOPE=connection clients are not compared"
    )
    assert ("INVALID", [reason]) == (reported.verdict, reported.reasons)
    assert "PASS" == judged(mixed(shared, second), shared, key="$.key", rules=OWN).verdict


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (mixed(stream(range(1, 90), key="a"), stream(range(1, 10), key="b", steps=80)), stream(range(1, 90), key="a")),
        (stream(range(1, 90), key="a"), stream(range(1, 90), key="b")),
        (mixed(stream(range(1, 90), key="a"), stream(range(1, 20), key="b", steps=1)), stream(range(1, 90), key="a")),
    ],
    ids=["few records", "nothing in common", "before it was there"],
)
def test_a_sequence_of_one_client_alone_is_no_doubt(one: list[ExternalMessage], other: list[ExternalMessage]) -> None:
    """A greeting of few records, clients that asked for different sequences, and early records raise no doubt."""
    assert "PASS" == judged(one, other, key="$.key").verdict


def test_a_client_of_which_no_end_is_known_is_not_compared() -> None:
    """Without a known end of a client nothing is expected of it after its last record."""
    seqs = [*range(206, 256), *range(45)]
    reported = judged(stream(seqs), stream(seqs[:60]), rules=WRAP, until_us=None)

    assert "PASS" == reported.verdict
