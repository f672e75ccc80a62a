"""Tests of services/contract/sequence_rules.py."""

from __future__ import annotations

import msgspec
import pytest

from services.contract.sequence_rules import PLAIN, SequenceRules, wrap_span


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("", None),
        ("65535", (0, 65535)),
        ("0-65535", (0, 65535)),
        ("1-999999", (1, 999_999)),
        (str(2**64 - 1), (0, 2**64 - 1)),
    ],
)
def test_a_wrap_names_the_highest_number(text: str, span: tuple[int, int] | None) -> None:
    """The highest number of a counter, and the lowest one if it is not 0, are read from their text."""
    assert span == wrap_span(text)


@pytest.mark.parametrize("text", ["x", "7", "-65535", "2-65535", "65535-1", str(2**64), "65 535"])
def test_another_text_is_no_wrap(text: str) -> None:
    """A text that names no counter is refused with the expected form."""
    with pytest.raises(ValueError, match="like 65535, or 1-65535"):
        wrap_span(text)


def test_a_message_covers_a_range() -> None:
    """A message covers its own number, or numbers from a first one, from its predecessor's or from a step before."""
    ranges, links, steps = SequenceRules(first="$.U"), SequenceRules(previous="$.p"), SequenceRules(step=10)

    assert (7, 7) == (PLAIN.begin(7, None, None), ranges.begin(7, None, None))
    assert (3, 7) == (ranges.begin(7, 3, None), ranges.begin(7, 8, None))
    assert (5, None, None, 8) == tuple(links.begin(7, None, previous) for previous in (4, -1, None, 7))
    assert 21 == steps.begin(30, None, None)


def test_only_what_differs_from_the_default_is_written() -> None:
    """Rules without a setting are an empty object."""
    assert b"{}" == msgspec.json.encode(PLAIN)
    assert b'{"first":"$.U","step":2}' == msgspec.json.encode(SequenceRules(first="$.U", step=2))
