"""Tests of what is said about paths that find nothing, and about messages that were passed over."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from services.collector.verdict.summary import reconcile
from services.contract import blocklog
from services.contract.blocklog import ExternalMessage
from services.contract.summary import Summary
from tests.builders.external_runs import evidence_of, log, message, numbered_messages


def made(messages: list[ExternalMessage], **settings: Any) -> Summary:
    """Return the summary of a run of one client that received these messages."""
    return reconcile(evidence_of(log("client-1", messages, seq="$.n", **settings)), final=True)


def detail(reported: Summary, name: str) -> str:
    """Return the detail of a check."""
    return next(check.detail for check in reported.checks if check.name == name)


@pytest.mark.parametrize(
    ("feed", "keys", "why"),
    [
        (
            {"key": "$.topic"}, [None, None],
            "none of its 6 messages has a key at $.topic, so its sequences are not told apart",
        ),
        ({"key": "$.topic", "records": "$.data"}, [None, None], "; $$.topic reads it from the message"),
        ({"key": "$.feed,$.prodcut"}, [r"book|\N", r"trade|\N"], "none of its 6 messages has a key at $.prodcut,"),
        ({"key": "$[0],$.b"}, [r"\N|a", r"\N|b"], "at $[0], so its sequences are not told apart; FEED_LIST=record"),
    ],
)  # fmt: skip
def test_a_key_that_is_found_nowhere_is_a_doubt(feed: dict[str, str], keys: list[str | None], why: str) -> None:
    """Sequences that cannot be told apart are INVALID with the path, and not FAIL by millions."""
    messages = [
        message(base + seq, seq, key=key) for seq in range(3) for base, key in zip((0, 10**6), keys, strict=True)
    ]
    reported = made(messages, feed=feed)

    assert "INVALID" == reported.verdict
    assert why in reported.headline


@pytest.mark.parametrize(
    ("key", "keys"),
    [
        ("$.topic", ["a", "b"]), ("$.topic", ["a", None]), ("$.a,$.b", [r"x|\N", r"\N|x"]),
        ("$.a,$.b", ["x" * 80 + "…#0", "y"]),
    ],
)  # fmt: skip
def test_a_key_that_is_found_somewhere_is_none(key: str, keys: list[str | None]) -> None:
    """A path that finds something in some records raises no doubt."""
    reported = made([message(seq, seq, key=key) for seq in range(3) for key in keys], feed={"key": key})

    assert "has a key at" not in " ".join(reported.reasons)


def test_a_list_that_was_taken_apart_has_a_proposal() -> None:
    """Where a number is looked for in a list and never found, FEED_LIST=record is proposed."""
    reported = reconcile(evidence_of(log("client-1", numbered_messages([None] * 3), seq="$[2]")), final=True)

    assert "INVALID" == reported.verdict
    assert reported.headline.endswith("that can be used; FEED_LIST=record reads a message that is a list as one record")
    set_already = log("client-1", numbered_messages([None] * 3), seq="$[2]", feed={"message_list": "record"})
    assert reconcile(evidence_of(set_already), final=True).headline.endswith("at $[2] that can be used")


GZIP = '"H4sIAAAAAAAC/6tWKk4tVLIyrwUAKYNNEgkAAAA="'


def unread(record: str, form: blocklog.Form = "binary", count: int = 3) -> list[ExternalMessage]:
    """Return messages with a record in which no number was found."""
    empty = message(None, 0, unreadable=True)
    return [msgspec.structs.replace(empty, record=msgspec.Raw(record.encode()), form=form)] * count


@pytest.mark.parametrize(
    ("messages", "feed", "hint"),
    [
        (unread(GZIP), {}, "; they seem to be gzip: set FEED_ENCODING=gzip"),
        (unread(GZIP), {"encoding": "deflate"}, "; they seem to be gzip: set FEED_ENCODING=gzip"),
        (unread(GZIP), {"encoding": "gzip,json"}, "; they cannot be decoded as FEED_ENCODING=gzip,json"),
        (unread('"CKwCEgNCVEM="'), {}, "; formats such as protobuf or MessagePack are not supported"),
        (unread(r'"{}\n{}"', "text"), {}, r"; they have several lines of JSON: set FEED_SPLIT='\n'"),
        (unread('"1,2"', "text"), {"match": "x(.*)"}, "; FEED_MATCH=x(.*) finds nothing in them"),
    ],
)
def test_what_cannot_be_read_has_a_proposal(messages: list[ExternalMessage], feed: dict[str, str], hint: str) -> None:
    """Where no number was found, the headline says what the data seems to be and which setting reads it."""
    reported = made(messages, feed=feed)

    assert "INVALID" == reported.verdict
    assert reported.headline.endswith(hint)


def test_numbers_that_cannot_be_read_have_a_proposal() -> None:
    """A number that is in a message which cannot be read is not missing, and the reason says what the message is."""
    reported = made([message(1, 0), *unread(r'"{\"n\":2}{\"n\":3}"', "text", 1), message(3, 2)])

    assert ("INVALID", 0, 1) == (reported.verdict, reported.totals.missing, reported.clients[0].unreadable)
    assert reported.headline.endswith("they have several JSON texts without a separator, which is not supported")


def test_a_time_that_is_found_nowhere_is_said() -> None:
    """Without any time at its path the check of clocks says so, and the run may still pass."""
    messages = [message(seq, seq, late_ns=None) for seq in range(4)]
    reported = made(messages, time="$.ts", counts={"without_time": 4})

    assert ("PASS", 4) == (reported.verdict, reported.totals.without_time)
    assert "no sender's time: none of 4 messages has one at $.ts" == detail(reported, "clocks")
    assert "no sender's time was found" in reported.headline
    assert "no sender's time" == detail(made(messages), "clocks")
    assert "sender's time" not in made(messages).headline


def test_a_time_that_is_cut_is_said() -> None:
    """The headline names the precision of the sender's time, and the check of clocks what it means for a latency."""
    reported = made(numbered_messages(range(4)), time="$.ts", feed={"precision": "s"})

    assert "p99 1.0 ms from the sender's time, which is cut to seconds" in reported.headline
    assert "; its time is cut to seconds: latencies are up to 1.0 s too long" in detail(reported, "clocks")


def test_what_was_passed_over_is_named_beside_a_gap() -> None:
    """A pattern may match too much, so the numbers of ignored messages and pings are beside missing ones."""
    gap, whole = ([message(seq, seq) for seq in seqs] for seqs in ([1, 2, 4], [1, 2, 3]))
    reported = made(gap, counts={"ignored": 5, "pings": 1})

    assert ("FAIL", 5, 1) == (reported.verdict, reported.totals.ignored, reported.totals.pings)
    assert reported.headline.endswith(
        "; passed over beside these: 5 messages that FEED_IGNORE matches and 1 message that FEED_PING matches"
    )
    assert "passed over" not in made(whole, counts={"ignored": 5}).headline
    assert "passed over" not in made(gap, counts={"ignored": 0}).headline


def test_logs_without_these_counts_say_nothing() -> None:
    """Counts that a log of an earlier version lacks are absent, and never 0."""
    totals = made(numbered_messages(range(3))).totals

    assert {msgspec.UNSET} == {totals.ignored, totals.pings, totals.without_key, totals.without_time}
