"""Tests of the checks that have other evidence for an external feed."""

from __future__ import annotations

from typing import Any

import pytest

from services.collector.verdict.summary import reconcile
from services.contract.blocklog import ExternalMessage
from services.contract.summary import Check
from tests.builders.external_runs import evidence_of, log, message, numbered_messages

GOOD = numbered_messages(range(1, 11))


def verdict(*logs: Any) -> tuple[str | None, str]:
    """Return verdict and headline of a run that is over."""
    result = reconcile(evidence_of(*logs), final=True)
    return result.verdict, result.headline


def check(name: str, *logs: Any) -> Check:
    """Return the answer of one check."""
    return next(one for one in reconcile(evidence_of(*logs), final=True).checks if one.name == name)


@pytest.mark.parametrize(
    ("messages", "headline"),
    [
        (numbered_messages([1, 2, 5]), "client-1: 2 messages missing, 3–4 (2 sent, not logged)"),
        (numbered_messages([1, 2, 2, 3]), "client-1: 1 duplicate"),
        (numbered_messages([1, 3, 2, 4]), "client-1: 1 message out of order"),
    ],
)
def test_a_fact_against_the_feed_fails_the_run(messages: list[ExternalMessage], headline: str) -> None:
    """Missing, duplicate and reordered records fail the run, with client and numbers."""
    whole = numbered_messages(range(1, 1 + max(one.seq or 0 for one in messages)))

    assert ("FAIL", headline) == verdict(log("client-1", messages), log("client-2", whole))


def test_keys_are_named() -> None:
    """The sentence about a feed with keys names the sequences and their missing numbers."""
    messages = [message(seq, place, key="BTC") for place, seq in enumerate([1, 2, 4])]

    assert ("FAIL", "client-1: 1 message missing, BTC 3 (1 seen by no client)") == verdict(log("client-1", messages))


def test_a_key_cannot_control_a_terminal() -> None:
    """The server chooses keys: control characters in them are shown escaped."""
    messages = [message(seq, place, key="a\x1b[2J") for place, seq in enumerate([1, 2, 4])]

    assert ("FAIL", r"client-1: 1 message missing, a\x1b[2J 3 (1 seen by no client)") == verdict(
        log("client-1", messages)
    )


def test_at_most_three_sequences_are_named() -> None:
    """The sentence about missing numbers names three sequences and the number of further ones."""
    keys = ("A", "B", "C", "D", "E")
    messages = [
        message(seq, place, key=key) for place, (key, seq) in enumerate((key, seq) for key in keys for seq in (1, 3))
    ]

    assert (
        "FAIL",
        "client-1: 5 messages missing, A 2; B 2; C 2 and 2 more sequences (5 seen by no client)",
    ) == verdict(log("client-1", messages))


def test_without_the_senders_time_no_clock_is_asked() -> None:
    """Without the sender's time there is no latency, and `clocks` is null."""
    messages = [message(seq, seq, late_ns=None) for seq in range(1, 5)]

    assert (None, "no sender's time") == ((result := check("clocks", log("client-1", messages))).ok, result.detail)


def test_what_only_the_server_knows_is_null() -> None:
    """Receipts and the generator's schedule are null for an external feed."""
    for name in ("receipts match", "generator on time"):
        assert check(name, log("client-1", GOOD)).ok is None


def test_a_lost_client_fails_the_run() -> None:
    """A client whose log was never sealed is lost."""
    assert ("FAIL", "lost, log not closed: client-1") == verdict(
        log("client-1", GOOD, reason=None), log("client-2", GOOD)
    )


def test_damage_is_reported_with_its_place() -> None:
    """A damaged line fails the run, and a missing one makes it INVALID."""
    files = log("client-1", GOOD)
    (source,) = files
    damaged = {source: [line.replace(b"record 2", b"record x") for line in files[source]]}
    gone = {source: [files[source][0], *files[source][2:]]}

    assert "FAIL" == verdict(damaged, log("client-2", GOOD))[0]
    assert check("books closed", gone, log("client-2", GOOD)).ok is False


def test_records_without_a_number_are_mentioned() -> None:
    """A few records without a number are mentioned, and are no failure."""
    result = check("complete", log("client-1", numbered_messages([1, 2, None, 3])))

    assert (True, "3 of 3 delivered, by the feed's own numbers; 1 message without a number") == (
        result.ok,
        result.detail,
    )


def test_numbers_that_were_promised_and_not_found_make_the_run_invalid() -> None:
    """A path in FEED_SEQ at which no number is found makes the run INVALID."""
    logs = (
        log("client-1", numbered_messages([None] * 3), seq="$.sequence"),
        log("client-2", numbered_messages([7]), seq="$.sequence"),
    )

    assert ("INVALID", "client-1: none of its 3 messages has a number at $.sequence that can be used") == (
        verdict(*logs)
    )
    assert "not claimed: no number was found" == check("complete", logs[0]).detail
    assert "PASS" == verdict(log("client-1", numbered_messages([None, 7]), seq="$.sequence"))[0]


def test_a_restart_is_mentioned() -> None:
    """A sequence that began again is mentioned, and is no failure."""
    result = check("in order", log("client-1", numbered_messages([5000, 1, 2])))

    assert (True, "0 out of order, sequences begun again: 1") == (result.ok, result.detail)


@pytest.mark.parametrize(("wanted", "expected"), [(2, "PASS"), (3, "FAIL"), (None, "PASS")])
def test_fewer_clients_than_the_operator_set_fail_the_run(wanted: int | None, expected: str) -> None:
    """Fewer clients than the logs expect fail the run."""
    result, headline = verdict(
        *(log(name, numbered_messages([1, 2, 3]), clients=wanted) for name in ("client-1", "client-2"))
    )

    assert expected == result
    assert ("2 clients took part, 3 expected" == headline) is (expected == "FAIL")
