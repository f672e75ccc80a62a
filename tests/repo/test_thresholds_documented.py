"""docs/guides/thresholds.md is the grammar: it has every word of a threshold, and its examples are valid."""

from __future__ import annotations

import re

import pytest

from services.collector.verdict.threshold_parser import METRICS, STATISTICS, UNITS, MalformedThreshold, parse
from services.collector.verdict.thresholds import OPERATORS
from tests.repo.markdown import fences, rows, sections
from tests.repo.repository import text

DOCUMENT = text("docs/guides/thresholds.md")


def quoted(rule: str) -> set[str]:
    """Return the words in quotes of one rule of the grammar."""
    (line,) = [line for line in sections(DOCUMENT)["Grammar"].splitlines() if line.startswith(f"{rule} ")]
    return set(re.findall(r'"([^"]+)"', line))


def test_the_grammar_has_every_word() -> None:
    """The page has the metrics, statistics, relations and units that the parser accepts, and no other."""
    named = {name for row in rows(DOCUMENT) for name in re.findall(r"`([a-z_]+)`", row[0])}

    assert set(METRICS) == named
    assert set(STATISTICS) == quoted("statistic")
    assert set(OPERATORS) == quoted("relation")
    assert set(UNITS) == quoted("unit")


def test_its_examples_are_read() -> None:
    """Every threshold in a shell example can be parsed."""
    given = [found for fence in fences(DOCUMENT, "sh") for found in re.findall(r"'([^']+)'", fence.text)]

    assert given
    assert all(parse(one) for one in given)


def test_error_is_as_shown() -> None:
    """The parser reports the mistake in the example with exactly the text of the page."""
    (shown,) = [fence.text for fence in fences(DOCUMENT, "text") if fence.text.startswith("error: ")]
    with pytest.raises(MalformedThreshold) as caught:
        parse(shown.splitlines()[1].strip())

    assert f"error: THRESHOLDS: {caught.value}\n" == shown
