"""Tests of what clients of a feed without numbers lack, by the contents of their records."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from services.collector.results.build import build_result
from services.collector.results.run_result import DifferingContents, UnnumberedComparison
from services.contract.blocklog import ExternalMessage
from services.contract.sequence_rules import SequenceRules
from tests.builders.external_runs import evidence_of, log, message
from tests.builders.runs import START_US

END_S = 10.0
NOTHING = UnnumberedComparison()


def texts(*contents: object, place: int = 0) -> list[ExternalMessage]:
    """Return records without numbers, one every ten milliseconds."""
    return [message(None, place + at, text=str(one)) for at, one in enumerate(contents)]


def client(name: str, *course: Any, **more: Any) -> Any:
    """Return the log of a client over connections; its run ends after ten seconds."""
    return log(name, course=[*course, ("sealed", END_S)], until_us=START_US + round(END_S * 1e6), **more)


def connected(name: str, records: Sequence[ExternalMessage], **more: Any) -> Any:
    """Return the log of a client with one connection."""
    return client(name, ("opened", 0.0), records, **more)


def compared(*logs: Any) -> UnnumberedComparison:
    """Return the comparison of the clients of a run that is over."""
    comparison = build_result(evidence_of(*logs), final=True).comparison
    assert comparison is not None
    return comparison.unnumbered or NOTHING


EVERY = range(200)


def test_clients_that_received_the_same_differ_in_nothing() -> None:
    """Clients with the same records are compared, also if one of them joined later."""
    found = compared(connected("a", texts(*EVERY)), connected("b", texts(*EVERY)), connected("c", texts(*EVERY[40:])))

    assert (("a", "b", "c"), (), ()) == (found.alike, found.apart, found.differing)


@given(
    st.sets(st.integers(2, 90), max_size=6),
    st.sets(st.integers(100, 150), max_size=6),
    st.sampled_from([1000, 3]),
)
def test_exactly_the_dropped_records_are_lacking(mine: set[int], theirs: set[int], period: int) -> None:
    """Of records dropped for one client or another, exactly these are lacking, however few different ones there are."""
    contents = [one * one % 7919 if period > 10 else (one * one * one + one // 3) % period for one in EVERY]
    found = compared(
        connected("a", texts(*(contents[at] for at in EVERY if at not in mine))),
        connected("b", texts(*(contents[at] for at in EVERY if at not in theirs))),
    )
    lost = {one.client: one.lacking + one.fewer for one in found.differing}

    if period > 10:
        assert {name: len(places) for name, places in (("a", mine), ("b", theirs)) if places} == lost
    elif found.alike and not (mine and theirs):
        # Of recurring records that both lost it is not known which ones they were.
        assert sum(lost.values()) == len(mine | theirs)


def test_records_lost_at_the_end_are_lacking() -> None:
    """A client that was sent nothing any more lacks what another one received until a second before the end."""
    found = compared(connected("a", texts(*EVERY)), connected("b", texts(*EVERY[:20])))

    assert (DifferingContents("b", "a", 180, 0, (1, 5)),) == found.differing


def test_records_in_flight_at_the_end_are_not_lacking() -> None:
    """What another client received in the last second may have been in flight."""
    late = texts(*range(1000, 1050), place=910)
    found = compared(connected("a", [*texts(*EVERY), *late]), connected("b", texts(*EVERY)))

    assert () == found.differing


def test_a_record_that_came_twice_is_counted_apart() -> None:
    """A record that one client received more often may have been sent twice or lost once."""
    found = compared(connected("a", texts(*EVERY)), connected("b", texts(*EVERY[:50], 49, *EVERY[50:])))

    assert (("a", "b", 0, 0),) == tuple((one.client, one.other, one.lacking, one.fewer - 1) for one in found.differing)


def test_a_record_out_of_order_is_not_lacking() -> None:
    """Records in another order are the same records."""
    swapped = [*EVERY[:50], 51, 50, *EVERY[52:198], 199, 198]
    found = compared(connected("a", texts(*EVERY)), connected("b", texts(*swapped)))

    assert () == found.differing


def test_signs_of_life_of_each_connection_are_not_compared() -> None:
    """A message that recurs between other records on each connection is sent to it alone, so its number may differ."""
    beats = [["beat"] if at % 20 == 7 else [] for at in EVERY]
    others = [["beat"] if at % 20 == 13 and at > 30 else [] for at in EVERY]
    found = compared(
        connected("a", texts(*(one for at in EVERY for one in (at, *beats[at])))),
        connected("b", texts(*(one for at in EVERY for one in (at, *others[at])))),
    )

    assert (("a", "b"), ()) == (found.alike, found.differing)


def test_messages_of_each_connection_are_told_by_their_form() -> None:
    """Messages that each connection gets at its own times, such as answers to heartbeats, are no lost records."""
    logs = []
    for name, offset in (("a", 7), ("b", 13)):
        made: list[ExternalMessage] = []
        for at in EVERY:
            made += texts(at, place=len(made))
            if at % 20 == offset and not (name == "b" and at < 30):
                pong = message(None, len(made))
                record = msgspec.Raw(b'{"pong":%d}' % ((at - offset) // 20 - (name == "b")))
                made.append(msgspec.structs.replace(pong, record=record))
        logs.append(connected(name, made))

    assert (("a", "b"), ()) == (compared(*logs).alike, compared(*logs).differing)


def test_a_rare_record_that_one_client_lacks_is_counted() -> None:
    """A record of a form of its own that only one client received may be lost."""
    halt = msgspec.structs.replace(message(None, 100), record=msgspec.Raw(b'{"halt":true}'))
    found = compared(connected("a", [*texts(*EVERY[:100]), halt, *texts(*EVERY[100:])]), connected("b", texts(*EVERY)))

    assert [("b", 1)] == [(one.client, one.lacking) for one in found.differing]


def test_records_that_recur_are_compared_by_counts_and_turns() -> None:
    """Where two contents alternate, nothing shows which records of two clients are the same."""
    found = compared(*(connected(name, texts(*(at % 2 for at in EVERY))) for name in "ab"))

    assert ((), (), ()) == (found.alike, found.apart, found.differing)
    assert [("b", "a", 0, 0), ("a", "b", 0, 0)] == [
        (one.client, one.other, one.fewer, one.out_of_turn) for one in found.recurring
    ]


def test_clients_with_records_of_their_own_are_not_compared() -> None:
    """Where most records differ, or the operator says so, each connection received its own."""
    own = [connected(name, texts("hello", *(f"{name} {at}" for at in EVERY))) for name in "ab"]
    rules = SequenceRules(scope="connection")
    scoped = [connected(name, texts(*EVERY[at:]), rules=rules) for at, name in enumerate("ab")]

    assert (("a", "b"), (), ()) == (compared(*own).apart, compared(*own).alike, compared(*own).differing)
    assert NOTHING == compared(*scoped)
    assert NOTHING == compared(connected("a", texts(*EVERY)))


def away(first: Sequence[ExternalMessage], second: Sequence[ExternalMessage]) -> Any:
    """Return the log of a client that was away between two connections."""
    return client("b", ("opened", 0.0), first, ("closed", 1.0, 1006, "cut"), ("opened", 1.5), second)


def test_another_client_shows_that_nothing_was_missed_in_an_absence() -> None:
    """A reconnect is bridged if another client received no record between the ones before and after it."""
    every = [*texts(*EVERY[:90]), *texts(*EVERY[90:], place=160)]
    bridged = compared(connected("a", every), away(every[:90], every[90:]))
    again = compared(connected("a", every), away(every[:90], every[80:]))
    missed = compared(connected("a", every), away(every[:90], every[95:]))

    assert (frozenset({(1, 2)}), frozenset({(1, 2)})) == (bridged.bridged["b"], again.bridged["b"])
    assert frozenset() == missed.bridged["b"]
    assert () == bridged.differing
