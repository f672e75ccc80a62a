"""Tests of services/collector/evidence/numbers/sequence_course.py."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, zip_longest

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.collector.evidence.numbers.arrival_times import ArrivalTimesOfBlock
from services.collector.evidence.numbers.number_ranges import number_ranges
from services.collector.evidence.numbers.sequence_course import SequenceCourse
from services.contract.blocklog import ExternalMessage
from services.contract.sequence_rules import PLAIN, SequenceRules
from tests.builders.external_runs import message

SIZE = 10
REPEATS = SequenceRules(repeats="reconnect")
STEP_US = 10_000


def records(seqs: Iterable[int], text: str = "") -> list[ExternalMessage]:
    """Return messages whose records depend on the number and on ``text``."""
    return [message(seq, 0, text=f"{text}{seq}") for seq in seqs]


def course(
    *connections: Sequence[ExternalMessage], rules: SequenceRules = PLAIN, has_time: bool = False
) -> SequenceCourse:
    """Return the course of messages that were received over connections, in blocks of ten, one every ten ms.

    With ``has_time`` the records of all connections differ only in the sender's time.
    """
    made, at_us = SequenceCourse(rules, has_time=has_time), 0
    for number, messages in enumerate(connections):
        if number:
            made.reconnected()
            at_us += 300_000
        for first in range(0, len(messages), SIZE):
            block = messages[first : first + SIZE]
            arrivals = ArrivalTimesOfBlock(at_us, at_us + (len(block) - 1) * STEP_US, STEP_US, len(block))
            at_us = arrivals.last_us + STEP_US
            contents = [(one.seq or 0) % 2**16 for one in block] if has_time else None
            ranges = list(number_ranges(block, rules, contents))
            for place, run in enumerate(ranges):
                made.add(run, ranges[place:], arrivals)
    return made


@pytest.mark.parametrize("first", [300, 310, 599])
def test_the_same_records_again_are_repeated(first: int) -> None:
    """Records under numbers that came before, with the same content, are duplicates and no restart."""
    numbers = course(records(range(300, 600)), records(range(first, 620))).numbers

    assert (0, 600 - first, 600 - first) == (numbers.restarts, numbers.duplicates, numbers.repeated)
    assert 320 == numbers.messages


@pytest.mark.parametrize("first", [1, 2, 300, 310, 590])
def test_other_records_under_the_same_numbers_begin_again(first: int) -> None:
    """Over a new connection, other records under numbers that came before are another sequence, wherever it begins."""
    numbers = course(records(range(300, 600)), records(range(first, 700), "other")).numbers

    assert (1, 1, 0) == (numbers.restarts, numbers.restarts_by_connection, numbers.duplicates)
    assert (300, 300 + 700 - first) == (numbers.past, numbers.messages)


def test_a_greeting_does_not_hide_a_restart() -> None:
    """The same first record on each connection is no repeat if the records after it differ."""
    one, other = records([0]), records(range(1, 50), "other")
    numbers = course([*one, *records(range(1, 300))], [*one, *other]).numbers

    assert (1, 0) == (numbers.restarts_by_connection, numbers.duplicates)


def test_repeats_with_another_time_are_repeats_if_they_are_promised() -> None:
    """Records that contain their time of sending differ; the setting says that they are the same ones."""
    for rules, expected in ((REPEATS, (0, 20)), (PLAIN, (1, 0))):
        numbers = course(records(range(300, 600)), records(range(580, 700), "sent again"), rules=rules).numbers

        assert expected == (numbers.restarts, numbers.repeated)


@pytest.mark.parametrize(
    ("start", "first", "restarts"),
    [(300, 580, 0), (300, 310, 0), (300, 300, 1), (1, 1, 1), (1, 4, 1), (1, 580, 0), (0, 250, 1), (0, 350, 0)],
)
def test_records_that_differ_in_their_time_alone_are_judged_by_their_numbers(
    start: int, first: int, restarts: int
) -> None:
    """Such records are repeated if they are the last ones, and new ones if they begin like the sequence before."""
    numbers = course(records(range(start, 600)), records(range(first, 700), "new time"), has_time=True).numbers

    assert (restarts, 0 if restarts else 600 - first) == (numbers.restarts_by_connection, numbers.repeated)


def test_a_new_beginning_in_mid_connection_is_recognised_by_its_records() -> None:
    """A sequence that falls to a number it had, with other records, has begun again; one repeated record has not."""
    again = course([*records(range(100, 500)), *records(range(100, 130), "other")]).numbers
    twice = course([*records(range(100, 500)), *records([450]), *records(range(500, 510))]).numbers

    assert (1, 0, 0) == (again.restarts, again.restarts_by_connection, again.duplicates)
    assert (0, 1) == (twice.restarts, twice.duplicates)


@pytest.mark.parametrize(("higher", "is_jump"), [(300, False), (2000, False), (1_000_000, True)])
def test_a_jump_is_explained_by_the_rate(higher: int, *, is_jump: bool) -> None:
    """Over a new connection numbers may be passed over, but not more than the feed could have sent meanwhile."""
    made = course(records(range(5000, 5300)), records(range(5300 + higher, 5400 + higher)))

    assert ([(5300, 5299 + higher)] if is_jump else []) == made.jumps
    assert 0 == made.numbers.restarts
    assert [] == course(records(range(9)), records([10**6]), rules=SequenceRules(scope="stream")).jumps


def mixed(*streams: Iterable[int]) -> list[ExternalMessage]:
    """Return the messages of several sequences in turn, without a key."""
    turns = zip_longest(*(records(stream, f"{which} ") for which, stream in enumerate(streams)))
    return [one for one in chain.from_iterable(turns) if one is not None]


@pytest.mark.parametrize(
    "streams",
    [
        (range(300_000_000, 300_000_200), range(40_000, 40_200)),
        (range(1, 200), range(1, 200)),
        (range(500, 700), range(20, 220)),
        (range(5_000, 5_300), range(90_000, 90_030)),
        (range(0, 1000, 1), range(7_000_000, 7_000_100), range(30_000, 30_050)),
    ],
)
def test_mixed_sequences_are_recognised(streams: tuple[range, ...]) -> None:
    """Numbers that return again and again to where they were, or come again with other records, are of several."""
    made = course(mixed(*streams))

    assert made.facts.are_mixed(sum(map(len, streams)), made.numbers.duplicates)
    assert made.facts.example


@given(
    st.lists(st.sampled_from(["", "", "", "lost", "twice", "late"]), min_size=20, max_size=200), st.integers(0, 9999)
)
def test_one_faulty_sequence_is_not_mixed(faults: list[str], start: int) -> None:
    """However many records are lost, doubled or late by one: it is one sequence."""
    seqs: list[int] = []
    for place, fault in enumerate(faults):
        seq = start + place
        seqs += {"lost": [], "twice": [seq, seq]}.get(fault, [seq])
        if fault == "late" and len(seqs) > 1:
            seqs[-2:] = reversed(seqs[-2:])

    made = course(records(seqs))

    assert not made.facts.are_mixed(len(seqs), made.numbers.duplicates)


def test_a_few_records_that_come_very_late_are_no_other_sequence() -> None:
    """Single records that come thousands of numbers late close their gaps."""
    late = {50: 2500, 300: 4000, 700: 5000, 900: 7000, 1100: 7500, 1300: 8500}
    seqs = [seq for seq in range(9000) if seq not in late]
    for seq, place in sorted(late.items(), reverse=True):
        seqs.insert(place, seq)
    made = course(records(seqs))

    assert not made.facts.are_mixed(len(seqs), made.numbers.duplicates)
    assert (6, 0, 0) == (made.numbers.reordered, made.numbers.restarts, made.numbers.missing().count)


@pytest.mark.parametrize(("blocks", "is_silent"), [(4, True), (3, False)])
def test_a_sequence_of_few_blocks_is_not_silent(blocks: int, is_silent: bool) -> None:
    """That a sequence has no records over a connection says something only if it had some in several blocks before."""
    one = SequenceCourse(PLAIN)
    for number in range(1, blocks + 1):
        one.note_block(number)

    assert is_silent is one.is_silent(blocks + 40, blocks + 1)


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("start", [2, 5, 16])
def test_a_stream_that_was_joined_begins_again_after_a_few_records(start: int, first: int) -> None:
    """Other records under the numbers that came before show that a first number is not a late one."""
    begun_again = course(records(range(start, start + 10)))
    ranges = list(number_ranges(records(range(first, start + 9), "other "), PLAIN))
    for place, run in enumerate(ranges):
        begun_again.add(run, ranges[place:], None)
    late = course([*records(range(start, start + 10)), *records([first])])

    assert (0, 1) == (late.numbers.restarts, late.numbers.reordered)
    assert (1, 0, 0) == (
        begun_again.numbers.restarts,
        begun_again.numbers.duplicates,
        begun_again.numbers.missing().count,
    )


def test_a_record_that_is_promised_to_come_again_is_no_first_record_of_a_connection() -> None:
    """Only a record that did not come before may be a snapshot in place of what other clients received."""
    connections = records(range(300, 340)), records(range(320, 360))

    assert {300} == course(*connections, rules=REPEATS).openings
    assert {300, 320} == course(*connections).openings
