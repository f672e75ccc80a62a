"""Tests of taking JSON records apart into columns."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.client.feeds.json_columns import columns_of, lists_in, scalars
from services.contract.json_path import JsonPath


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ({"a": {"b": 1}, "odd key": None}, {"$.a.b": 1, '$["odd key"]': None}),
        ({"a": [1, 2]}, {"$.a[0]": 1, "$.a[1]": 2}),
        ({"a": [1, 2, 3, 4]}, {}),
        ({"a": '{"b":[7]}'}, {"$.a.b[0]": 7}),
        ({"a": "{b"}, {"$.a": "{b"}),
        ([5, "x"], {"$[0]": 5, "$[1]": "x", "$[-2]": 5, "$[-1]": "x"}),
        ("text", {"$": "text"}),
        ({"it's": 1}, {'$["it\'s"]': 1}),
    ],
)
def test_scalars_have_paths(value: Any, found: dict[str, Any]) -> None:
    """Every scalar has its path; long lists inside of a message are data without places."""
    assert found == dict(scalars(value))


def test_columns_are_by_record() -> None:
    """A column has the values at one path by the index of their record."""
    assert {"$.a": {0: 1, 2: 3}, "$.b": {1: 2}} == columns_of([{"a": 1}, {"b": 2}, {"a": 3}])


def test_ever_new_names_are_bounded() -> None:
    """A record with very many names, or very deep, has a bounded number of paths."""
    deep: Any = 1
    for _ in range(50):
        deep = {"a": deep}

    assert 300 == len(columns_of([{f"n{number}": 1 for number in range(10_000)}]))
    assert {} == columns_of([deep])


def test_lists_of_objects_are_found() -> None:
    """A list of objects is a list of records, wherever it is; a list of other values is none."""
    value = {"data": [{"a": 1}], "x": {"y": [{"b": 2}, {"b": 3}]}, "levels": [[1, 2]], "none": []}

    assert {"$.data": 1, "$.x.y": 2} == {path: len(items) for path, items in lists_in(value)}
    assert ["$"] == [path for path, _ in lists_in([{"a": 1}])]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("abc'\\ \n", max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab'\\ .[", max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(st.dictionaries(st.text("ab'\\ .[", max_size=3), _JSON, max_size=4))
def test_every_path_finds_its_value(record: dict[str, Any]) -> None:
    """A path that the analysis names is read by the client as the value that was found there."""
    for path, value in scalars(record):
        assert value == JsonPath(path).find(record)
