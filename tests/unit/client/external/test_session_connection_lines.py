"""Tests of the log lines about a session's connections."""

from __future__ import annotations

from services.client.block_encoder import SessionKey
from services.client.external.session import ConnectionLog
from services.contract import blocklog
from services.contract.jsonl import FIRST
from tests.unit.client.fakes import RUN, START_US


def connections() -> ConnectionLog:
    """Return the connections of a session that has had none."""
    return ConnectionLog(SessionKey(RUN, "client-1", 2))


def outline(line: blocklog.ConnectionLine) -> tuple[str, int, bool, int | None, str, int]:
    """Return the event and state in a line."""
    return line.event, line.connection, line.connected, line.code, line.reason, line.attempts


def test_every_event_has_a_line() -> None:
    """A line states its connection's number, whether the client is connected, and how many attempts have failed."""
    one = connections()

    assert ("refused", 0, False, 503, "later", 1) == outline(one.refused(START_US, 503, "later"))
    assert ("refused", 0, False, None, "no route", 2) == outline(one.refused(START_US, None, "no route"))
    assert ("opened", 1, True, None, "", 0) == outline(one.opened(START_US))
    assert ("closed", 1, False, 1006, "cut", 0) == outline(one.closed(START_US, 1006, "cut"))
    assert ("refused", 1, False, 429, "slow down", 1) == outline(one.refused(START_US, 429, "slow down"))
    assert ("sealed", 1, False, 429, "slow down", 1) == outline(one.sealed(START_US))


def test_a_client_that_is_connected_is_sealed_without_a_reason() -> None:
    """A connected client has no code or reason from before the connection."""
    one = connections()
    one.opened(START_US)
    one.closed(START_US, 1001, "going away")
    one.opened(START_US)

    assert ("sealed", 2, True, None, "", 0) == outline(one.sealed(START_US))


def test_the_line_of_an_end_has_its_condition() -> None:
    """The line of an end has the condition that was met, and the close code if the connection ended."""
    one, other = connections(), connections()
    one.opened(START_US)
    other.opened(START_US)
    other.closed(START_US, 1000, "done")

    assert ("ended", 1, True, None, "messages 500", 0) == outline(one.ended(START_US, "messages 500"))
    assert ("ended", 1, False, 1000, "close 1000", 0) == outline(other.ended(START_US, "close 1000"))


def test_a_line_is_what_a_reader_decodes() -> None:
    """A line is unchanged after encoding and decoding, and its time has six digits."""
    made = connections().refused(START_US, 401, "the server answered HTTP 401: no")
    line, _ = blocklog.codec.encode(made, FIRST)

    assert made == blocklog.codec.decode(line)[1]
    assert "2026-11-22T07:30:00.000000Z" == made.at


def test_a_client_that_was_held_back_has_the_reason() -> None:
    """A client that made no attempt gets the refused client's reason; a client with a reason of its own keeps it."""
    waiting, cut = connections(), connections()
    waiting.held_back(429, "x" * 300)
    cut.opened(START_US)
    cut.closed(START_US, 1006, "cut")
    cut.held_back(429, "slow down")

    line = waiting.sealed(START_US)
    assert (429, 200, 0) == (line.code, len(line.reason), line.attempts)
    assert line.reason.startswith("held back, since another client was refused: xxx")
    assert ("sealed", 1, False, 1006, "cut", 0) == outline(cut.sealed(START_US))


def test_a_greeting_that_is_unanswered_is_the_reason_at_the_end() -> None:
    """A connected client whose greeting is unanswered is sealed with that reason; one that is away keeps its own."""
    one, away = connections(), connections()
    one.opened(START_US)
    one.unanswered("x" * 300)
    away.opened(START_US)
    away.closed(START_US, 1006, "cut")
    away.unanswered("no answer")

    assert ("sealed", 1, True, None, "x" * 200, 0) == outline(one.sealed(START_US))
    assert ("sealed", 1, False, 1006, "cut", 0) == outline(away.sealed(START_US))


def test_a_client_that_waits_for_its_first_attempt_has_the_reason() -> None:
    """The last line states why there was no attempt, unless the client was refused or connected."""
    waiting, refused, cut = connections(), connections(), connections()
    refused.refused(START_US, 503, "later")
    cut.opened(START_US)
    cut.closed(START_US, 1001, "")
    for one in (waiting, refused, cut):
        one.waits("no attempt was made")

    reasons = [one.sealed(START_US).reason for one in (waiting, refused, cut)]

    assert ["no attempt was made", "later", ""] == reasons
