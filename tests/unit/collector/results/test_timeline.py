"""Tests of services/collector/results/timeline.py."""

from __future__ import annotations

from typing import Any

import msgspec

from services.collector.results.build import build_result
from services.collector.results.builders.time_course_builder import time_course
from services.collector.results.timeline import draw, event_order
from services.contract import block_text, ledger
from services.contract.timeline import MOST_GAPS, MOST_LANES, Gap, Timeline, TimelineEvent
from tests.builders.runs import (
    START_US,
    Files,
    Session,
    at,
    block,
    blocks_of,
    end,
    fold,
    good_ledger,
    good_run,
    ledger_source,
    log_files,
    log_source,
)


def drawn(files: Files) -> Timeline:
    """Return the timeline of these files."""
    books = fold(files)
    result = build_result(books, final=True)
    return draw(result, time_course(books, result))


def run_of(sessions: list[Session], total: int, rate: float = 1000) -> Files:
    """Return ledger and logs of a run with these sessions."""
    writer = good_ledger(sessions, total, rate)
    writer.put(end(total))
    files: Files = {ledger_source(): writer.lines}
    for session in sessions:
        files.update(log_files(session))
    return files


def lacking(session: Session, number: int, first: int, last: int, gone: range) -> dict[str, Any]:
    """Return a block without some of its messages."""
    messages = [message for message in block(session, number, first, last).messages if message.seq not in gone]
    return {
        "messages": messages, "count": len(messages), "missing": [(gone[0], gone[-1])],
        "digest": block_text.block_digest(messages),
    }  # fmt: skip


def test_a_good_run_is_drawn() -> None:
    """The slots have every message, the lanes every block, and the run lasts from the first due time to its end."""
    made = drawn(good_run())

    assert (START_US, START_US + 70_000) == (made.start_us, made.end_us)
    assert (120, 250_000) == (sum(slot.messages for slot in made.slots), made.step_us)
    assert ["client-1", "client-2"] == [lane.client for lane in made.lanes]
    assert [[(1, 1), (1, 2), (1, 3)], [(2, 1), (2, 2), (2, 3)]] == [
        [(bar.session, bar.block) for bar in lane.bars[-3 if lane.client == "client-2" else 0 :][:3]]
        for lane in made.lanes
    ]
    assert [[], []] == [lane.gaps for lane in made.lanes]
    assert [[1_000_060], [1_000_060]] == [lane.worst for lane in made.lanes]


def test_silence_at_the_end_is_drawn() -> None:
    """Slots extend to the end of the run, although nothing was received any more."""
    files = run_of([Session("client-1", 1, 1, 0, blocks_of(1, 20, 10))], 20)
    files[ledger_source()][-1:] = ledger_lines(files, end(20, at=at(2000)))

    assert [20, *[0] * 8] == [slot.messages for slot in drawn(files).slots]


def ledger_lines(files: Files, entry: ledger.EndEntry) -> list[bytes]:
    """Return the line that would end this ledger."""
    prev = ledger.codec.decode(files[ledger_source()][-2])[0].crc
    return [ledger.codec.encode(entry, prev)[0]]


def test_a_gap_has_its_cause_and_its_moments() -> None:
    """A gap has its cause and the times of the messages around it."""
    session = Session("client-1", 1, 1, 0, [(1, 10), (11, 20)])
    session.changes[2] = lacking(session, 2, 11, 20, range(14, 17))
    files = run_of([session], 20)
    del files[ledger_source()][-2]

    expected = Gap(seqs=(14, 16), cause="sent_not_logged", from_us=START_US + 13_000, to_us=START_US + 17_000)
    assert [expected] == drawn(files).lanes[0].gaps


