"""Verdicts on external feeds over several connections: exactly what the numbers prove is counted."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.collector.verdict.summary import reconcile
from services.contract.summary import Summary
from tests.builders.external_runs import STEP_US, evidence_of, log, message
from tests.builders.runs import START_US

AWAY_SECONDS = 0.5
LENGTH = 60
removed = st.sets(st.integers(1, LENGTH - 2), max_size=4)
"""Records of a connection that are never sent, by their place in it; neither its first nor its last one."""
clients = st.lists(st.lists(removed, min_size=1, max_size=3), min_size=1, max_size=3)


def judged(connections: list[list[set[int]]], first: Any, text: Any) -> Summary:
    """Return the summary of a run.

    Args:
        connections: for each client and connection the places of the records that are never sent.
        first: returns the first number of a connection, by client, connection and its begin in seconds.
        text: returns the content of a record, by client, connection and number.
    """
    logs = []
    for client, every in enumerate(connections):
        course: list[Any] = []
        at_s = 0.0
        for number, missing in enumerate(every):
            course.append(("opened", at_s))
            begin, place = first(client, number, at_s), round(at_s * 1e6 / STEP_US)
            course.append(
                [
                    message(begin + at, place + at, text=text(client, number, begin + at))
                    for at in range(LENGTH)
                    if at not in missing
                ]
            )
            at_s += LENGTH * STEP_US / 1e6
            if number < len(every) - 1:
                course.append(("closed", at_s, 1006, ""))
                at_s += AWAY_SECONDS
        course.append(("sealed", at_s))
        logs.append(log(f"client-{client + 1}", course=course, size=10, until_us=START_US + round(at_s * 1e6)))
    return reconcile(evidence_of(*logs), final=True)


def lost(connections: list[list[set[int]]]) -> int:
    """Return how many records were never sent."""
    return sum(len(missing) for client in connections for missing in client)


def of_own_numbers(connections: list[list[set[int]]]) -> tuple[str, int, int, int]:
    """Return verdict and counts of connections that are numbered for themselves: an absence leaves open what it hid."""
    away = any(len(client) > 1 for client in connections)
    return "FAIL" if lost(connections) else "INVALID" if away else "PASS", lost(connections), 0, 0


def figures(reported: Summary) -> tuple[str | None, int | None, int | None, int | None]:
    """Return verdict and counts of a summary."""
    return reported.verdict, reported.totals.missing, reported.totals.duplicates, reported.totals.reordered


@given(clients, st.sampled_from([0, 1, 2, 700]))
def test_own_numbers_lose_exactly_what_they_lack(connections: list[list[set[int]]], first: int) -> None:
    """If each connection begins at the same number with other records, exactly the removed ones are missing.

    Without any, the run passes unless a client was away: then it is not known what was sent meanwhile.
    """
    reported = judged(connections, lambda *_: first, lambda *of: f"record {of}")

    assert of_own_numbers(connections) == figures(reported), reported.reasons


@given(clients, st.lists(st.integers(0, 10**5).map(lambda number: number * 10**5), min_size=9, max_size=9, unique=True))
def test_numbers_from_anywhere_lose_exactly_what_they_lack(
    connections: list[list[set[int]]], firsts: list[int]
) -> None:
    """If each connection begins somewhere, higher or lower, exactly the removed ones are missing, none by millions."""
    reported = judged(connections, lambda client, number, _: firsts[3 * client + number], lambda *of: f"record {of}")

    assert of_own_numbers(connections) == figures(reported), reported.reasons


@given(clients, st.sampled_from([0, 1, 5000]))
def test_a_shared_stream_loses_what_was_sent_meanwhile(connections: list[list[set[int]]], first: int) -> None:
    """On a stream that goes on while a client is away, the records sent meanwhile are missing too."""
    reported = judged(
        connections, lambda _client, _number, at_s: first + round(at_s * 1e6 / STEP_US), lambda *of: str(of[2])
    )
    away = sum(len(client) - 1 for client in connections) * round(AWAY_SECONDS * 1e6 / STEP_US)

    assert lost(connections) + away == reported.totals.missing, reported.reasons
    assert ("FAIL" if lost(connections) + away else "PASS") == reported.verdict
    assert (0, 0) == (reported.totals.duplicates, reported.totals.restarts)
