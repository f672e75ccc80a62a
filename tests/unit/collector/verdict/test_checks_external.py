"""Tests of the questions that a run of a foreign feed is asked."""

from __future__ import annotations

from typing import Any

import pytest

from services.collector.verdict.summary import reconcile
from services.contract.blocklog import ExternalMessage
from services.contract.summary import Check
from tests.builders.external_runs import books, heard, log, message

GOOD = heard(range(1, 11))


def verdict(*logs: Any) -> tuple[str | None, str]:
    """Return verdict and headline of a run that is over."""
    told = reconcile(books(*logs), final=True)
    return told.verdict, told.headline


def check(name: str, *logs: Any) -> Check:
    """Return the answer to one question."""
    return next(one for one in reconcile(books(*logs), final=True).checks if one.name == name)


@pytest.mark.parametrize(
    ("messages", "headline"),
    [
        (heard([1, 2, 5]), "client-1: 2 messages missing, 3–4 (2 sent, not logged)"),
        (heard([1, 2, 2, 3]), "client-1: 1 duplicate"),
        (heard([1, 3, 2, 4]), "client-1: 1 message out of order"),
    ],
)
def test_a_fact_against_the_feed_fails_the_run(messages: list[ExternalMessage], headline: str) -> None:
    """Records that are missing, came twice or out of order are a failure, named with client and numbers."""
    whole = heard(range(1, 1 + max(one.seq or 0 for one in messages)))

    assert ("FAIL", headline) == verdict(log("client-1", messages), log("client-2", whole))


def test_keys_are_named() -> None:
    """Of a feed with keys the sentence says which sequences lack what."""
    messages = [message(seq, place, key="BTC") for place, seq in enumerate([1, 2, 4])]

    assert ("FAIL", "client-1: 1 message missing, BTC 3 (1 seen by no client)") == verdict(log("client-1", messages))


def test_without_the_senders_time_no_clock_is_asked() -> None:
    """A feed that does not say when it sent has no latency, and no clock to doubt."""
    messages = [message(seq, seq, late_ns=None) for seq in range(1, 5)]

    assert (None, "no sender's time") == ((told := check("clocks", log("client-1", messages))).ok, told.detail)


def test_what_only_the_server_knows_is_null() -> None:
    """Receipts and the generator's schedule are not known of a foreign server."""
    for name in ("receipts match", "generator on time"):
        assert check(name, log("client-1", GOOD)).ok is None


def test_a_lost_client_fails_the_run() -> None:
    """A client whose log was never sealed is lost."""
    assert ("FAIL", "lost without a word: client-1") == verdict(
        log("client-1", GOOD, reason=None), log("client-2", GOOD)
    )


def test_damage_is_told_with_its_place() -> None:
    """A damaged line fails the run, and a line that is gone makes it invalid."""
    files = log("client-1", GOOD)
    (source,) = files
    damaged = {source: [line.replace(b"record 2", b"record x") for line in files[source]]}
    gone = {source: [files[source][0], *files[source][2:]]}

    assert "FAIL" == verdict(damaged, log("client-2", GOOD))[0]
    assert check("books closed", gone, log("client-2", GOOD)).ok is False


def test_records_without_a_number_are_mentioned() -> None:
    """A few records without a number are no failure, and are reported."""
    told = check("complete", log("client-1", heard([1, 2, None, 3])))

    assert (True, "3 of 3 delivered, by the feed's own numbers; 1 message without a number") == (told.ok, told.detail)


def test_numbers_that_were_promised_and_not_found_make_the_run_invalid() -> None:
    """Where FEED_SEQ leads nowhere nothing is known: that must not pass for a feed without numbers."""
    logs = log("client-1", heard([None] * 3), seq="$.sequence"), log("client-2", heard([7]), seq="$.sequence")

    assert ("INVALID", "client-1: none of its 3 messages has a number at $.sequence that can be used") == (
        verdict(*logs)
    )
    assert "not claimed: no number was found" == check("complete", logs[0]).detail
    assert "PASS" == verdict(log("client-1", heard([None, 7]), seq="$.sequence"))[0]


def test_a_restart_is_mentioned() -> None:
    """A sequence that began again is reported, and is no failure."""
    told = check("in order", log("client-1", heard([5000, 1, 2])))

    assert (True, "0 out of order, sequences begun again: 1") == (told.ok, told.detail)


@pytest.mark.parametrize(("wanted", "expected"), [(2, "PASS"), (3, "FAIL"), (None, "PASS")])
def test_fewer_clients_than_the_operator_said_fail_the_run(wanted: int | None, expected: str) -> None:
    """A client that never logged anything is noticed where the logs say how many clients take part."""
    result, headline = verdict(*(log(name, heard([1, 2, 3]), clients=wanted) for name in ("client-1", "client-2")))

    assert expected == result
    assert ("2 clients took part, 3 expected" == headline) is (expected == "FAIL")
