"""Tests of services/collector/results/connections.py and of the builder that lists the connections."""

from __future__ import annotations

from typing import Any

import pytest

from services.contract.scalars import utc_text
from services.contract.summary import Connection, Connections, Summary
from tests.builders.external_runs import Happened, log, numbered_messages
from tests.builders.runs import START_US, good_run, judged

S = 1_000_000_000
OPENED: Happened = ("opened", 0.0)
RECORDS = numbered_messages(range(1, 10))
LATER = numbered_messages(range(10, 12))


def judged_course(*course: Any, **changes: Any) -> Summary:
    """Return the summary of a run with one client whose connections went like this."""
    return judged(log("client-1", course=course, **changes))


def at(seconds: float) -> str:
    """Return the time some seconds after the start."""
    return utc_text(START_US + round(seconds * 1e6))


def test_every_connection_has_begin_end_code_and_reason() -> None:
    """A closed connection has its code and reason; the one that the client ends itself has none."""
    made = judged_course(
        OPENED, RECORDS, ("closed", 2.0, 1006, "gone"), ("refused", 3.0, 503, "later"), ("opened", 4.0), LATER,
        ("sealed", 10.0),
    )  # fmt: skip

    assert made.clients[0].connections == Connections(
        connected_ns=8 * S, asked_ns=10 * S, count=2, refused=1, others=0,
        last=[
            Connection(session=1, connection=1, opened_at=at(0), ended_at=at(2), code=1006, reason="gone"),
            Connection(session=1, connection=2, opened_at=at(4), ended_at=at(10)),
        ],
        last_refusal="HTTP 503: later",
    )  # fmt: skip


def test_time_after_the_feeds_end_is_not_asked_for() -> None:
    """The time that a client is asked for ends with the condition of FEED_END."""
    made = judged_course(OPENED, RECORDS, ("closed", 2.0, 1000, ""), ("ended", 2.0), ("sealed", 9.0))

    assert (2 * S, 2 * S) == (made.clients[0].connections.connected_ns, made.clients[0].connections.asked_ns)


def test_a_client_that_was_never_connected_has_no_seconds() -> None:
    """A client that was refused throughout was connected for 0 s, and its attempts are counted."""
    made = judged_course(*(("refused", second, 401, "no") for second in (1.0, 2.0)), ("sealed", 10.0))

    assert made.clients[0].connections == Connections(
        connected_ns=0, asked_ns=10 * S, count=0, refused=2, others=0, last=[], last_refusal="HTTP 401: no"
    )


def test_the_end_of_a_killed_client_is_not_known() -> None:
    """A log that breaks off counts up to the last record, and the connection has no end."""
    found = judged_course(OPENED, RECORDS, reason=None).clients[0].connections

    assert (80_000_000, 10 * S, 1) == (found.connected_ns, found.asked_ns, found.count)
    assert [None] == [connection.ended_at for connection in found.last]


def test_a_missing_line_makes_the_seconds_unknown() -> None:
    """Without the line of a close it is not known for how long the client was connected."""
    found = judged_course(OPENED, RECORDS, ("opened", 4.0), LATER, ("sealed", 10.0)).clients[0].connections

    assert (None, 10 * S, 2) == (found.connected_ns, found.asked_ns, found.count)


@pytest.mark.parametrize(("count", "listed", "others"), [(20, 20, 0), (25, 20, 5)])
def test_the_last_connections_are_listed(count: int, listed: int, others: int) -> None:
    """At most twenty connections are listed, the last ones; the others are counted."""
    course: list[Any] = []
    for number in range(count):
        course += [("opened", number / 10), ("closed", number / 10 + 0.05, 4000 + number, "")]
    found = judged_course(*course, ("sealed", 10.0)).clients[0].connections

    assert (count, listed, others) == (found.count, len(found.last), found.others)
    assert 4000 + count - 1 == found.last[-1].code


def test_without_connection_lines_nothing_is_known() -> None:
    """A client of the own feed, and one whose log has no connection lines, have nulls."""
    assert {Connections().count} == {client.connections.count for client in judged(good_run()).clients}
    assert Connections() == judged(log("client-1", RECORDS, has_connection_lines=False)).clients[0].connections
