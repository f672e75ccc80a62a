"""Tests of the sentences about clients with different records under the same numbers."""

from __future__ import annotations

import pytest

from services.collector.evidence.comparison.client_groups import Groups
from services.collector.results.build import build_result
from services.collector.results.run_result import FeedComparison
from services.collector.verdict.checks_external import conflict_sentences, not_compared
from services.contract.rangeset import RangeSet
from tests.builders.external_runs import evidence_of
from tests.builders.external_streams import client, plain, shared


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        (Groups(), ""),
        (Groups({None: {"a": 0, "b": 0}}), ""),
        (
            Groups({None: {"a": 0, "b": 1}}, frozenset({"a", "b"})),
            "numbers of a and b are of their own connections: not compared",
        ),
        (
            Groups({None: {"a": 0, "b": 1, "c": 2}}, frozenset({"a", "b", "c"})),
            "numbers of a, b, c are of their own connections: not compared",
        ),
        (Groups({None: {"a": 0, "b": 1}}), "a and b have other records under the same numbers: not compared"),
        (
            Groups({None: {"a": 0, "b": 1, "c": 0}}),
            "(a, c) and (b) have other records under the same numbers: not compared with each other",
        ),
        (
            Groups({"x": {"a": 0, "b": 1}, "y": {"a": 0, "b": 0}}),
            "a and b have other records under the same numbers: not compared in 1 of 2 sequences",
        ),
    ],
)
def test_what_is_not_compared_is_stated_with_its_reason(groups: Groups, expected: str) -> None:
    """Clients and groups that are not compared are named with the reason; the text is empty if all are compared."""
    assert expected == not_compared(FeedComparison(groups=groups))


def test_conflicts_are_counted_once_a_number() -> None:
    """Two clients that differ from a third under one number make two sentences and one number."""
    made = evidence_of(
        client("a", shared(5, 90)),
        client("b", shared(5, 90, body=lambda seq: "b" if seq == 9 else plain(seq))),
        client("c", shared(5, 90, body=lambda seq: "c" if seq in (9, 11) else plain(seq))),
    )

    assert (
        2,
        (
            "a and c have different records under 2 numbers: 9, 11",
            "a and b have different records under 1 number: 9",
        ),
    ) == conflict_sentences(build_result(made, final=True).comparison)


def test_conflicts_of_several_sequences_have_a_fixed_order() -> None:
    """Most numbers come first, then the keys in order, however the sequences were collected; keys are shown escaped."""
    keys = ["b", "\x1b[2J", "a", "c"]
    conflicts: dict[tuple[str | None, str, str], RangeSet] = {
        (key, "one", "two"): RangeSet([(1, 2 if key == "c" else 1)]) for key in keys
    }
    _, sentences = conflict_sentences(FeedComparison(conflicts=conflicts))

    assert ["2 numbers of c: 1–2", r"1 number of \x1b[2J: 1", "1 number of a: 1", "1 number of b: 1"] == [
        sentence.removeprefix("one and two have different records under ") for sentence in sentences
    ]
