"""Tests of the keys that an operator's messages name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.client.external.talk.named_keys import keys_named, values_of, without_position
from services.client.external.templates import MessageTemplate


@pytest.mark.parametrize(
    ("hello", "resume", "keys"),
    [
        ('{"op":"sub","ch":"a"}', '{"op":"sub","ch":"{key}","after":{seq}}', {"a"}),
        ('{"op":"sub","ch":"a"}', '{"op":"resume","ch":"{key}"}', set()),
        ('{"op":"sub"}', '{"op":"sub","ch":"{key}"}', set()),
        ('{"op":"sub","args":["trade.a","trade.b"]}', '{"op":"sub","args":["trade.{key}"]}', {"a", "b"}),
        ('{"op":"sub","args":["book.a","trade.b"]}', '{"op":"sub","args":["trade.{key}"]}', {"b"}),
        ('{"args":[{"c":"x","i":"a"},{"c":"x","i":"b"}]}', '{"args":[{"c":"x","i":"{key}","s":{seq}}]}', {"a", "b"}),
        ('["sub","a"]', '["sub","{key}",{seq}]', {"a"}),
        ('["auth","a"]', '["sub","{key}"]', set()),
        ('{"i":"{\\"channel\\":\\"A\\"}"}', '{"i":"{key}","after":{seq}}', {'{"channel":"A"}'}),
        ('{"i":"{\\"channel\\":\\"A\\"}"}', '{"i":"{\\"channel\\":\\"{key}\\"}"}', {"A"}),
        ('{"i":"a","me":"{client}"}', '{"i":"{key}","me":"{client}"}', {"a"}),
        ("SUB a", "SUB {key} {seq}", {"a"}),
        ("SUB a", "GET {key}", set()),
        (r"binary:SUB a\r\n", r"binary:SUB {key}\r\n", {"a"}),
        ('["x"]', '{"op":"{key}"}', set()),
        ('{"c":"x","i":"a|b"}', '{"c":"{key1}","i":"{key2}"}', {r"x|a\|b"}),
        ('{"s":["x:a","y:b"]}', '{"s":["{key1}:{key2}"]}', {"x|a", "y|b"}),
        ('{"s":"x:a:x"}', '{"s":"{key1}:{key2}:{key1}"}', {"x|a"}),
        ('{"c":"x","i":"a"}', '{"c":"x","i":"{key2}"}', set()),
        ('{"c":"x","i":"a"}', '{"c":"x","i":"{key1}"}', {"a"}),
        ('{"c":"x"}', '{"c":"{key1}","i":"{key2}"}', set()),
        ("SUB x", "SUB {key1}", set()),
    ],
)
def test_keys_are_found_where_the_template_has_one(hello: str, resume: str, keys: set[str]) -> None:
    """The keys of a message are the texts in place of {key}, if it agrees with the template otherwise."""
    assert keys == keys_named(MessageTemplate(hello), MessageTemplate(resume), "client-1")


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("a", {"key": "a", "key1": "a"}),
        ("", {"key": "", "key1": ""}),
        ("a|b", {"key": "a|b", "key1": "a", "key2": "b"}),
        (r"a\|b|c\\\\", {"key": r"a\|b|c\\\\", "key1": "a|b", "key2": "c\\\\"}),
        ("a||b", {"key": "a||b", "key1": "a", "key2": "", "key3": "b"}),
    ],
)
def test_a_key_has_its_values(key: str, values: dict[str, str]) -> None:
    """A key is divided at each bar that has no backslash before it."""
    assert values == values_of(key)


@given(st.lists(st.text(min_size=1), min_size=2, max_size=5))
def test_the_values_of_a_key_name_it(parts: list[str]) -> None:
    """A message in which the values of a key stand at their places names that key."""
    key = "|".join(part.replace("\\", "\\\\").replace("|", "\\|") for part in parts)
    template = MessageTemplate("[" + ",".join(f'"{{key{number}}}"' for number in range(1, len(parts) + 1)) + ',"x"]')
    said = template.message(values_of(key))

    assert {key} == keys_named(MessageTemplate(str(said)), template, "client-1")


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ('{"op":"sub","ch":"{key}","after":{seq}}', '{"op":"sub","ch":"{key}"}'),
        ('{"a":[{"ch":"{key1}","from":"{next}"}],"me":"{client}"}', '{"a":[{"ch":"{key1}"}],"me":"{client}"}'),
        ('["sub","{key}",{seq}]', None),
        ('{"id":"after-{seq}","ch":"{key}"}', None),
        ("SUB {key} {seq}", None),
        ('binary:{"ch":"{key}","after":{seq}}', None),
    ],
)
def test_a_position_can_be_left_out_of_an_object(template: str, expected: str | None) -> None:
    """A member that holds the position alone is left out; a message that has it elsewhere cannot do without it."""
    assert (None if expected is None else MessageTemplate(expected)) == without_position(MessageTemplate(template))
