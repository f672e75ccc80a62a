"""Tests of paths into JSON values."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
        ("$.data[-1].ts", 1.5),
        ("$$.seq", 7),
        ("$$", VALUE),
    ],
)
def test_names_one_place(text: str, expected: object) -> None:
    """A path returns the value at its place, also null."""
    assert expected == JsonPath(text).find(VALUE)


@pytest.mark.parametrize(
    "text", ["$.none", "$.seq.x", "$.data[1]", "$.data.ts", "$[0]", "$.data[0].ts[0]", "$.data[-2]", "$.seq[-1]"]
)
def test_finds_nothing_where_nothing_is(text: str) -> None:
    """A value that does not exist is absent, which differs from null."""
    assert ABSENT is JsonPath(text).find(VALUE)


@pytest.mark.parametrize(
    ("text", "at"),
    [("seq", 1), ("", 1), ("$seq", 2), ("$.", 2), ("$.a..b", 4), ("$.a[x]", 4), ("$.a['b]", 4), ("$$$.a", 3),
     ("$[-0]", 2), ("$.a,$.b", 4)],
)  # fmt: skip
def test_mistakes_are_pointed_at(text: str, at: int) -> None:
    """A malformed path is refused with the position of the first wrong character."""
    with pytest.raises(MalformedPath, match=f"at character {at} ") as refused:
        JsonPath(text)

    assert at == refused.value.at


def test_the_end_of_a_list_has_negative_indexes() -> None:
    """An index below zero counts from the end of a list of any length."""
    assert [3, 2] == [JsonPath("$[-2]").find(value) for value in ([1, 2, 3, 4], [1, 2, 3])]


def test_a_path_says_where_it_begins() -> None:
    """Two dollar signs stand for the message, one for the record."""
    assert [True, False] == [JsonPath(text).is_of_message for text in ("$$.arg", "$.arg")]


def test_a_text_is_read_as_json_where_a_path_leads_into_it() -> None:
    """A JSON text inside a JSON string is opened for a further step only, also when it is quoted twice."""
    inner = json.dumps({"seq": 5})
    value = {"data": inner, "twice": json.dumps(inner), "plain": "seq", "odd": "\ud83d"}

    assert [5, 5, inner] == [JsonPath(text).find(value) for text in ("$.data.seq", "$.twice.seq", "$.data")]
    assert [ABSENT] * 3 == [JsonPath(text).find(value) for text in ("$.plain.seq", "$.odd.x", "$.plain[0]")]


def test_several_paths_are_separated_by_commas() -> None:
    """A list of paths keeps their order; a comma inside quotes is part of a name."""
    assert ["$.b", "$$.a", "$['x,y']"] == [path.text for path in JsonPath.several(" $.b, $$.a ,$['x,y'] ")]


@pytest.mark.parametrize(("text", "at"), [("$.a,", 5), ("$.a $.b", 5), ("$.a,b", 5), ("$.a,$.b.", 8), ("", 1)])
def test_mistakes_in_several_paths_are_pointed_at(text: str, at: int) -> None:
    """A mistake in a list of paths is at its character of the whole text."""
    with pytest.raises(MalformedPath, match=f"at character {at} "):
        JsonPath.several(text)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("4711.arg.instId", "a shell replaces"),
        ("2", "a shell replaces"),
        ("seq", "a makefile reads"),
        ("rg.instId", "a makefile reads"),
    ],
)
def test_a_path_without_its_dollar_says_who_took_it(text: str, hint: str) -> None:
    """What a shell or make leaves of a path is refused with the cause."""
    with pytest.raises(MalformedPath, match=hint):
        JsonPath(text)


NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\n"), min_size=1, max_size=5)


@given(st.lists(NAMES | st.integers(0, 3), max_size=4), st.integers())
def test_a_path_leads_to_what_was_put_there(steps: list[str | int], end: int) -> None:
    """A value that is nested by any steps is found by the path of these steps."""
    value: object = end
    for step in reversed(steps):
        value = {step: value} if isinstance(step, str) else [None] * step + [value]
    quoted = ""
    for step in steps:
        name = str(step).replace("\\", r"\\").replace("'", r"\'")
        quoted += f"[{step}]" if isinstance(step, int) else f"['{name}']"

    assert end == JsonPath("$" + quoted).find(value)
