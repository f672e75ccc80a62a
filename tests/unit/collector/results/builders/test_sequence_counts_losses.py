"""Properties of counting losses: exactly k are reported, and none is taken for a restart, a jump or a wrap."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.collector.results.builders.external_builder import external_run_result
from services.collector.results.client_result import ClientResult
from services.contract.blocklog import ExternalMessage
from services.contract.sequence_rules import PLAIN, SequenceRules
from tests.builders.external_runs import STEP_US, evidence_of, log, message
from tests.builders.runs import START_US

COUNT = 300
"""Records that the feeds here send, one every ten milliseconds."""
STARTS = st.sampled_from([0, 1, 2, 17, 900, 1001, 5000, 65_000, 10**9, 2**63]) | st.integers(0, 10**6)
BURSTS = st.lists(st.tuples(st.integers(1, COUNT - 2), st.sampled_from([1, 1, 2, 3, 30, 120])), max_size=4)
SIZES = st.sampled_from([1, 5, 20])


def lost_of(bursts: Iterable[tuple[int, int]]) -> set[int]:
    """Return the places of the records that bursts of losses concern; the first and the last record are never lost."""
    return {place for first, length in bursts for place in range(first, min(first + length, COUNT - 1))}


def result(
    places: Iterable[int],
    number: Callable[[int], int],
    size: int,
    *,
    cuts: Sequence[int] = (),
    rules: SequenceRules = PLAIN,
) -> ClientResult:
    """Return the result of a client that received the records at these places, over a new connection at each cut."""
    received = list(places)
    course: list[Any] = []
    for connection, (first, last) in enumerate(pairwise([0, *cuts, COUNT])):
        course += [("closed", first / 100, 1006, "")] if connection else []
        course += [("opened", first / 100), [of(place, number) for place in received if first <= place < last]]
    course.append(("sealed", COUNT / 100))
    until_us = START_US + COUNT * STEP_US
    made = log("client-1", course=course, size=size, rules=rules, until_us=until_us)
    return external_run_result(evidence_of(made), final=True).clients[0]


def of(place: int, number: Callable[[int], int]) -> ExternalMessage:
    """Return the record at a place."""
    return message(number(place), place, text=f"record {place}")


def counts(client: ClientResult) -> tuple[int | None, ...]:
    """Return what is missing, received again, out of order, begun again, and left open."""
    jumps = sum(numbers.count for numbers in client.external.jumps.values())
    return client.missing, client.duplicates, client.reordered, client.restarts, jumps


@given(
    STARTS, BURSTS, st.sets(st.integers(1, COUNT - 2), max_size=4), st.lists(st.integers(20, 280), max_size=3), SIZES
)
def test_losses_over_connections_are_counted_exactly(
    start: int, bursts: list[tuple[int, int]], twice: set[int], cuts: list[int], size: int
) -> None:
    """Records that are lost within a connection or between two are missing, whatever their number and length."""
    lost = lost_of(bursts)
    places = [place for place in range(COUNT) if place not in lost for _ in range(1 + (place in twice))]
    client = result(places, lambda place: start + place, size, cuts=sorted(set(cuts)))

    assert (len(lost), len(twice - lost), 0, 0, 0) == counts(client)
    assert () == client.external.contradictions


@given(st.sampled_from([2**16, 2**31, 2**32, 2**64, 10**6]), st.integers(50, 250), BURSTS, SIZES)
def test_losses_around_a_wrap_are_counted_exactly(span: int, at: int, bursts: list[tuple[int, int]], size: int) -> None:
    """A counter that begins again after its highest number loses nothing, and what is missing on both sides counts."""
    # Without its 0 a counter may have none, which is left open.
    lost = lost_of(bursts) - {at}
    received = [place for place in range(COUNT) if place not in lost]
    client = result(received, lambda place: (span - at + place) % span, size)

    assert (len(lost), 0, 0, 0, 0) == counts(client)


@pytest.mark.parametrize("first", [0, 1])
@given(st.sampled_from([300, 5000, 10**9]), st.integers(30, 250), BURSTS, SIZES)
def test_losses_beside_a_restart_are_counted_exactly(
    first: int, start: int, at: int, bursts: list[tuple[int, int]], size: int
) -> None:
    """A sequence that begins again with 0 or 1 in mid-connection is no late record, however near its numbers are."""
    # What is lost just before a restart, and the first record itself, no number shows.
    lost = lost_of(bursts) - {*range(at - 1, at + 3)}
    lost -= set(range(max(lost & set(range(at)), default=0), at)) if at - 1 in lost else set()
    received = [place for place in range(COUNT) if place not in lost]
    client = result(received, lambda place: start + place if place < at else first + place - at, size)

    assert (len(lost), 0, 0, 1, 0) == counts(client)


@given(STARTS, st.integers(40, 250), st.sampled_from([1001, 2500, 9000, 10**6]), SIZES)
def test_a_long_loss_takes_its_time(start: int, at: int, length: int, size: int) -> None:
    """However many records are lost, they are missing if the feed had the time to send them; else they are open."""
    messages = [of(place, lambda place: start + place) for place in range(at)]
    after = range(at + length, at + length + 50)
    late, soon = ([message(start + place, place - early, text=f"{place}") for place in after] for early in (0, length))
    until_us = START_US + (at + length + 50) * STEP_US
    found = [
        external_run_result(evidence_of(log("client-1", messages + rest, size=size, until_us=until_us)), final=True)
        for rest in (late, soon)
    ]
    expected = [(length, 0, 0, 0, 0), (0, 0, 0, 0, length) if length > 20 * 2 * 100 else None]

    assert expected[0] == counts(found[0].clients[0])
    assert expected[1] in (None, counts(found[1].clients[0]))
    assert length == sum(counts(found[1].clients[0])[place] or 0 for place in (0, 4))


ASIDE = st.sets(st.integers(20, 280), min_size=1, max_size=3)


@given(st.sampled_from([300, 5000, 10**9]), st.sampled_from([0, 1]), ASIDE)
def test_a_sign_of_life_with_a_first_number_is_no_restart(start: int, number: int, aside: set[int]) -> None:
    """Messages numbered 0 or 1 between others are no records of the sequence: nothing is missing."""

    def of_place(place: int) -> int:
        return number if place in aside else start + place - sum(before < place for before in aside)

    assert ["mixed"] == [found.kind for found in result(range(COUNT), of_place, 10).external.contradictions]
