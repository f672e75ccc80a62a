"""Tests of the texts that a profile's values become."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.client.external.profiles.profile_texts import captured_in, fill, text_of, variables_in
from services.client.external.templates import MessageTemplate, Template


@pytest.mark.parametrize(
    ("name", "values", "text"),
    [
        ("FEED_SECONDS", {"end.seconds": 5.0}, "5"),
        ("FEED_SECONDS", {"end.seconds": 0.25}, "0.25"),
        ("FEED_FLAG", {"a.flag": True}, "true"),
        ("FEED_FLAG", {"a.flag": False}, "false"),
        ("FEED_ENCODING", {"decode.encoding": ["gzip", "json"]}, "gzip,json"),
        ("FEED_KEY", {"sequence.key": "$.a,$.b"}, "$.a,$.b"),
        ("FEED_RESUME", {"resume.send": ['{"a":1,\n "b":2}\n', "c"]}, '{"a":1, "b":2}\nc'),
        ("FEED_SPLIT", {"decode.split": "\x1e"}, r"\x1e"),
        ("FEED_SPLIT", {"decode.split": r"\x1e"}, r"\x1e"),
        ("FEED_SPLIT", {"decode.split": "\n"}, r"\x0a"),
        ("FEED_TIME", {"time.path": "$.t"}, "$.t"),
        ("FEED_END", {"end.match": ["a", "b"], "end.last": 9}, "message a\nmessage b\nlast 9"),
        ("FEED_HELLO", {"hello": "one\ntwo"}, "one\ntwo"),
        ("FEED_HELLO", {"hello": {"send": "one"}}, "one"),
        ("FEED_HELLO", {"hello": [{"file": "feeds/login"}]}, "file:feeds/login"),
        ("FEED_HELLO", {"hello": [{"command": ["./login", "-x"], "seconds": 5}]}, 'command 5s:["./login", "-x"]'),
        ("FEED_HELLO", {"hello": [{"wait": "^0"}, {"wait": "^4", "seconds": 2.5}, "x"]}, "wait:^0\nwait 2.5s:^4\nx"),
    ],
)
def test_values_become_a_text(name: str, values: dict[str, object], text: str) -> None:
    """The values of a setting's keys become the text of its variable."""
    assert text == text_of(name, values)


@pytest.mark.parametrize(
    ("name", "text", "filled"),
    [
        ("SERVER_URL", "ws://a/{v}?{w}", 'ws://a/a"b.c?{w}'),
        ("FEED_HELLO", '{"a":"{v}"}', r'{"a":"a\"b.c"}'),
        ("FEED_HELLO", '{"i":"{\\"c\\":\\"{v}\\"}"}', r'{"i":"{\"c\":\"a\\\"b.c\"}"}'),
        ("FEED_HELLO", '{"a":{v}}', r'{"a":a\x22b.c}'),
        ("FEED_HELLO", "plain {v}", r"plain a\x22b.c"),
        ("FEED_HELLO", 'wait 5s:"{v}"', 'wait 5s:"a"b\\.c"'),
        ("FEED_HELLO", "wait:{{v}}", "wait:{v}"),
        ("FEED_RESUME", 'wait:"{v}"', 'wait:"a"b\\.c"'),
        ("FEED_HELLO", 'command 5s:["x", "{v}"]', r'command 5s:["x", "a\"b.c"]'),
        ("FEED_HELLO", "file:{v}", 'file:a"b.c'),
        ("FEED_HELLO", '42["login","{v}"]', r'42["login","a\"b.c"]'),
        ("FEED_HELLO", 'binary:SUB "{v}"', 'binary:SUB "a"b.c"'),
        ("FEED_HELLO", '{"q":"{{v}} {v}"}', r'{"q":"{{v}} a\"b.c"}'),
        ("FEED_MATCH", "^{v}{2}", '^a"b\\.c{2}'),
        ("FEED_IGNORE", "{{v}}", "{v}"),
        ("FEED_SEQ", "$['{v}']", "$['a\"b.c']"),
    ],
)
def test_a_value_is_escaped_for_its_place(name: str, text: str, filled: str) -> None:
    """A variable's value is escaped in JSON strings of messages, and in regular expressions."""
    assert filled == fill(name, text, {"v": 'a"b.c'})


