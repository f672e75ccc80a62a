"""Tests of the conditions that end a feed."""

from __future__ import annotations

import pytest

from services.client.external.feed_end import NEVER, EndConditions
from services.client.external.record_values import MAX_NUMBER


@pytest.mark.parametrize("text", ["close 1000,1001", "close:1000, 1001", "code = 1001,1000", "CLOSE 1000\nclose 1001"])
def test_close_codes_are_named(text: str) -> None:
    """One of several close codes ends the feed, and no other code does."""
    ending = EndConditions.of(text)

    assert ["close 1000", "close 1001", None] == [ending.by_close(code) for code in (1000, 1001, 1006)]


@pytest.mark.parametrize("text", ['message "type": ?"end"', 'match:"type": ?"end"', 'message = "type": ?"end"'])
def test_a_message_is_searched(text: str) -> None:
    """The regular expression may be found anywhere in a message."""
    ending = EndConditions.of(text)

    assert 'message "type": ?"end"' == ending.by_message(b'{"id":1,"type":"end"}')
    assert ending.by_message(b'{"type":"tick"}') is None


@pytest.mark.parametrize("text", ["messages 500", "count=500", "messages: 500", "messages 900\nmessages 500"])
def test_messages_are_counted(text: str) -> None:
    """The feed is over when the given number of records was logged, or more."""
    ending = EndConditions.of(text)

    assert [None, "messages 500", "messages 500"] == [ending.by_records(count, 7) for count in (499, 500, 503)]


@pytest.mark.parametrize("text", ["last 99", "seq 99", "last=99", "last 200\nlast 99"])
def test_a_last_number_is_reached(text: str) -> None:
    """The feed ends with that number or a higher one; a record without a number does not end it."""
    ending = EndConditions.of(text)

    assert [None, None, "last 99", "last 99"] == [ending.by_records(5, seq) for seq in (None, 98, 99, 101)]


def test_any_one_of_several_conditions_is_enough() -> None:
    """Each condition is on its own line, in the settings and in the log."""
    ending = EndConditions.of("\n close 1000 \n\n last: 0\nmessage bye")

    assert "close 1000\nlast 0\nmessage bye" == ending.text
    assert ("close 1000", "last 0", "message bye") == (
        ending.by_close(1000), ending.by_records(1, 0), ending.by_message(b"good bye")
    )  # fmt: skip


def test_without_a_condition_nothing_is_an_end() -> None:
    """Without a condition no close code, message or number ends the feed."""
    assert [None, None, None] == [NEVER.by_close(1000), NEVER.by_message(b"end"), NEVER.by_records(10**9, 10**9)]
    assert EndConditions.of(" \n") == NEVER


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("1000", "one condition a line, each like close 1000, .*; not '1000'"),
        ("finish 1000", "not 'finish 1000'"),
        ("close", "not 'close'"),
        ("close 1000,", "a close code, a whole number from 1000 to 4999; not ''"),
        ("close 999", "a close code, a whole number from 1000 to 4999; not '999'"),
        ("messages 0", f"a number after messages, a whole number from 1 to {MAX_NUMBER}; not '0'"),
        ("messages many", "not 'many'"),
        ("last -1", "a number after last, a whole number from 0"),
        ("message (", "a regular expression after message: "),
    ],
)
def test_a_malformed_condition_is_refused(text: str, problem: str) -> None:
    """A malformed condition is refused with the expected form."""
    with pytest.raises(ValueError, match=problem):
        EndConditions.of(text)
