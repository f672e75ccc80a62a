"""Tests of services/collector/evidence/catch_up.py."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from functools import partial
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.collector.evidence.catch_up import INTERVAL_US, CatchUp
from services.collector.evidence.time_buckets import FINEST_US
from services.collector.publish.terminal import summary_text
from services.collector.publish.view_model import view
from services.collector.verdict.snapshot import Snapshot, empty, snapshot
from services.collector.verdict.threshold_parser import parse
from services.contract import summary
from services.contract.histogram import CountedDurations
from services.contract.summary import Quantiles
from services.contract.timeline import Timeline
from tests.builders.runs import (
    RUN,
    START_US,
    Files,
    Session,
    blocks_of,
    end,
    fold,
    fold_in_turns,
    good_ledger,
    judged,
    ledger_source,
    log_files,
    log_source,
)

TOTAL = 60
"""One record is due every millisecond from the run's start on; each is received a millisecond later."""


def due_us(seq: int) -> int:
    """Return when a record is due."""
    return START_US + (seq - 1) * 1000


def session(number: int = 1, fence: int = 1, first: int = 1, last: int = TOTAL, **changes: object) -> Session:
    """Return a session of the one client."""
    made = Session("client-1", number, fence, first - 1, blocks_of(first, last, 10))
    for name, value in changes.items():
        setattr(made, name, value)
    return made


def run_of(*sessions: Session, rate: float = 1000) -> Files:
    """Return ledger and logs of a run with these sessions."""
    writer = good_ledger(list(sessions), TOTAL, rate)
    writer.put(end(TOTAL))
    files: Files = {ledger_source(): writer.lines}
    for one in sessions:
        files.update(log_files(one))
    return files


def counts_of(files: Files) -> tuple[int | None, int, int | None]:
    """Return the number of caught-up messages, the number of latencies, and the longest delay of the former."""
    made = judged(files)
    assert "PASS" == made.verdict
    (client,) = made.clients
    assert (client.catch_up, client.catch_up_ns, client.latency_ns) == (
        made.totals.catch_up,
        made.catch_up_ns,
        made.latency_ns,
    )
    assert client.transit_ns.max is not None
    count = snapshot_of(files).timeline
    return made.totals.catch_up, latencies(count), made.catch_up_ns.max


def snapshot_of(files: Files) -> Snapshot:
    """Return the final snapshot of these files."""
    return snapshot(fold(files), final=True)


def latencies(made: Timeline) -> int:
    """Return how many latencies the slots of a timeline have."""
    return sum(count for slot in made.slots for _, count in slot.heat)


def test_what_was_due_before_the_first_attempt_is_caught_up() -> None:
    """Latency begins in the middle of a block with record 26, which was due when the client first tried to connect."""
    caught_up, late, worst = counts_of(run_of(session(attempted_us=due_us(26))))

    assert (25, TOTAL - 25, 1_000_025) == (caught_up, late, worst)


def test_catch_up_is_in_the_headline_and_passes() -> None:
    """Caught-up messages are named in the headline, and the run passes."""
    made = judged(run_of(session(attempted_us=due_us(26))))

    assert ("PASS", True) == (made.verdict, made.headline.endswith(" · p99 1.0 ms · 25 caught up"))
    assert not judged(run_of(session())).headline.endswith("caught up")


def test_a_server_that_is_slow_to_admit_is_late() -> None:
    """Records that are due between a client's first attempt and its subscription have latency."""
    slow = session(attempted_us=due_us(1), later_us=5_000_000)

    assert (0, TOTAL) == counts_of(run_of(slow))[:2]


def test_without_an_attempt_nothing_is_caught_up() -> None:
    """Without the time of the first attempt in the open line no message is caught up."""
    assert (0, TOTAL, None) == counts_of(run_of(session()))


def test_what_a_later_session_receives_is_latency() -> None:
    """All messages of a later session have latency, although its process made a first attempt of its own."""
    first = session(last=30, reason="shutdown", attempted_us=due_us(6))
    again = session(2, 2, first=31, attempted_us=due_us(51))

    assert (5, TOTAL - 5) == counts_of(run_of(first, again))[:2]


def test_a_session_that_logged_nothing_was_the_first_all_the_same() -> None:
    """A session counts as the first one by its subscription, even if its process crashed before it wrote a line."""
    files = run_of(session(1, 1, last=0, reason=None), session(2, 2, attempted_us=due_us(26)))
    del files[log_source("client-1")]
    books = fold({**files, log_source("client-1"): []})
    made = snapshot(books, final=True)

    assert (0, TOTAL) == (made.summary.totals.catch_up, latencies(made.timeline))


def test_the_clocks_are_distinguished() -> None:
    """The time of the attempt, by the client's clock, is compared with due times corrected by the offset."""
    offset = {number: {"clock_offset_us": 10_000} for number in range(1, 7)}

    assert 25 == counts_of(run_of(session(attempted_us=due_us(26), changes=offset)))[0]


def test_without_a_schedule_nothing_is_caught_up() -> None:
    """At rate 0 no message is caught up, since no record has a due time."""
    made = judged(run_of(session(attempted_us=due_us(26)), rate=0))

    assert (0, Quantiles(), Quantiles()) == (made.totals.catch_up, made.catch_up_ns, made.latency_ns)


