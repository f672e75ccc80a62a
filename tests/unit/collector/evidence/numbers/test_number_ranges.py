"""Tests of services/collector/evidence/numbers/number_ranges.py."""

from __future__ import annotations

import zlib

from hypothesis import given
from hypothesis import strategies as st

from services.collector.evidence.numbers.number_ranges import NumberRange, number_ranges
from services.contract.sequence_rules import PLAIN, SequenceRules
from tests.builders.external_runs import message, numbered_messages


def bounds(ranges: list[NumberRange]) -> list[tuple[int, int]]:
    """Return the first and the last number of each range."""
    return [(run.first, run.last) for run in ranges]


def test_ranges_are_long_while_nothing_is_lost() -> None:
    """Interleaved sequences have one range each; a gap, and a first number, begin another one."""
    interleaved = [message(seq, 0, key=key) for seq in (7, 8, 10) for key in "ab"]
    ranges = list(number_ranges(interleaved))

    assert {(key, *ends) for key in "ab" for ends in ((7, 8), (10, 10))} == {
        (run.key, run.first, run.last) for run in ranges
    }
    assert [(0, 0), (1, 1), (1, 2)] == bounds(list(number_ranges(numbered_messages([0, 1, 1, 2]))))


def test_messages_join_by_the_numbers_they_cover() -> None:
    """Messages that cover ranges, name the number before or rise by a step are one range until one is missing."""
    covered = [message(seq, 0, first=first) for first, seq in ((1, 4), (5, 9), (12, 20))]
    named = [message(seq, 0, previous=previous) for previous, seq in ((-1, 4), (4, 9), (9, 9), (9, 12), (15, 20))]

    assert [(1, 9), (12, 20)] == bounds(list(number_ranges(covered, SequenceRules(first="$.U"))))
    linked = list(number_ranges(named, SequenceRules(previous="$.p")))
    assert [(4, 12), (16, 20)] == bounds(linked)
    assert [(-1, [4, 9, 12]), (15, [20])] == [(run.link, list(run.numbers())) for run in linked]
    assert [(1, 20), (31, 40)] == bounds(list(number_ranges(numbered_messages([10, 20, 40]), SequenceRules(step=10))))


def test_a_counter_that_is_set_back_begins_a_range() -> None:
    """A message that names a higher number as the one before does not continue the range."""
    named = [message(seq, 0, previous=previous) for previous, seq in ((4, 9), (9, 3), (3, 5))]

    assert [(5, 9), (3, 5)] == bounds(list(number_ranges(named, SequenceRules(previous="$.p"))))


@given(st.lists(st.integers(0, 30), max_size=30), st.sampled_from([PLAIN, SequenceRules(step=1, first="$.U")]))
def test_every_record_is_found_by_its_number(seqs: list[int], rules: SequenceRules) -> None:
    """Each range knows the digest of each of its records, and of no others."""
    messages = numbered_messages(seqs)
    digests = {one.seq: zlib.crc32(one.record) & 0xFFFF for one in messages}
    ranges = list(number_ranges(messages, rules))

    assert sorted(seqs) == sorted(number for run in ranges for number in run.numbers())
    for run in ranges:
        assert [digests[number] for number in run.numbers()] == [run.content(number) for number in run.numbers()]
        assert (None, None) == (run.content(run.first - 1), run.content(run.last + 1))