def test_a_gap_between_blocks_lies_between_their_messages() -> None:
    """A gap of a whole line has the times of the neighbouring blocks."""
    files = run_of([Session("client-1", 1, 1, 0, blocks_of(1, 40, 10))], 40)
    del files[log_source("client-1")][2]

    expected = Gap(seqs=(11, 20), cause="receipted_not_logged", from_us=START_US + 10_000, to_us=START_US + 21_000)
    assert [expected] == drawn(files).lanes[0].gaps


def test_of_a_gap_at_an_end_one_moment_is_known() -> None:
    """A gap at the beginning or the end has only one time."""
    files = run_of([Session("client-1", 1, 1, 0, blocks_of(1, 40, 10))], 40)
    del files[log_source("client-1")][4], files[log_source("client-1")][1]

    assert [(None, START_US + 11_000), (START_US + 30_000, None)] == [
        (gap.from_us, gap.to_us) for gap in drawn(files).lanes[0].gaps
    ]


def test_of_many_gaps_the_widest_are_kept() -> None:
    """The widest gaps are kept, in the order of the feed."""
    held = [(3 * place, 3 * place) for place in range(1, MOST_GAPS + 2)]
    files = run_of([Session("client-1", 1, 1, 0, [*held, (400, 400)], 1)], 400)
    gaps = [gap.seqs for gap in drawn(files).lanes[0].gaps]

    assert MOST_GAPS == len(gaps)
    assert ((1, 2), (304, 399)) == (gaps[0], gaps[-1])
    assert sorted(gaps) == gaps


def test_of_many_clients_those_who_miss_most_have_lanes() -> None:
    """The number of lanes is bounded, and clients that miss most have one."""
    sessions = [Session(f"c-{number}", 1, number, 0, [(1, 2)]) for number in range(1, MOST_LANES + 3)]
    files = run_of(sessions, 2)
    del files[log_source(f"c-{MOST_LANES + 2}")][1]
    lanes = [lane.client for lane in drawn(files).lanes]

    assert [*(f"c-{number}" for number in range(1, MOST_LANES)), f"c-{MOST_LANES + 2}"] == lanes


def test_without_a_schedule_lanes_show_the_time_on_the_way() -> None:
    """At rate 0 slots have no latency, and a lane shows the longest transit."""
    made = drawn(run_of([Session("client-1", 1, 1, 0, blocks_of(1, 20, 10))], 20, 0))

    assert [None] == [slot.latency for slot in made.slots]
    assert [[500_020]] == [lane.worst for lane in made.lanes]


def test_a_client_without_a_log_has_an_empty_lane() -> None:
    """A client that subscribed and logged nothing has an empty lane."""
    sessions = [Session("client-1", 1, 1, 0, blocks_of(1, 20, 10)), Session("client-2", 1, 2, 0, [])]
    files = run_of(sessions, 20)
    lane = drawn(files).lanes[1]

    assert ([], [None], [(1, 20)]) == (lane.bars, lane.worst, [gap.seqs for gap in lane.gaps])


def test_without_a_ledger_the_logs_show_when() -> None:
    """Without a ledger the run lasts from the first message to the last one."""
    made = drawn({source: lines for source, lines in good_run().items() if source.client})

    assert (START_US + 1000, START_US + 60_300) == (made.start_us, made.end_us)


def test_nothing_at_all_is_drawn_empty() -> None:
    """A run without any line has neither slots nor lanes."""
    made = drawn({})

    assert (None, None, [], [], []) == (made.start_us, made.end_us, made.slots, made.lanes, made.marks)
    assert msgspec.to_builtins(made)


def test_events_are_sorted_by_time_then_kind_then_client() -> None:
    """Events are sorted by time, kind and client, in any order of reading."""
    later, first, second, start = (
        TimelineEvent(at_us=2, kind="pause"),
        TimelineEvent(at_us=2, kind="join", client="client-1"),
        TimelineEvent(at_us=2, kind="join", client="client-2"),
        TimelineEvent(at_us=1, kind="start", detail="100/s"),
    )

    assert [start, first, second, later] == sorted([later, second, first, start], key=event_order)
