"""Tests of services/collector/results/builders/connection_builder.py."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.collector.evidence.run_evidence import RunEvidence
from services.collector.results.builders.connection_builder import connection_history
from services.collector.results.connection_history import ConnectionHistory, Disconnection, reconnects
from services.collector.scan import Source
from services.contract.summary import ClientState
from tests.builders.external_runs import UNTIL_US, Happened, evidence_of, log, numbered_messages
from tests.builders.runs import RUN, START_US

RECORDS = numbered_messages(range(1, 10))
OPENED: Happened = ("opened", 0.0)


def of(made: RunEvidence, state: ClientState = "finished") -> ConnectionHistory:
    """Return the connection history of the first client."""
    book = made.logs["client-1"]
    return connection_history(book, state, book.external.productive())


def after(seconds: float) -> int:
    """Return the timestamp some seconds after the start."""
    return START_US + round(seconds * 1e6)


def test_without_connection_lines_the_runs_end_is_all_that_is_known() -> None:
    """A log without connection lines has the end of the run only."""
    made = evidence_of(log("client-1", RECORDS, has_connection_lines=False))

    assert ConnectionHistory(end_us=UNTIL_US) == of(made)
    assert ConnectionHistory() == of(made, "left")
    assert ConnectionHistory() == of(made, "lost")


def test_a_seal_states_when_the_run_ended_and_whether_it_was_connected() -> None:
    """The last session's seal states the end and the connection; a session that broke off has no seal."""
    sealed = of(evidence_of(log("client-1", course=[OPENED, RECORDS, ("sealed", 3.0)])))
    broken = of(evidence_of(log("client-1", course=[OPENED, RECORDS], reason=None)), "lost")

    assert (after(3), True, None, after(0)) == (
        sealed.end_us, sealed.is_connected, sealed.away_us, sealed.since_us,
    )  # fmt: skip
    assert (None, None, True) == (broken.end_us, broken.is_connected, broken.is_known)


def test_a_named_end_comes_before_the_seal() -> None:
    """A feed's end by FEED_END is the client's end, even if lines follow."""
    found = of(
        evidence_of(
            log("client-1", course=[OPENED, RECORDS, ("closed", 2.0, 1000, ""), ("ended", 2.0), ("sealed", 9.0)])
        )
    )

    assert (after(2), True) == (found.end_us, found.is_ended)


@pytest.mark.parametrize(
    ("course", "away_s", "trouble"),
    [
        ([OPENED, RECORDS, ("closed", 2.0, 1001, "going away")], 3.0, "last close 1001 going away"),
        ([OPENED, RECORDS, ("closed", 2.0, None, "")], 3.0, "last close without a close code"),
        ([("refused", 1.0, 404, "")], 5.0, "HTTP 404 (1 failed attempt)"),
        ([("refused", 1.0, 1008, "policy")], 5.0, "close code 1008: policy (1 failed attempt)"),
        ([("refused", 1.0, None, "")], 5.0, "refused (1 failed attempt)"),
        (
            [OPENED, ("closed", 0.5, 1006, ""), ("opened", 2.0), ("closed", 2.5, 1006, "")],
            5.0,
            "last close 1006 (2 connections without a record)",
        ),
    ],
)
def test_an_absence_at_the_end_is_reported_with_its_last_reason(course: list[Any], away_s: float, trouble: str) -> None:
    """An absence at the end has its length and last failure; connections without a record do not shorten it."""
    found = of(evidence_of(log("client-1", course=[*course, ("sealed", 5.0)])))

    assert (False, round(away_s * 1e6), trouble) == (found.is_connected, found.away_us, found.last_failure)


def test_a_greeting_that_was_unanswered_at_the_end_is_known() -> None:
    """The reason in the last line of a connected client is that its greeting was not answered."""
    sealed = log("client-1", course=[OPENED, ("sealed", 5.0, None, "the greeting is unanswered")])

    assert (True, "the greeting is unanswered") == (
        of(evidence_of(sealed)).is_connected,
        of(evidence_of(sealed)).last_failure,
    )


def test_absences_in_mid_run_are_kept() -> None:
    """Absences between two connections and between two sessions are kept, also after a session that broke off."""
    course: list[Any] = [
        OPENED,
        RECORDS,
        ("closed", 1.0, 1006, ""),
        ("refused", 1.5),
        ("opened", 2.0),
        numbered_messages([20]),
    ]
    later = log("client-1", course=[("opened", 6.0), numbered_messages([30]), ("sealed", 8.0)], session=2)
    stopped = evidence_of(log("client-1", course=[*course, ("sealed", 4.0)], reason="shutdown"), later)
    crashed = evidence_of(log("client-1", course=course, reason=None), later)

    first = Disconnection(after(1), after(2))
    assert (first, Disconnection(after(4), after(6), is_restart=True)) == of(stopped).absences
    assert (first, Disconnection(after(2), after(6), is_restart=True)) == of(crashed).absences
    assert (2, 4_000_000) == reconnects([of(crashed), ConnectionHistory()])
    assert (0, 0) == reconnects([])


@pytest.mark.parametrize("gone", [1, 3, 4])
def test_a_line_that_is_not_there_leaves_the_end_unknown(gone: int) -> None:
    """Without a line of a connection or of its end it is not known whether the client was connected."""
    course: list[Any] = [
        OPENED,
        RECORDS,
        ("closed", 1.0, 1006, ""),
        ("opened", 2.0),
        numbered_messages([20]),
        ("sealed", 4.0),
    ]
    ((source, lines),) = log("client-1", course=course, size=50).items()

    assert of(evidence_of({source: lines})).is_connected is True
    assert of(evidence_of({source: [line for at, line in enumerate(lines) if at != gone]})).is_connected is None


@given(st.permutations(range(2)), st.randoms(use_true_random=False))
def test_neither_copies_nor_the_order_of_files_matter(order: list[int], dice: random.Random) -> None:
    """Neither the order of files nor a copy changes the history."""
    course: list[Any] = [OPENED, RECORDS, ("closed", 1.0, 1006, ""), ("refused", 1.5), ("opened", 2.0), ("sealed", 4.0)]
    files = [log("client-1", course=course, session=session) for session in (1, 2)]
    ((source, lines),) = files[0].items()
    copy = {Source(RUN, source.client, "copy.jsonl"): lines[: dice.randint(1, len(lines))]}
    read = [*(files[at] for at in order), copy]
    dice.shuffle(read)

    assert of(evidence_of(*files)) == of(evidence_of(*read))


def test_a_reason_cannot_control_a_terminal() -> None:
    """Reasons are the server's words: of other writers' logs, control characters are shown escaped."""
    refused: Happened = ("refused", 3.0, 503, "\x1b[2Jno")
    course: list[Any] = [OPENED, RECORDS, ("closed", 2.0, 4000, "\x1b[2J"), refused, ("sealed", 9.0)]

    assert r"last close 4000 \x1b[2J, then HTTP 503: \x1b[2Jno (1 failed attempt)" == (
        of(evidence_of(log("client-1", course=course))).last_failure
    )
