"""Tests of deciding by their records whether two clients received one sequence."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.collector.evidence.comparison.record_likeness import Begin, Pair, RecordFact, differ, relation

TICK_US = 10_000


def pairs(
    apart_us: int, *, count: int = 400, stamped: bool = True, jitter_us: int = 0, clocks_us: int = 0, differing: int = 0
) -> list[Pair]:
    """Return records that were sent later to the second client and stamped by a clock that is ahead."""
    dice = random.Random(count)

    def jitter() -> int:
        return dice.randrange(jitter_us + 1)

    made = []
    for number in range(count):
        sent, again = number * TICK_US + jitter(), number * TICK_US + apart_us + jitter()
        stamps = (sent, again + clocks_us) if stamped else (None, None)
        digest = number if number >= differing else -number - 1
        one = RecordFact(number, b"%d" % number, stamps[0], sent + 90 + jitter())
        other = RecordFact(digest, b"%d" % digest, stamps[1], again + 90 + jitter())
        made.append((one, other))
    return made


@pytest.mark.parametrize(
    ("begin", "apart_us", "stamped", "expected"),
    [
        ("first", 150_000, True, "own"),
        ("first", -150_000, True, "own"),
        ("first", 150_000, False, "own"),
        ("first", 70_000, True, "alike"),
        ("first", 70_000, False, "alike"),
        ("same", 7_000, True, "alike"),
        ("same", 2_500_000, True, "own"),
        ("same", 2_500_000, False, "own"),
        ("other", 2_500_000, True, "own"),
        ("other", 2_500_000, False, "alike"),
        ("first", 0, True, "equal"),
        ("first", 0, False, "alike"),
    ],
)
def test_sequences_that_are_always_apart_are_two(begin: Begin, apart_us: int, stamped: bool, expected: str) -> None:
    """The limit for separate sequences depends on their beginnings and on whether records have times of sending."""
    assert expected == relation(pairs(apart_us, stamped=stamped), begin)


@given(st.integers(0, 20_000), st.sampled_from([True, False]))
def test_jitter_does_not_make_two_sequences_of_one(jitter_us: int, stamped: bool) -> None:
    """Records that arrive first now at one client and now at the other are of one sequence."""
    assert "own" != relation(pairs(0, jitter_us=jitter_us, stamped=stamped), "first")


@given(st.integers(0, 20_000), st.sampled_from([True, False]))
def test_jitter_does_not_make_one_sequence_of_two(jitter_us: int, stamped: bool) -> None:
    """Connections whose distance is greater than the jitter are separate sequences."""
    assert "own" == relation(pairs(2 * jitter_us + 110_000, jitter_us=jitter_us, stamped=stamped), "first")


def test_most_must_differ() -> None:
    """Different records under more than half of the numbers are different sequences."""
    assert ["alike", "different", "different"] == [
        relation(pairs(0, count=400, stamped=False, differing=count), "other") for count in (200, 201, 400)
    ]


def test_without_a_shared_number_nothing_is_known() -> None:
    """Clients without a common number in the sample have the relation ``unknown``."""
    assert "unknown" == relation([], "first")


def test_a_few_records_show_nothing_by_their_times() -> None:
    """Three records with different times may have been delayed, so the clients are ``alike``."""
    assert "alike" == relation(pairs(2_500_000, count=3), "first")
    assert "own" == relation(pairs(2_500_000, count=4), "first")


def test_servers_whose_clocks_differ_send_one_stream() -> None:
    """Records with different times of sending that arrive at the same time are of one sequence."""
    assert "alike" == relation(pairs(0, clocks_us=300_000, jitter_us=100), "first")


def test_stamps_in_whole_seconds_are_too_coarse() -> None:
    """Equal times of sending in whole seconds do not prove one sequence."""
    coarse = [(one._replace(sent_us=0), other._replace(sent_us=0)) for one, other in pairs(150_000)]

    assert "own" == relation(coarse, "first")


def test_a_replay_is_not_always_apart() -> None:
    """A stream that was replayed to one client and is live for both at the end is one sequence, of any length."""
    joins_us = 8_000_000
    late = [max(other.at_us, joins_us) for _, other in pairs(0, count=850)]
    received = [
        (one, RecordFact(one.digest, b"", at_us, at_us))
        for (one, _), at_us in zip(pairs(0, count=850), late, strict=True)
    ]
    untimed = [(one._replace(sent_us=None), other._replace(sent_us=None)) for one, other in received]

    assert ["alike"] * 4 == [relation(every, "first") for every in (received, untimed, received[:700], untimed[:700])]


def test_records_that_differ_in_times_alone_do_not_differ() -> None:
    """Records that differ only in current times do not differ."""
    at_us = 1_795_332_600_000_000
    one, other, third = (
        RecordFact(at, text, None, at_us) for at, text in enumerate((b"1795332600 a", b"1795332601 a", b"b"))
    )

    assert (False, True, False) == (differ(one, other), differ(one, third), differ(one, one))


def test_records_with_their_time_of_sending_are_alike() -> None:
    """If all records differ only in a time, the arrival times show whether the sequences are separate."""

    def timed(apart_us: int) -> list[Pair]:
        return [
            (
                one._replace(digest=2 * place, text=b"%d a" % (1_795_332_600_000 + place), at_us=at_us + one.at_us),
                two._replace(digest=2 * place + 1, text=b"%d a" % (1_795_332_600_001 + place), at_us=at_us + two.at_us),
            )
            for place, (one, two) in enumerate(pairs(apart_us, stamped=False))
        ]

    at_us = 1_795_332_600_000_000

    assert ["alike", "own", "alike"] == [
        relation(timed(0), "first"), relation(timed(2_500_000), "first"), relation(timed(2_500_000), "other")
    ]  # fmt: skip
