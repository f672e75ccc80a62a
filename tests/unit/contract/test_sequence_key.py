"""Tests of the key of a sequence that has several values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contract.sequence_key import joined, unfound_paths, values_in

VALUES = st.lists(st.text(max_size=6) | st.sampled_from(["|", "\\", r"\N", "a|", "|a"]) | st.none(), min_size=2)


@given(VALUES, VALUES)
def test_different_values_give_different_keys(one: list[str | None], other: list[str | None]) -> None:
    """Two lists of values have the same key only if they are the same."""
    assert (one == other) == (joined(one) == joined(other))


@given(VALUES)
def test_the_values_of_a_key_are_known(values: list[str | None]) -> None:
    """The values are read from a key again, an absent one as None."""
    assert values == values_in(joined(values))


def test_a_key_of_a_single_value_is_that_value() -> None:
    """A text that several values cannot have is one value."""
    assert ["C:\\"] == values_in("C:\\")


@pytest.mark.parametrize(
    ("paths", "keys", "unfound"),
    [
        ("$.a", [None], ["$.a"]),
        ("$.a", ["x", None], []),
        ("$.a", [], []),
        ("$.a,$$.b", [None], ["$.a", "$$.b"]),
        ("$.a,$.b", [r"x|\N", r"y|\N", None], ["$.b"]),
        ("$.a,$.b", [r"x|\N", r"\N|y"], []),
        ("$.a,$.b", [r"\N|\\N"], ["$.a"]),
        ("$.a,$.b", ["x" * 80 + "…#0"], []),
        ("$.a,$.b,$.c", ["x" * 80 + "…#0"], []),
        ("no path", [None], []),
    ],
)
def test_paths_that_find_nothing_are_found(paths: str, keys: list[str | None], unfound: list[str]) -> None:
    """A path is named if no key has a value of it; a key that was cut decides nothing."""
    assert unfound == unfound_paths(paths, keys)


@given(st.lists(st.text(max_size=4) | st.none(), min_size=3, max_size=3))
def test_a_value_that_is_there_is_never_called_unfound(values: list[str | None]) -> None:
    """For any values of one record, exactly the paths without a value are named."""
    paths = ["$.a", "$.b", "$.c"]
    expected = [path for path, value in zip(paths, values, strict=True) if value is None]

    assert expected == unfound_paths(",".join(paths), [joined(values) if len(expected) < 3 else None])
