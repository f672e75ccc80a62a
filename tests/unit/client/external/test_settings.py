"""Tests of the settings of an external feed."""

from __future__ import annotations

import msgspec
import pytest

from services.client.external.settings import read_feed
from services.contract.sequence_rules import SequenceRules
from services.runtime.errors import BadSettings


def test_a_feed_of_our_own_has_none() -> None:
    """Without any of these settings, or with FEED=streamgauge, the feed is this project's own."""
    assert read_feed({"SERVER_URL": "ws://server:8765", "FEED_SEQ": " "}) is None
    assert read_feed({"FEED": "streamgauge"}) is None


def test_a_feed_without_numbers_is_set_as_foreign() -> None:
    """FEED=foreign is enough for a feed without any description."""
    settings = read_feed({"FEED": "foreign", "SERVER_URL": "wss://feed/x"})

    assert settings is not None
    assert (None, None, 60) == (settings.reading.seq, settings.feed.seq, settings.seconds)


def test_secrets_are_not_shown() -> None:
    """The address in logs has neither password nor query."""
    settings = read_feed({"FEED": "foreign", "SERVER_URL": "wss://me:secret@feed:9/x?token=abc"})

    assert settings is not None
    assert "wss://feed:9/x" == settings.feed.url == settings.reach.shown
    assert "wss://me:secret@feed:9/x?token=abc" == settings.reach.url


@pytest.mark.parametrize(("text", "unit"), [("$.ts", None), ("$.ts ms", "ms"), ("$['a b']", None)])
def test_time_may_name_its_unit(text: str, unit: str | None) -> None:
    """A path of the time may be followed by a unit."""
    settings = read_feed({"FEED_TIME": text})

    assert settings is not None
    assert unit == settings.reading.unit


@pytest.mark.parametrize(
    ("environment", "problem"),
    [
        ({"FEED_SEQ": "seq"}, "FEED_SEQ='seq': expected a path like .*at character 1"),
        ({"FEED_TIME": "$.ts hours"}, "FEED_TIME='\\$.ts hours': expected a path and perhaps a unit"),
        ({"FEED_MATCH": "("}, "FEED_MATCH='\\(': expected a regular expression: .*unterminated"),
        ({"FEED_MATCH": "a"}, "expected a regular expression with one group, the record; this has 0"),
        ({"FEED_KEY": "$.a,b"}, "FEED_KEY='\\$.a,b': expected a path like .*at character 5"),
        ({"FEED_KEY": "4711.arg", "FEED_SEQ": "$.s"}, "a shell replaces"),
        ({"FEED_TIME": "$.ts utc+1"}, "or utc for texts in UTC"),
        ({"FEED_ENCODING": "gzip, brotli"}, "FEED_ENCODING='gzip, brotli': expected a list of .*; not 'brotli'"),
        ({"FEED_ENCODING": "json zlib-stream"}, "expected zlib-stream as the first encoding"),
        ({"FEED_LIST": "one"}, "FEED_LIST='one': expected one of records, record"),
        ({"FEED_LIST": "record", "FEED_RECORDS": "$.d"}, "FEED_LIST=record: with FEED_RECORDS"),
        ({"FEED_PRECISION": "s"}, "FEED_PRECISION: without FEED_TIME"),
        ({"FEED_PRECISION": "min", "FEED_TIME": "$.t"}, "FEED_PRECISION='min': expected one of"),
        ({"FEED_PONG": "3"}, "FEED_PONG: without FEED_PING"),
        ({"FEED_KEY": "$.k"}, "FEED_KEY: without FEED_SEQ"),
        ({"FEED": "streamgauge", "FEED_SEQ": "$.s"}, "FEED=streamgauge: FEED_SEQ are for an external feed"),
        ({"FEED": "ours"}, "FEED='ours': no such preset; "),
        ({"FEED_END": "stop"}, "FEED_END='stop': expected one condition a line, each like close 1000"),
        ({"FEED_END": "last 9"}, "FEED_END: without FEED_SEQ"),
        ({"FEED_END": "last 9", "FEED_SEQ": "$.s", "FEED_KEY": "$.k"}, "FEED_END: with FEED_KEY"),
        ({"FEED_FIRST": "$.U"}, "FEED_FIRST: without FEED_SEQ there are no numbers that it describes"),
        ({"FEED_STEP": "0", "FEED_SEQ": "$.s"}, "FEED_STEP='0': expected a whole number from 1"),
        ({"FEED_SCOPE": "both", "FEED_SEQ": "$.s"}, "FEED_SCOPE='both': expected one of auto, stream, connection, key"),
        ({"FEED_SCOPE": "key", "FEED_SEQ": "$.s"}, "FEED_SCOPE=key: without FEED_KEY there is no key"),
        ({"FEED_WRAP": "7", "FEED_SEQ": "$.s"}, "FEED_WRAP='7': expected the highest number before"),
        ({"FEED_WRAP": "99", "FEED_SEQ": "$.s", "FEED_PREVIOUS": "$.p"}, "FEED_WRAP: with FEED_PREVIOUS"),
        ({"FEED_FIRST": "$.U", "FEED_SEQ": "$.s", "FEED_STEP": "5"}, "FEED_FIRST and FEED_STEP: each says how"),
        ({"FEED_SILENCE": "0"}, "FEED_SILENCE='0': expected a number from 0.01"),
        ({"FEED_SILENCE": "long"}, "FEED_SILENCE='long': expected a number"),
    ],
)
def test_mistakes_are_reported(environment: dict[str, str], problem: str) -> None:
    """A setting that cannot be used, or contradicts another, is reported in one line."""
    with pytest.raises(BadSettings, match=problem):
        read_feed(environment)


