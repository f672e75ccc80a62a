"""Tests of the messages to an external server."""

from __future__ import annotations

import re

import pytest

from services.client.external.decoder import RecordPaths
from services.client.external.templates import PingPolicy, Template, resumption
from services.contract.json_path import JsonPath


def test_a_template_has_a_message_a_line() -> None:
    """Every line is a message, in order, with its values inserted; the braces of JSON are kept."""
    template = Template.of('{"op":"hello","me":"{client}"}\n\n  {"op":"subscribe"} ')

    assert ['{"op":"hello","me":"client-1"}', '{"op":"subscribe"}'] == template.messages(client="client-1")


def test_binary_messages_have_bytes() -> None:
    """A line that begins with binary: is a binary frame. Escapes are single bytes, other characters UTF-8."""
    assert [b"CONNECT {}\r\n\xff\\x \xe2\x82\xac"] == Template.of(r"binary:CONNECT {}\r\n\xff\\x €").messages()
    assert [b"\xc3\xbc\xfc \xc3\xb1"] == Template.of(r"binary:ü\xfc {key}").messages(key="ñ")


def test_resumption_names_the_last_seq() -> None:
    """Without keys the feed is resumed from the highest seq received."""
    assert ['{"after":9}'] == resumption(Template.of('{"after":{seq}}'), "client-1", [("a", 4), ("b", 9)])


def test_resumption_may_name_the_number_that_is_wanted() -> None:
    """A template with {next} gets the number after the last one received."""
    assert ['{"from":10}'] == resumption(Template.of('{"from":{next}}'), "client-1", [(None, 9)])


def test_resumption_is_sent_for_every_key() -> None:
    """A template with {key} is sent once for each key, with the last seq of that key."""
    messages = resumption(Template.of("{key}:{seq}"), "client-1", [("a", 4), ("b", 9)])

    assert ["a:4", "b:9"] == messages


@pytest.mark.parametrize("key", [r"a\u0062", r"x\n", r"\x41", r"\\", "{seq}", "{client}", "{key}", r"\1", "binary:"])
def test_a_key_is_sent_as_it_is(key: str) -> None:
    """Escapes and names in a key, which the server chose, mean nothing: it is sent character by character."""
    text, binary = resumption(Template.of("{key}@{seq}\nbinary:{key}@{seq}\\n"), "client-1", [(key, 4)])

    assert f"{key}@4" == text
    assert f"{key}@4\n".encode() == binary


def test_half_a_surrogate_pair_in_a_key_can_be_sent() -> None:
    """A key that cannot be encoded in UTF-8 is sent by its escape sequence, as it is logged."""
    [found] = RecordPaths(seq=JsonPath("$.s"), key=JsonPath("$.k")).read(b'{"s":4,"k":"x\\ud83d"}', binary=False)
    text, binary = resumption(Template.of("{key}\nbinary:{key}"), "client-1", [(found.key, 4)])

    assert (r"x\ud83d", rb"x\ud83d") == (text, binary)


def test_resumption_without_numbers_names_none() -> None:
    """Without any seq it is resumed from 0."""
    assert ["from 0"] == resumption(Template.of("from {seq}"), "client-1", [])


def test_pings_are_answered_with_their_groups() -> None:
    """The answer contains the groups of the ping; a frame that does not match is not answered."""
    manners = PingPolicy(re.compile(rb'"op":"ping","t":(\d+)'), r'{"op":"pong","t":\1}')

    assert '{"op":"pong","t":17}' == manners.answer(b'{"op":"ping","t":17}')
    assert manners.answer(b'{"op":"pong"}') is None
    assert PingPolicy().answer(b"2") is None


def test_pings_may_want_no_answer_or_a_binary_one() -> None:
    """Without FEED_PONG a ping is ignored; an answer may be a binary frame."""
    assert "" == PingPolicy(re.compile(b"^2$")).answer(b"2")
    assert b"PONG\r\n" == PingPolicy(re.compile(b"^PING"), r"binary:PONG\r\n").answer(b"PING\r\n")


def test_a_group_of_a_ping_is_sent_as_it_is() -> None:
    """Escapes and names in a ping mean nothing in the answer; a binary answer has the very bytes of the group."""
    ping = re.compile(rb"^PING (.*)$", re.DOTALL)

    assert b"PONG \\n\xff{client}\r\n" == PingPolicy(ping, r"binary:PONG \1\r\n").answer(b"PING \\n\xff{client}")
    assert r"PONG \n \2 {seq}" == PingPolicy(ping, r"PONG \1").answer(rb"PING \n \2 {seq}")
    assert "binary:1" == PingPolicy(ping, r"\1").answer(b"PING binary:1")
    assert ("PONG PING 7 7 ", "{client}") == (
        PingPolicy(ping, r"PONG \0 \1 \2").answer(b"PING 7"),
        PingPolicy(ping, "{client}").answer(b"PING 7"),
    )


def test_frames_that_are_no_records_are_passed_over() -> None:
    """A frame that FEED_IGNORE matches is not a record."""
    manners = PingPolicy(ignore=re.compile(rb"^\+OK"))

    assert manners.ignores(b"+OK\r\n")
    assert not manners.ignores(b"MSG")
    assert not PingPolicy().ignores(b"+OK\r\n")
