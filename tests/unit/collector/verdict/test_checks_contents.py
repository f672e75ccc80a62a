"""Tests of the sentences about contents of records without numbers."""

from __future__ import annotations

from typing import Any

import pytest

from services.collector.results.run_result import (
    DifferingContents,
    FeedComparison,
    RecurringDifference,
    UnnumberedComparison,
)
from services.collector.verdict.checks_contents import compared, compared_clients, differing
from tests.builders.external_runs import log, message
from tests.builders.runs import judged

SETTINGS = (
    "FEED_IGNORE passes over messages that are no records, and with FEED_SCOPE=connection clients are not compared"
)


def of(*found: DifferingContents, **more: Any) -> FeedComparison:
    """Return a comparison with what clients lack."""
    return FeedComparison(unnumbered=UnnumberedComparison(alike=("a", "b"), differing=found)._replace(**more))


@pytest.mark.parametrize(
    ("found", "is_sampled", "sentence"),
    [
        (
            DifferingContents("b", "a", 1, 0, (1, 7)),
            False,
            (
                "b lacks 1 record that a received while both were connected, the first in block 7 of a: whether it was"
                f" lost is not known without numbers; {SETTINGS}"
            ),
        ),
        (
            DifferingContents("b", "a", 3, 2, (2, 7)),
            True,
            (
                "b lacks at least 3 records that a received while both were connected, and 2 less often, the first in"
                f" block 7 of a, session 2: whether they were lost is not known without numbers; {SETTINGS}"
            ),
        ),
        (
            DifferingContents("b", "a", 0, 2, (1, 7)),
            False,
            (
                "b received 2 records less often than a while both were connected, the first in block 7 of a: sent"
                " twice or lost once, which is not known without numbers"
            ),
        ),
    ],
)
def test_what_a_client_lacks_is_said(found: DifferingContents, is_sampled: bool, sentence: str) -> None:
    """The sentence says how many records, where the first of them is, and which settings leave them out."""
    assert (sentence,) == differing(of(found, is_sampled=is_sampled))


def test_the_detail_names_the_clients_that_were_compared() -> None:
    """What was compared is named if nothing differs; so is what could not be."""
    assert "; a, b received the same records while connected together" == compared(of())
    assert "; a, b received the same records while connected together, by a sample" == compared(of(is_sampled=True))
    assert "; most records of c, d are different, so these are not compared" == compared(of(alike=(), apart=("c", "d")))
    assert "" == compared(of(DifferingContents("b", "a", 1, 0, (1, 1))))
    assert ("", (), ()) == (compared(None), differing(None), compared_clients(FeedComparison()))


def recurrence(*, records: int = 400, fewer: int = 0, out_of_turn: int = 0, chance: int = 90) -> RecurringDifference:
    """Return the comparison of two clients whose few contents recur."""
    return RecurringDifference("d", "c", records, fewer, out_of_turn, chance)


def test_the_detail_says_how_little_recurring_contents_show() -> None:
    """Where the same contents recur, the detail says how many records may be missing unnoticed."""
    twice = (recurrence(), recurrence(chance=91)._replace(client="c", other="d"))

    assert (
        "; the same few contents recur at c, d, so only their counts and turns are compared: up to 91 records that are"
        " missing make no difference there"
    ) == compared(of(alike=(), recurring=twice))
    assert "; the same few contents recur at d, too shortly to compare how many each received" == compared(
        of(alike=(), recurring=(recurrence(records=0),))
    )
    assert () == differing(of(alike=(), recurring=twice))


def test_recurring_contents_that_differ_are_said() -> None:
    """The sentences say how many fewer a client received, and how many came out of their turn."""
    fewer, turn = differing(of(alike=(), recurring=(recurrence(fewer=200, out_of_turn=1),)))

    assert fewer.startswith(
        "d received about 200 records fewer than c, of about 400, while both were connected: the same"
    )
    assert turn.startswith("d received 1 record out of the turn in which the same contents always came at c: whether")
    assert all(sentence.endswith("with FEED_SCOPE=connection clients are not compared") for sentence in (fewer, turn))


def test_a_client_that_lacks_records_without_numbers_is_no_pass() -> None:
    """Two clients with different records make the run INVALID; with the same ones the headline says what is known."""
    every = [message(None, place, text=str(place)) for place in range(100)]
    runs = ({**log("a", every), **log("b", every[:40] + every[40 + lost :])} for lost in (0, 1))
    whole, cut = map(judged, runs)

    assert ("PASS", "INVALID") == (whole.verdict, cut.verdict)
    assert whole.headline.endswith("without numbers, records that no client received are not detected")
    assert cut.headline.startswith("b lacks 1 record that a received while both were connected")
