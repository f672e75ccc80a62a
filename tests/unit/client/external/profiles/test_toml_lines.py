"""Tests of the lines of keys in a TOML text."""

from __future__ import annotations

import json
import tomllib

from hypothesis import given
from hypothesis import strategies as st

from services.client.external.profiles.toml_lines import KeyPath, key_lines, line_of

TEXT = r'''# [not.a.table]
about = "x = [1]" # y = 2
[sequence] # a comment
number = "$.u"
"odd key" = 1

[decode]
match = """
[not.a.table]
also = "none" \"""
"""
ignore = '\'
literal = \'\'\'
[x]
\'\'\'
[[hello]]
send = "a"
[[hello]]
  send = "b"
  wait . seconds = 3
[inline]
table = { a = 1, b = { c = "]}" } }
list = [
  "one", # ]
  { two = 2 },
]
last = 1979-05-27 07:32:00'''.replace(r"\'\'\'", "'''")


def test_every_key_has_its_line() -> None:
    """Comments, strings of several lines, arrays of tables and inline tables do not move the lines of other keys."""
    tomllib.loads(TEXT)
    lines = key_lines(TEXT)
    expected: dict[KeyPath, int] = {
        ("about",): 2,
        ("sequence",): 3,
        ("sequence", "number"): 4,
        ("sequence", "odd key"): 5,
        ("decode",): 7,
        ("decode", "match"): 8,
        ("decode", "ignore"): 12,
        ("decode", "literal"): 13,
        ("hello", 0): 16,
        ("hello", 0, "send"): 17,
        ("hello", 1): 18,
        ("hello", 1, "send"): 19,
        ("hello", 1, "wait", "seconds"): 20,
        ("inline",): 21,
        ("inline", "table"): 22,
        ("inline", "table", "a"): 22,
        ("inline", "table", "b"): 22,
        ("inline", "table", "b", "c"): 22,
        ("inline", "list"): 23,
        ("inline", "list", 0): 24,
        ("inline", "list", 1): 25,
        ("inline", "list", 1, "two"): 25,
        ("inline", "last"): 27,
    }

    assert expected == lines


def test_an_unknown_key_has_the_line_of_its_table() -> None:
    """A key without a line has that of the closest table around it, and else the first line."""
    lines = key_lines("\n[a]\nb = 1\n")

    assert (3, 2, 2, 1) == tuple(line_of(lines, path) for path in (("a", "b"), ("a", "c"), ("a", 0, "d"), ("x",)))


_NAMES = st.text("abcXYZ09_-", min_size=1, max_size=5)
_VALUES = st.one_of(
    st.integers(-5, 10**6), st.booleans(), st.text(max_size=12), st.lists(st.text(max_size=5), max_size=3)
)


@given(st.dictionaries(_NAMES, st.dictionaries(_NAMES, _VALUES, max_size=4), max_size=4))
def test_every_key_of_any_document_is_found(tables: dict[str, dict[str, object]]) -> None:
    """In any document of tables with texts, numbers and lists each key is found at the line that begins with it."""
    written = ["# [comment]"]
    expected: dict[KeyPath, int] = {}
    for table, values in tables.items():
        written += ["", f"[{table}]"]
        expected[(table,)] = len(written)
        for name, value in values.items():
            # A JSON text without the characters that TOML does not accept is TOML.
            text = json.dumps(value).replace("\x7f", "\\u007f")
            written.append(f"{name} = {text}")
            expected[table, name] = len(written)
    text = "\n".join(written)
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return  # half a surrogate pair

    assert tables == document
    found = key_lines(text)
    assert expected == {path: line for path, line in found.items() if not isinstance(path[-1], int)}
