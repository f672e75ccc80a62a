"""Tests of services/collector/results/builders/connection_spans.py."""

from __future__ import annotations

import msgspec

from services.collector.results.builders.connection_spans import connection_spans
from services.collector.results.connection_history import ConnectionSpan
from services.contract.blocklog import ConnectionEvent, ConnectionLine
from services.contract.scalars import utc_text
from tests.builders.runs import RUN, START_US


def line(event: ConnectionEvent, second: int, *, session: int = 1, code: int | None = None) -> ConnectionLine:
    """Return the line about the first connection of a session, some seconds after the start."""
    return ConnectionLine(
        run=RUN, client="client-1", session=session, connection=1, event=event, at=at(second), connected=True, code=code
    )


def at(second: int) -> str:
    """Return a time as the lines have it."""
    return utc_text(START_US + second * 1_000_000)


def us(second: int) -> int:
    """Return a time in epoch microseconds."""
    return START_US + second * 1_000_000


def test_a_connection_lasts_from_opened_to_closed() -> None:
    """A closed connection has its begin, its end and its code."""
    spans = connection_spans([line("opened", 1), line("closed", 4, code=1001)], {})

    assert (ConnectionSpan(1, 1, us(1), us(4), 1001, known_until_us=us(4)),) == spans


def test_the_end_of_the_clients_run_ends_a_connection() -> None:
    """A client that is connected when its run ends ends the connection itself, without a code."""
    (span,) = connection_spans([line("opened", 1), line("sealed", 9)], {})

    assert (us(9), None) == (span.ended_us, span.code)


def test_the_first_end_counts() -> None:
    """What comes after a connection's end does not prolong it."""
    (span,) = connection_spans([line("opened", 1), line("ended", 3), line("sealed", 9)], {})

    assert us(3) == span.ended_us


def test_a_killed_process_was_connected_until_its_last_record() -> None:
    """Without a line about its end, a connection is known to have lasted until the session's last record."""
    killed, after = connection_spans([line("opened", 1), line("opened", 7, session=2)], {1: us(5)})

    assert (None, us(5)) == (killed.ended_us, killed.known_until_us)
    assert us(7) == after.known_until_us


def test_a_connection_whose_close_is_not_logged_has_no_known_end() -> None:
    """A client that was not connected when its run ended lost the connection before: when, is not known."""
    sealed = msgspec.structs.replace(line("sealed", 9), connected=False)
    (span,) = connection_spans([line("opened", 1), sealed], {})

    assert (None, us(9)) == (span.ended_us, span.known_until_us)