def test_a_client_that_caught_up_with_everything_has_no_latency() -> None:
    """A client that only caught up has no latency, and its transit is not shown as one."""
    made = judged(run_of(session(attempted_us=due_us(TOTAL + 1))))

    assert (TOTAL, Quantiles()) == (made.totals.catch_up, made.latency_ns)
    assert made.headline.endswith(f" · p99 - · {TOTAL} caught up")


def test_the_timeline_has_no_catch_up() -> None:
    """The slots of the timeline have no caught-up message, and a lane is blank where nothing else was received."""
    files = run_of(session(attempted_us=due_us(TOTAL + 1)))
    made = snapshot_of(files).timeline

    assert TOTAL == sum(slot.messages for slot in made.slots)
    assert all(slot.latency is None and slot.transit is not None for slot in made.slots if slot.messages)
    assert {None} == set(made.lanes[0].worst)


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ("catch_up==25", True),
        ("catch_up==0", False),
        ("catch_up{client:*}<=25", True),
        ("catch_up.max<1.1ms", True),
        ("catch_up.p99<1ms", False),
        ("catch_up{client:client-1}.max<1ms", False),
        ("latency.min>1.000025ms", True),
    ],
)
def test_thresholds_can_name_it(expression: str, holds: bool) -> None:
    """A threshold may limit the count of caught-up messages or a statistic of their delays; latency excludes them."""
    (found,) = judged(run_of(session(attempted_us=due_us(26))), parse(expression)).thresholds

    assert holds == found.ok, found.detail


@pytest.mark.parametrize("expression", ["catch_up==0", "catch_up.p99<1ms", "catch_up{client:*}.max<=0ns"])
def test_limits_on_catch_up_hold_where_there_is_none(expression: str) -> None:
    """A limit on the delay of caught-up messages holds if there are none."""
    (found,) = judged(run_of(session()), parse(expression)).thresholds

    assert found.ok, found.detail


def crooked() -> Files:
    """Return a run in which a block of the first session is also in the file of the second one, before its blocks."""
    first = session(last=30, reason="shutdown", attempted_us=due_us(16))
    again = session(2, 2, first=31, attempted_us=due_us(51))
    files = run_of(first, again)
    files[log_source("client-1", 2)].insert(1, files[log_source("client-1")][1])
    files[log_source("client-1", 7)] = files[log_source("client-1")][:2]
    return files


def test_the_order_of_reading_does_not_matter() -> None:
    """The result is the same for any order of files, read line by line or at once, with queries in between."""
    files = crooked()
    expected = snapshot_of(files)
    assert 15 == expected.summary.totals.catch_up
    assert TOTAL - 15 == latencies(expected.timeline)
    for order in permutations(files):
        assert expected == snapshot_of({source: files[source] for source in order})
    for seed in range(50):
        read = fold_in_turns(files, random.Random(seed), partial(snapshot, final=False), 0.2)
        assert expected == snapshot(read, final=True)


class Kept:
    """The messages that turned out to be latency."""

    def __init__(self) -> None:
        self.count = 0
        self.catch_up = CatchUp(self.take)

    def take(self, _at_us: int, some: CountedDurations) -> None:
        """Add latencies."""
        self.count += some.total


EVENTS = st.lists(st.tuples(st.integers(1, 3), st.lists(st.integers(0, 40), max_size=5)), min_size=1, max_size=12)


@given(EVENTS, st.permutations([1, 2, 3]), st.randoms(use_true_random=False))
def test_any_order_of_open_lines_and_blocks_gives_the_same(
    events: list[tuple[int, list[int]]], fences: list[int], dice: random.Random
) -> None:
    """For any order of open lines and blocks, only early messages of the first session are kept."""
    attempts = {1: 10, 2: 20, 3: 30}
    steps: Iterable[tuple[int, list[int] | None]] = [*events, *((number, None) for number in attempts)]
    every = list(steps)
    dice.shuffle(every)
    kept, late = Kept(), 0
    for number, dues in every:
        if dues is None:
            kept.catch_up.add_session(fences[number - 1], number, attempts[number])
        elif dues:
            came = [due + 1000 for due in dues]
            late += len(kept.catch_up.split(number, came, [1_000_000] * len(dues), 0))
    first = fences.index(1) + 1
    early = [due for number, dues in events if number == first for due in dues if due < attempts[first]]

    assert len(early) == kept.catch_up.histogram.count
    assert sum(len(dues) for _, dues in events) == late + kept.count + len(early)


def test_it_is_kept_as_finely_as_time_is_reported() -> None:
    """The width of a time bucket is a multiple of the interval in which catch-up is kept."""
    assert INTERVAL_US == FINEST_US


def test_a_summary_without_the_fields_is_read() -> None:
    """A published summary of a collector that did not know of catch-up is shown without it."""
    text = summary.encode(judged(run_of(session(attempted_us=due_us(26)))))
    older = json.loads(text)
    for place in (older, older["totals"], older["clients"][0]):
        for name in ("catch_up", "catch_up_ns"):
            place.pop(name, None)
    made = summary.decode(json.dumps(older).encode())

    assert (None, Quantiles()) == (made.totals.catch_up, made.catch_up_ns)
    assert "caught up..." not in summary_text.render(view(Snapshot(made, empty(RUN)), ""))
    assert "caught up..." in summary_text.render(view(Snapshot(summary.decode(text), empty(RUN)), ""))
