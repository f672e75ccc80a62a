"""Tests of finding JSON inside longer texts."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.client.feeds.embedded_json import common_beginning, escaped, find_pattern

TICKS = ['{"n":1,"o":{"p":2}}', '{"n":2,"o":{"p":"}"}}', '{"n":3,"o":{"p":[]}}']


@pytest.mark.parametrize(
    ("before", "after", "pattern"),
    [
        ("md/v3|", "", r"^md/v3\|(\{.*\})$"),
        (")]}',\n", "", r"^\)\]\}',\n(\{.*\})$"),
        ("tick ", "\n\n", r"^tick (\{.*\})"),
        ("\u20ac ", "", r"^€ (\{.*\})$"),
    ],
)
def test_text_around_json(before: str, after: str, pattern: str) -> None:
    """The same text before every JSON text is part of the pattern, a text after it is not needed."""
    assert pattern == find_pattern([f"{before}{tick}{after}".encode() for tick in TICKS])


def test_a_text_that_varies() -> None:
    """Of a text that varies the last word before the JSON is part of the pattern, as in server-sent events."""
    messages = [f"id: {at}\ndata: {tick}\n\n".encode() for at, tick in enumerate(TICKS)]

    assert r"data: (\{.*\})" == find_pattern(messages)


def test_json_after_json() -> None:
    """Several JSON texts without a separator are records each."""
    pattern = find_pattern([(TICKS[0] + TICKS[2]).encode()] * 2)

    assert pattern is not None
    assert [TICKS[0], TICKS[2], TICKS[0]] == re.findall(pattern, TICKS[0] + TICKS[2] + TICKS[0])


def test_lists_are_records() -> None:
    """A list inside of a text is found as well."""
    assert r"^42/market,(\[.*\])$" == find_pattern([b'42/market,["tick",{"n":1}]'] * 3)


def test_a_text_of_many_brackets_is_not_examined() -> None:
    """A pattern may look at the rest of a text once for each bracket, so a long text of brackets is passed over."""
    assert find_pattern([b'{"a":1} {"a":2} ' + b"{" * 3000] * 3) is None


def test_a_pattern_names_only_what_is_near_the_json() -> None:
    """A long text that is the same around the JSON of all messages is not in the pattern as a whole."""
    pattern = find_pattern([b"x " * 500 + b'{"a":%d}' % number + b" y" * 500 for number in range(3)])

    assert pattern is not None
    assert len(pattern) < 300


def test_texts_without_json() -> None:
    """Without JSON in most messages there is no pattern."""
    assert find_pattern([b"T,1", b"\xff", b"{", b"{}"]) is None
    assert find_pattern([]) is None


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_an_escaped_text_is_found(text: str) -> None:
    """An escaped text is one printable line that matches exactly the text."""
    pattern = escaped(text)

    assert re.compile(pattern.encode()).fullmatch(text.encode())
    assert "\n" not in pattern


@given(st.lists(st.text(), min_size=1))
def test_the_common_beginning(texts: list[str]) -> None:
    """All texts begin with it, and not all with one letter more."""
    found = common_beginning(texts)

    assert all(text.startswith(found) for text in texts)
    assert 1 < len({text[: len(found) + 1] for text in texts}) or found in texts


@given(st.lists(st.one_of(st.binary(), st.text().map(str.encode)), max_size=5))
def test_any_message_is_read(messages: list[bytes]) -> None:
    """No message is an error, and a pattern names JSON only."""
    pattern = find_pattern(messages)

    if pattern is not None:
        found = [text for message in messages for text in re.findall(pattern.encode(), message, re.DOTALL)]
        assert all(isinstance(json.loads(text), dict | list) for text in found)
