"""Tests of the lines that tell what becomes of a session's connections."""

from __future__ import annotations

from services.client.block_encoder import SessionKey
from services.client.external.connection_lines import ConnectionLog
from services.contract import blocklog
from services.contract.jsonl import FIRST
from tests.unit.client.fakes import RUN, START_US


def connections() -> ConnectionLog:
    """Return the connections of a session that has had none."""
    return ConnectionLog(SessionKey(RUN, "client-1", 2))


def told(line: blocklog.ConnectionLine) -> tuple[str, int, bool, int | None, str, int]:
    """Return what a line says of an event."""
    return line.event, line.connection, line.connected, line.code, line.reason, line.attempts


def test_every_event_is_told_with_what_is_known() -> None:
    """A line says which connection it is of, whether there is one, and how many attempts have failed since."""
    one = connections()

    assert ("refused", 0, False, 503, "later", 1) == told(one.refused(START_US, 503, "later"))
    assert ("refused", 0, False, None, "no route", 2) == told(one.refused(START_US, None, "no route"))
    assert ("opened", 1, True, None, "", 0) == told(one.opened(START_US))
    assert ("closed", 1, False, 1006, "cut", 0) == told(one.closed(START_US, 1006, "cut"))
    assert ("refused", 1, False, 429, "slow down", 1) == told(one.refused(START_US, 429, "slow down"))
    assert ("sealed", 1, False, 429, "slow down", 1) == told(one.sealed(START_US))


def test_a_client_that_is_connected_is_sealed_without_a_reason() -> None:
    """What happened before the present connection is no reason."""
    one = connections()
    one.opened(START_US)
    one.closed(START_US, 1001, "going away")
    one.opened(START_US)

    assert ("sealed", 2, True, None, "", 0) == told(one.sealed(START_US))


def test_a_named_end_is_told_with_its_condition() -> None:
    """The line of a named end has the condition, and the close code where that was the end."""
    one, other = connections(), connections()
    one.opened(START_US)
    other.opened(START_US)
    other.closed(START_US, 1000, "done")

    assert ("ended", 1, True, None, "messages 500", 0) == told(one.ended(START_US, "messages 500"))
    assert ("ended", 1, False, 1000, "close 1000", 0) == told(other.ended(START_US, "close 1000"))


def test_a_line_is_what_a_reader_decodes() -> None:
    """A line goes through the codec unchanged, its time with six digits."""
    made = connections().refused(START_US, 401, "the server answered HTTP 401: no")
    line, _ = blocklog.codec.encode(made, FIRST)

    assert made == blocklog.codec.decode(line)[1]
    assert "2026-11-22T07:30:00.000000Z" == made.at


def test_a_client_that_was_held_back_says_for_whom() -> None:
    """A client that made no attempt has the reason of the client for which it waited; one with its own keeps that."""
    waiting, cut = connections(), connections()
    waiting.held_back(429, "x" * 300)
    cut.opened(START_US)
    cut.closed(START_US, 1006, "cut")
    cut.held_back(429, "slow down")

    line = waiting.sealed(START_US)
    assert (429, 200, 0) == (line.code, len(line.reason), line.attempts)
    assert line.reason.startswith("held back, since another client was refused: xxx")
    assert ("sealed", 1, False, 1006, "cut", 0) == told(cut.sealed(START_US))
