"""Tests of the parsers of settings, where a test of the whole table does not reach."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from services.runtime.setting_tables.parsers import (
    choice,
    client_count,
    client_id,
    header_token,
    integer,
    listen_hosts,
    number,
    optional,
    service_name,
    variable_values,
    websocket_url,
)  # fmt: skip


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (integer(1, 9), "9", 9),
        (number(0, 9), "2.5", 2.5),
        (number(0, 9), "2.0", 2),
        (optional(number(0, 9)), "", None),
        (choice("a", "b"), "b", "b"),
        (client_count, "", 0),
        (client_count, "7", 7),
        (client_id, "", ""),
        (websocket_url, "wss://feed/x", "wss://feed/x"),
        (listen_hosts, "[::1], 127.0.0.1,::1", ("::1", "127.0.0.1")),
        (service_name, "client", "client"),
        (header_token, "abc", "abc"),
        (variable_values, "", {}),
        (variable_values, "a=1 b='x y' c=", {"a": "1", "b": "x y", "c": ""}),
    ],
)
def test_a_text_becomes_a_value(parse: Callable[[str], Any], text: str, value: Any) -> None:
    """A text in the expected form is the value."""
    assert value == parse(text)
    assert type(value) is type(parse(text))


@pytest.mark.parametrize(
    ("parse", "text", "expected"),
    [
        (integer(1, 9), "1e3", "a whole number from 1 to 9"),
        (number(0, 9), "nan", "a number from 0 to 9"),
        (choice("a", "b"), "c", "one of a, b"),
        (client_id, "A b", "a name of a-z"),
        (websocket_url, "http://feed", "a WebSocket address"),
        (websocket_url, "ws://feed:x", "a WebSocket address"),
        (listen_hosts, "localhost", "a list of addresses"),
        (service_name, "a b", "a name that a name server knows"),
        (header_token, "a b", "a token of at most 512"),
        (variable_values, "a=1 b", "names with values"),
        (variable_values, "a='1", "names with values"),
        (variable_values, "A=1", "names with values"),
        (variable_values, "a=1 a=2", "each name once"),
    ],
)
def test_another_text_is_refused(parse: Callable[[str], Any], text: str, expected: str) -> None:
    """Any other text is refused with the expected form."""
    with pytest.raises(ValueError, match=expected):
        parse(text)
