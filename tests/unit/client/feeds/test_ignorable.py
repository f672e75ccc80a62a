"""Tests of the messages of a feed that are proposed to be ignored."""

from __future__ import annotations

from typing import Any

from services.client.feeds.ignorable import find_ignorable, repeating, with_snapshots
from services.client.feeds.json_columns import columns_of
from services.client.feeds.numbering import Numbering
from services.client.feeds.proposal import Proposal

NUMBERING = Numbering("one", "$.n", None, None, (), 20, 1.0)


def feed(*others: dict[str, Any]) -> list[dict[str, Any]]:
    """Return ticks with numbers, with other messages after each tenth."""
    messages: list[dict[str, Any]] = []
    for at in range(30):
        messages.append({"type": "tick", "n": at})
        if at % 10 == 9:
            messages += [{name: at if value == "last" else value for name, value in one.items()} for one in others]
    return messages


def test_heartbeats_that_repeat_a_number() -> None:
    """Messages of one kind that only repeat the last number are found, and proposed to be ignored."""
    messages = feed({"type": "hb", "n": "last"})
    found = repeating(messages, columns_of(messages))

    assert {10, 21, 32} == found
    (one,) = find_ignorable(messages, columns_of(messages), NUMBERING, found)
    assert ("decode.ignore", '"type": ?"hb"') == one[:2]


def test_messages_without_a_number() -> None:
    """Messages without a number are proposed to be ignored by what they alone have."""
    messages = feed({"type": "ok"}, {"event": "pong"})
    (one,) = find_ignorable(messages, columns_of(messages), NUMBERING)

    assert {'"type": ?"ok"', '"event": ?"pong"'} == set(one.text.split("|"))


def test_records_are_never_ignored() -> None:
    """A message that has nothing but what records have as well is not proposed to be ignored."""
    messages = [*feed(), {"type": "tick"}, {"type": "tick", "n": 29}]

    assert set() == repeating(messages, columns_of(messages))
    assert [] == find_ignorable(messages, columns_of(messages), NUMBERING)


def test_the_whole_state_at_the_begin() -> None:
    """A snapshot at the begin of a connection is proposed to be ignored, beside what is ignored anyway."""
    changes = [{"data": {"type": "change", "n": at}} for at in range(30)]
    messages = [{"data": {"type": "snapshot", "n": 0}}, *changes]
    (one,) = with_snapshots([], messages)
    (joined,) = with_snapshots([Proposal("decode.ignore", '"op"', "")], messages)

    assert ("decode.ignore", '"type": ?"snapshot"') == one[:2]
    assert '"op"|"type": ?"snapshot"' == joined.text
    assert [joined] == with_snapshots([joined], messages)
    assert [] == with_snapshots([], changes)
    assert [] == with_snapshots([], messages[:1] * 30)


def test_an_answer_is_told_by_a_name() -> None:
    """A single answer without a text of its own is proposed to be ignored by a name that no record has."""
    messages = [{"jsonrpc": "2.0", "result": ["a"]}, *({"jsonrpc": "2.0", "n": at} for at in range(30))]
    (one,) = find_ignorable(messages, columns_of(messages), NUMBERING)

    assert '"result": ?' == one.text


def test_a_pattern_matches_no_record() -> None:
    """A pattern that would be found inside of a record is not proposed."""
    messages = [{"type": "ok"}, *({"n": at, "data": {"type": "ok"}} for at in range(30))]

    assert [] == find_ignorable(messages, columns_of(messages), NUMBERING)


def test_data_of_another_kind_stays() -> None:
    """Many messages without a number are no answers, and a name alone is no reason to pass over them."""
    messages = [{"n": at} if at % 2 else {"quote": at * 7 % 5} for at in range(60)]

    assert [] == find_ignorable(messages, columns_of(messages), NUMBERING)