def test_all_mistakes_are_reported_together() -> None:
    """Several mistakes are reported together."""
    with pytest.raises(BadSettings) as refused:
        read_feed({"FEED_SEQ": "x", "FEED_RECORDS": "y", "FEED_PONG": "z"})

    assert 3 == len(refused.value.problems)


def test_silence_and_end_are_in_the_log() -> None:
    """The operator's settings of a feed's silence and end are in the first line of every log."""
    settings = read_feed({"FEED_SEQ": "$.s", "FEED_SILENCE": "2.5", "FEED_END": "close:1000\nlast=99"})
    silent = read_feed({"FEED_SEQ": "$.s"})

    assert settings is not None
    assert silent is not None
    assert (2.5, "close 1000\nlast 99") == (settings.feed.silence_s, settings.feed.end)
    assert (None, None) == (silent.feed.silence_s, silent.feed.end)


def test_the_reading_of_frames_is_in_the_log() -> None:
    """How frames become records is in the first line of every log, and in the settings as bytes."""
    settings = read_feed(
        {
            "FEED_SEQ": "$[-2]", "FEED_KEY": "$$[0], $[1]", "FEED_TIME": "$[-1] utc", "FEED_PRECISION": "ms",
            "FEED_ENCODING": "gzip, json", "FEED_SPLIT": r"\r\n\x1e", "FEED_LIST": "record",
        }
    )  # fmt: skip
    plain = read_feed({"FEED_SEQ": "$.s"})

    assert settings is not None
    assert plain is not None
    feed = settings.feed
    assert (("gzip", "json"), b"\r\n\x1e") == (settings.framing.encodings, settings.framing.messages.separator)
    assert ("$$[0],$[1]", "ms", "gzip,json", r"\r\n\x1e", "record") == (
        feed.key, feed.precision, feed.encoding, feed.split, feed.message_list
    )  # fmt: skip
    unset = plain.feed.precision, plain.feed.encoding, plain.feed.split, plain.feed.message_list
    assert {msgspec.UNSET} == {*unset}


def test_how_numbers_are_read_is_in_the_log() -> None:
    """The settings of the numbers are described in the log; without any of them there is nothing to describe."""
    given = {"FEED_SCOPE": "connection", "FEED_WRAP": "1-65535", "FEED_REPEATS": "reconnect"}
    settings = read_feed({"FEED_SEQ": "$.u", "FEED_FIRST": "$.U", **given})
    plain = read_feed({"FEED_SEQ": "$.u"})

    assert settings is not None
    assert plain is not None
    rules = SequenceRules(first="$.U", scope="connection", wrap="1-65535", repeats="reconnect")
    assert (rules, msgspec.UNSET) == (settings.feed.sequence, plain.feed.sequence)
    assert "$.U" == (settings.reading.first and settings.reading.first.text)
