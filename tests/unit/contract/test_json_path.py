"""Tests of paths into JSON values."""

from __future__ import annotations

import pytest

from services.contract.json_path import ABSENT, JsonPath, MalformedPath

VALUE = {"seq": 7, "data": [{"ts": 1.5, "a b": None}], "it's": {"x-y": True}}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("$", VALUE),
        ("$.seq", 7),
        ("$.data[0].ts", 1.5),
        ("$['data'][0][\"a b\"]", None),
        (r"$['it\'s'].x-y", True),
    ],
)
def test_names_one_place(text: str, expected: object) -> None:
    """A path returns the value at its place, also null."""
    assert expected == JsonPath(text).find(VALUE)


@pytest.mark.parametrize("text", ["$.none", "$.seq.x", "$.data[1]", "$.data.ts", "$[0]", "$.data[0].ts[0]"])
def test_finds_nothing_where_nothing_is(text: str) -> None:
    """A value that does not exist is absent, which differs from null."""
    assert ABSENT is JsonPath(text).find(VALUE)


@pytest.mark.parametrize(
    ("text", "at"), [("seq", 1), ("", 1), ("$seq", 2), ("$.", 2), ("$.a..b", 4), ("$.a[x]", 4), ("$.a['b]", 4)]
)
def test_mistakes_are_pointed_at(text: str, at: int) -> None:
    """A malformed path is refused with the position of the first wrong character."""
    with pytest.raises(MalformedPath, match=f"at character {at} ") as refused:
        JsonPath(text)

    assert at == refused.value.at