def test_a_name_in_a_value_is_no_template() -> None:
    """Names in braces in a value, such as a field of a query, are not replaced by the template of the message."""
    assert '{"q":"{{ a {{seq}} }}"}' == fill("FEED_HELLO", '{"q":"{v}"}', {"v": "{ a {seq} }"})
    assert 'command:["{seq}"]' == fill("FEED_HELLO", 'command:["{v}"]', {"v": "{seq}"})
    assert '{"q":{"t":"x"}}' == fill("FEED_HELLO", '{"q":{v}}', {"v": '{"t":"x"}'})


def test_variables_are_names_in_single_braces() -> None:
    """Only a name in single braces is a variable; groups of a step's pattern are named."""
    assert ["a", "b_2"] == variables_in('{"op":{a}} {{c}} {2} {b_2} { d }')
    assert ["token"] == captured_in('wait:"t":"(?P<token>[^"]*)"')


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_any_value_survives_json(value: str) -> None:
    """Any value without a name in braces is the same text after the message is read as JSON."""
    if re.search(r"\{[A-Za-z_][A-Za-z0-9_]*\}", value):
        return
    outer = json.loads(fill("FEED_HELLO", '{"a":"{v}","b":"{\\"c\\":\\"{v}\\"}"}', {"v": value}))

    assert value == outer["a"] == json.loads(outer["b"])["c"]


@pytest.mark.parametrize("binary", ["", "binary:"])
@given(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.sampled_from(['a"b', r"a\nb", "a\\", "a\nb"])
)
def test_any_value_is_sent_as_it_is(binary: str, value: str) -> None:
    """A value outside of JSON strings, such as a password, is sent as it is, and escapes after it have a meaning."""
    if re.search(r"\{[A-Za-z_][A-Za-z0-9_]*\}|\{\{", value) or is_json(value):
        return
    line = fill("FEED_HELLO", rf"{binary}passcode:{{v}};\n\x00", {"v": value})
    (message,) = Template.of(line).messages()

    assert f"passcode:{value};\n\0" == (message if isinstance(message, str) else message.decode())


def is_json(text: str) -> bool:
    """Return whether a text is JSON."""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def test_a_json_value_is_sent_as_json() -> None:
    """A value that is JSON is put in as it is, on one line, with its own strings."""
    line = fill("FEED_HELLO", r"40{v}\x1e", {"v": '{"token":\n"a\\n\\"b"}'})

    assert '40{"token": "a\\n\\"b"}\x1e' == MessageTemplate(line).message({})


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=30))
def test_any_value_matches_itself(value: str) -> None:
    """In a regular expression a value matches exactly itself."""
    assert re.fullmatch(fill("FEED_MATCH", "({v})", {"v": value}), value)


@pytest.mark.parametrize(
    ("line", "value", "filled"),
    [
        (r"binary:\x82{topic#1+5}{topic#2}{topic}", "#", r"binary:\x82\x06\x00\x01#"),
        (r"binary:{topic#2}", "é" * 150, r"binary:\x01\x2c"),
        ('{"a":"{topic#2}"}', "#", '{"a":"{topic#2}"}'),
        ("plain {topic#2}", "#", "plain {topic#2}"),
    ],
)
def test_a_binary_message_states_the_length_of_a_value(line: str, value: str, filled: str) -> None:
    """The length of a value in bytes is written into binary messages only, perhaps with more that follows it."""
    assert filled == fill("FEED_HELLO", line, {"topic": value})


def test_a_value_that_is_too_long_for_its_length_is_refused() -> None:
    """A length that needs more bits than its bytes have is a mistake, with the longest value that fits."""
    assert ["topic", "topic"] == variables_in("{topic#1+5}{topic}")
    with pytest.raises(ValueError, match="a value of at most 122 bytes for topic"):
        fill("FEED_HELLO", "binary:{topic#1+5}", {"topic": "a" * 123})
