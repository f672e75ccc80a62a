"""Tests of the messages to an external server."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.client.external.decoder import RecordPaths
from services.client.external.templates import MessageTemplate, PingPolicy, Template
from services.contract.json_path import JsonPath


def said(line: str, **values: str | int | None) -> str | bytes:
    """Return the message of one line."""
    return MessageTemplate(line).message(values)


def test_a_template_has_a_message_a_line() -> None:
    """Every line is a message, in order, with its values inserted; the braces of JSON are kept."""
    template = Template.of('{"op":"hello","me":"{client}"}\n\n  {"op":"subscribe"} ')

    assert ['{"op":"hello","me":"client-1"}', '{"op":"subscribe"}'] == template.messages(client="client-1")


def test_binary_messages_have_bytes() -> None:
    """A line that begins with binary: is a binary frame. Escapes are single bytes, other characters UTF-8."""
    assert [b"CONNECT {}\r\n\xff\\x \xe2\x82\xac"] == Template.of(r"binary:CONNECT {}\r\n\xff\\x €").messages()
    assert [b"\xc3\xbc\xfc \xc3\xb1"] == Template.of(r"binary:ü\xfc {key}").messages(key="ñ")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"key":"{key}"}', '{"key":"say \\"x\\"\\\\"}'),
        ('{"key":{key}}', '{"key":say "x"\\}'),
        ('{"a":"\\\\","key":"{key}"}', '{"a":"\\\\","key":"say \\"x\\"\\\\"}'),
        ('{"a":"6\\" pipe, {key}"}', '{"a":"6\\" pipe, say \\"x\\"\\\\"}'),
        ("SUBSCRIBE {key}", 'SUBSCRIBE say "x"\\'),
    ],
)
def test_a_value_is_escaped_inside_a_json_string(line: str, expected: str) -> None:
    """A value is escaped where it stands inside a JSON string, and only there."""
    assert expected == said(line, key='say "x"\\')


def test_a_value_is_not_escaped_in_a_binary_message() -> None:
    """A binary message has the value as it is: whether it is JSON is not known."""
    assert b'MSG "say "x""\r\n' == said(r'binary:MSG "{key}"\r\n', key='say "x"')


@given(st.text(), st.integers(0, 3))
def test_any_value_survives_json_in_json(key: str, depth: int) -> None:
    """A value in a JSON text that is a string of another JSON text is read again as it was, at any depth."""
    text = json.dumps({"key": "{key}"})
    for _ in range(depth):
        text = json.dumps({"data": text})
    found = said(text, key=key)
    for _ in range(depth):
        found = json.loads(found)["data"]

    assert {"key": key} == json.loads(found)


@given(st.text(alphabet=st.characters(blacklist_categories=["Cs"])))
def test_a_line_without_names_and_doubled_braces_is_sent_as_it_is(text: str) -> None:
    """A text message without any brace that opens, and without backslashes, is not changed."""
    line = re.sub(r"[{\\]|binary:", "", text)

    assert line == said(line, client="c", seq=1, next=2, key="k")


@given(
    st.recursive(
        st.none() | st.integers() | st.text('ab}]:,"\\ '),
        lambda inner: st.lists(inner) | st.dictionaries(st.text("ab"), inner),
    )
)
def test_json_stays_json(value: object) -> None:
    """A JSON message whose strings have no brace that opens is sent as it is, however its objects are nested."""
    assert json.dumps(value) == said(json.dumps(value), key="k")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (r'{"protocol":"json","version":1}\x1e', '{"protocol":"json","version":1}\x1e'),
        (r"CONNECT\naccept-version:1.2\r\n\n\x00\\\t\q", "CONNECT\naccept-version:1.2\r\n\n\x00\\\t\\q"),
        (r'["a\n\"\\",\n"\x1e"]', '["a\\n\\"\\\\",\n"\\x1e"]'),
    ],
)
def test_escapes_outside_of_json_strings_are_characters(line: str, expected: str) -> None:
    """Outside of JSON strings an escape of a text message is a character; inside it belongs to JSON."""
    assert expected == said(line)


def test_half_a_surrogate_pair_in_a_key_can_be_sent() -> None:
    """A key that cannot be encoded in UTF-8 is sent by its escape sequence, as it is logged."""
    [found] = RecordPaths(seq=JsonPath("$.s"), key=(JsonPath("$.k"),)).read(b'{"s":4,"k":"x\\ud83d"}', binary=False)

    assert (r"x\ud83d", rb"x\ud83d") == (said("{key}", key=found.key), said("binary:{key}", key=found.key))


def test_half_a_surrogate_pair_can_be_sent() -> None:
    """A key with half a surrogate pair is an escape in a JSON string, and a question mark where UTF-8 has none."""
    assert '{"key":"\\ud800"}' == said('{"key":"{key}"}', key="\ud800")
    assert "SUB ?" == said("SUB {key}", key="\ud800")
    assert b"SUB ?" == said("binary:SUB {key}", key="\ud800")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('{"query":"subscription{ticks(after:{seq}){{seq}}}"}', '{"query":"subscription{ticks(after:7){seq}}"}'),
        ('{"query":"subscription{{ticks(after:{seq}){{seq}}}}"}', '{"query":"subscription{ticks(after:7){seq}}"}'),
        ('{"query":"subscription{ticks{id}}","d":{"e":{}}}', '{"query":"subscription{ticks{id}}","d":{"e":{}}}'),
        ('{"a":{"b":"{{seq}}","c":{"d":{seq}}}}', '{"a":{"b":"{seq}","c":{"d":7}}}'),
        ('{{"op":"x","d":{{"s":{seq}}}}}', '{"op":"x","d":{"s":7}}'),
        ("SUB {{seq}} {{{seq}}}", "SUB {seq} {7}"),
        ("binary:SUB {{seq}} {seq}", b"SUB {seq} 7"),
    ],
)
def test_doubled_braces_are_braces(line: str, expected: str | bytes) -> None:
    """Where two braces open, double braces are single ones; elsewhere they are two, as JSON has them."""
    assert expected == said(line, seq=7)


def test_a_name_without_a_value_stays() -> None:
    """What stands in braces and is no name of a value is sent as it is written."""
    assert '{"q":"{ticks}"} {client}' == said('{"q":"{ticks}"} {client}')


@pytest.mark.parametrize(
    "key", [r"a\u0062", r"x\n", r"\x41", r"\\", "{seq}", "{client}", "{key}", r"\1", "binary:", "{{"]
)
def test_a_key_is_sent_as_it_is(key: str) -> None:
    """Escapes and names in a key, which the server chose, mean nothing: it is sent character by character."""
    assert f"{key}@4" == said("{key}@{seq}", key=key, seq=4)
    assert f"{key}@4\n".encode() == said("binary:{key}@{seq}\\n", key=key, seq=4)


def test_an_inserted_value_is_no_template() -> None:
    """A key that looks like a template, or like an escape, is sent as it is."""
    assert "SUB {seq} \\x41 {{" == said("SUB {key}", key="{seq} \\x41 {{", seq=7)
    assert b"SUB {seq}\\x41\n" == said(r"binary:SUB {key}\n", key="{seq}\\x41", seq=7)


@pytest.mark.parametrize(
    ("line", "expected"),
    [('{"op":1,"d":{seq}}', '{"op":1,"d":null}'), ('{"d":"{seq}"}', '{"d":"0"}'), ("PING {seq}", "PING 0")],
)
def test_an_unknown_number_is_null_in_json(line: str, expected: str) -> None:
    """A number that is not known is null where JSON can say that, and otherwise 0."""
    assert expected == said(line, seq=None)


def test_pings_are_answered_with_their_groups() -> None:
    """The answer contains the groups of the ping; a frame that does not match is not answered."""
    manners = PingPolicy(re.compile(rb'"op":"ping","t":(\d+)'), r'{"op":"pong","t":\1}')

    assert '{"op":"pong","t":17}' == manners.answer(b'{"op":"ping","t":17}')
    assert manners.answer(b'{"op":"pong"}') is None
    assert PingPolicy().answer(b"2") is None


def test_a_group_of_a_ping_is_no_template() -> None:
    """The text of a ping is answered as it came, with the escapes and braces that it has."""
    manners = PingPolicy(re.compile(rb'"id":"(.*)"'), r'{"id":"\1"}')

    assert r'{"id":"a\"b{client}\x41"}' == manners.answer(rb'"id":"a\"b{client}\x41"')
    assert rb"PONG a\x41" == PingPolicy(re.compile(b"PING (.*)"), r"binary:PONG \1").answer(rb"PING a\x41")


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


def test_pings_may_want_no_answer_or_a_binary_one() -> None:
    """Without FEED_PONG a ping is ignored; an answer may be a binary frame."""
    assert "" == PingPolicy(re.compile(b"^2$")).answer(b"2")
    assert b"PONG\r\n" == PingPolicy(re.compile(b"^PING"), r"binary:PONG\r\n").answer(b"PING\r\n")


def test_frames_that_are_no_records_are_passed_over() -> None:
    """A frame that FEED_IGNORE matches is not a record."""
    manners = PingPolicy(ignore=re.compile(rb"^\+OK"))

    assert manners.ignores(b"+OK\r\n")
    assert not manners.ignores(b"MSG")
    assert not PingPolicy().ignores(b"+OK\r\n")
