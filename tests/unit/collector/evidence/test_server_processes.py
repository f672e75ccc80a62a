"""Tests of services/collector/evidence/server_processes.py."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

import msgspec
import pytest

from services.contract import ledger
from services.contract.summary import Summary
from tests.builders.runs import (
    RUN,
    START_US,
    Files,
    Session,
    Writer,
    at,
    blocks_of,
    end,
    fold,
    judged,
    leave,
    ledger_source,
    log_files,
    opening,
    receipt,
    subscription,
)

A, B, C = "aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc"
TOTAL = 60
ONE = Session("client-1", 1, 1, 0, blocks_of(1, TOTAL, 10))
OTHER = Session("client-2", 1, 2, 0, blocks_of(1, TOTAL, 10))


def opened(instance: str, at_ms: int = 0) -> ledger.OpenEntry:
    """Return the open line of a server that was started ``at_ms`` milliseconds after the run began."""
    return msgspec.structs.replace(opening(TOTAL, 1), at=at(at_ms), instance=instance)


def pace(at_ms: int = 0, first: int = 1, due_ms: int = 0, rate: float | None = 1000) -> ledger.PaceEntry:
    """Return a change of the rate."""
    return ledger.PaceEntry(at=at(at_ms), first=first, due_us=START_US + due_ms * 1000, rate=rate)


def played(instance: str, *sessions: Session, paces: tuple[ledger.PaceEntry, ...] = (pace(),), **ends: Any) -> Writer:
    """Return the ledger of a server that served some clients to the end."""
    writer = Writer(ledger.codec)
    for entry in (opened(instance), *paces):
        writer.put(entry)
    for session in sessions:
        writer.put(subscription(session))
        writer.put(ledger.SentEntry(at=at(0), client=session.client, fence=session.fence, through=TOTAL))
        for index, (first, last) in enumerate(session.blocks):
            writer.put(receipt(session, index + 1, first, last))
    writer.put(end(TOTAL, **ends))
    return writer


def files_of(ledgers: dict[str, Writer], *sessions: Session) -> Files:
    """Return ledgers and logs of a run with several servers."""
    files: Files = {ledger_source(name): writer.lines for name, writer in ledgers.items()}
    for session in sessions:
        files.update(log_files(session))
    return files


def stopped(instance: str, session: Session, through: int, *more: ledger.Entry) -> Writer:
    """Return the ledger of a server that was killed after it had sent this many records to a client."""
    writer = Writer(ledger.codec)
    opening_lines: list[ledger.Entry] = [opened(instance), pace(), subscription(session)]
    for entry in opening_lines:
        writer.put(entry)
    writer.put(ledger.SentEntry(at=at(0), client=session.client, fence=session.fence, through=TOTAL))
    for index, (first, last) in enumerate(session.blocks):
        if last <= through:
            writer.put(receipt(session, index + 1, first, last))
    for entry in more:
        writer.put(entry)
    return writer


def continued(instance: str, session: Session, after: int, at_ms: int, *paces: ledger.PaceEntry, **ends: Any) -> Writer:
    """Return the ledger of a server that continued the run of another one and served a client to the end."""
    again = msgspec.structs.replace(subscription(session), at=at(at_ms), fence=session.fence + 10, first=after + 1)
    writer = Writer(ledger.codec)
    for entry in (opened(instance, at_ms), *paces, again):
        writer.put(entry)
    writer.put(ledger.SentEntry(at=at(at_ms), client=session.client, fence=again.fence, through=TOTAL))
    for index, (first, last) in enumerate(session.blocks):
        if last > after:
            writer.put(receipt(session, index + 1, first, last, fence=again.fence))
    writer.put(end(TOTAL, **ends))
    return writer


def same_in_any_order(files: Files) -> Summary:
    """Return the summary of these files after asserting that it is the same in any order of reading."""
    made = [judged({source: files[source] for source in order}) for order in permutations(files)]

    assert all(one == made[0] for one in made)
    return made[0]


def test_servers_with_one_schedule_pass() -> None:
    """Servers that ran side by side by one schedule pass."""
    made = same_in_any_order(files_of({A: played(A, ONE), B: played(B, OTHER)}, ONE, OTHER))

    assert ("PASS", []) == (made.verdict, made.reasons)


@pytest.mark.parametrize(
    ("paces", "record"),
    [
        ((pace(due_ms=800),), 1),
        ((pace(rate=500),), 1),
        ((pace(), pace(at_ms=30, first=31, rate=None), pace(at_ms=40, first=31, due_ms=3000)), 31),
        ((pace(), pace(at_ms=30, first=31, rate=None)), 31),
        ((), 1),
    ],
)
def test_different_schedules_side_by_side_are_invalid(paces: tuple[ledger.PaceEntry, ...], record: int) -> None:
    """Different schedules side by side are INVALID even if all was delivered; the sentence names servers and record."""
    made = same_in_any_order(files_of({A: played(A, ONE), B: played(B, OTHER, paces=paces)}, ONE, OTHER))
    result = f"its servers played different schedules in one run: {A} and {B} differ from record {record} on"

    assert ("INVALID", result) == (made.verdict, made.headline)


def test_different_schedules_come_before_a_client_that_is_lost() -> None:
    """Different schedules make a run INVALID even if a client is lost."""
    lost = Session("client-2", 1, 2, 0, blocks_of(1, 30, 10), reason=None)
    made = judged(files_of({A: played(A, ONE), B: played(B, lost, paces=(pace(due_ms=800),))}, ONE, lost))

    assert "INVALID" == made.verdict
    assert "different schedules" in made.headline
    assert any(reason.startswith("client-2 is lost") for reason in made.reasons)


@pytest.mark.parametrize(
    "paces",
    [
        (),
        (pace(at_ms=45, first=31, due_ms=45),),
        (pace(at_ms=45, first=31, rate=None), pace(at_ms=47, first=31, due_ms=47)),
        (pace(at_ms=45, first=1, due_ms=45),),
    ],
)
def test_a_run_that_was_continued_passes(paces: tuple[ledger.PaceEntry, ...]) -> None:
    """A server that continues a run may set another rate; the run passes although the server before has no end line."""
    files = files_of({A: stopped(A, ONE, 30), B: continued(B, ONE, 30, 40, *paces)}, ONE)
    made = same_in_any_order(files)

    assert ("PASS", []) == (made.verdict, made.reasons)


def test_a_server_that_is_started_at_the_time_of_the_last_line_continues_it() -> None:
    """A server whose open line has the time of the last line of the one before continues that one."""
    files = files_of({A: stopped(A, ONE, 30), B: continued(B, ONE, 30, 30, pace(at_ms=30, first=31, due_ms=45))}, ONE)

    assert "PASS" == judged(files).verdict


def test_a_server_that_lived_on_when_its_run_was_continued_is_reported() -> None:
    """A server that wrote lines after its run was continued is reported."""
    frozen = stopped(A, ONE, 30, leave(ONE, 50, "lost"))
    files = files_of({A: frozen, B: continued(B, ONE, 30, 40, pace(at_ms=40, first=31, due_ms=45))}, ONE)
    made = same_in_any_order(files)

    assert "INVALID" == made.verdict
    assert f"{A} and {B} differ from record 31 on" in made.headline
    assert any(reason.startswith(f"server {A}: its ledger has no end") for reason in made.reasons)


PAUSED = (pace(), pace(at_ms=20, first=21, due_ms=25, rate=None))
RESUMED = (*PAUSED, pace(at_ms=40, first=21, due_ms=45))


@pytest.mark.parametrize("known", [PAUSED, PAUSED[:1]])
def test_a_server_that_was_killed_has_no_part_in_later_changes(known: tuple[ledger.PaceEntry, ...]) -> None:
    """A server that was killed in a pause, or before a decided pause began, played the schedule of the others."""
    killed = stopped(B, replace(OTHER, blocks=[]), 0, *known[1:], leave(OTHER, 25, "lost"))
    again = continued(C, OTHER, 0, 30, RESUMED[2])
    made = same_in_any_order(files_of({A: played(A, ONE, paces=RESUMED), B: killed, C: again}, ONE, OTHER))

    assert ("PASS", []) == (made.verdict, made.reasons)


def test_a_server_that_entered_a_change_late_is_reported_only_if_it_played_another_schedule() -> None:
    """A frozen server enters what it missed in order; it is reported if it sent by the old schedule meanwhile."""
    late = (pace(), pace(at_ms=50, first=21, due_ms=25, rate=None), pace(at_ms=51, first=21, due_ms=45))
    for paces, verdict in ((late, "PASS"), ((pace(), pace(at_ms=50, first=31, due_ms=55)), "INVALID")):
        files = files_of({A: played(A, ONE, paces=RESUMED), B: played(B, OTHER, paces=paces)}, ONE, OTHER)

        assert verdict == same_in_any_order(files).verdict


@pytest.mark.parametrize("later", [0, 800, 2000])
def test_the_schedules_of_scaled_servers_are_compared(later: int) -> None:
    """Three servers that each started the run, up to two seconds apart, are INVALID although all was delivered."""
    third = Session("client-3", 1, 3, 0, blocks_of(1, TOTAL, 10))
    ledgers = {
        name: played(name, session, paces=(pace(due_ms=number * later),))
        for number, (name, session) in enumerate(((A, ONE), (B, OTHER), (C, third)))
    }

    assert ("INVALID" if later else "PASS") == judged(files_of(ledgers, ONE, OTHER, third)).verdict


def test_another_rate_or_plan_beside_the_first_is_another_feed() -> None:
    """Servers whose open lines have different rates played different feeds, even if neither had a client."""
    other = Writer(ledger.codec)
    other.put(msgspec.structs.replace(opened(B, 20), rate=500))
    made = same_in_any_order(files_of({A: played(A, ONE), B: other}, ONE))

    assert "INVALID" == made.verdict
    assert any("played different feeds in one run: RATE 1000 and 500" in reason for reason in made.reasons)


def test_servers_without_a_common_end_played_different_runs() -> None:
    """Servers of START_AT whose runs end at different times are INVALID, and the ends are named."""
    timed = [
        msgspec.structs.replace(opened(name, 0), start_us=START_US, end_us=START_US + 1_000_000 * number)
        for number, name in enumerate((A, B))
    ]
    ledgers = {entry.instance: Writer(ledger.codec) for entry in timed}
    for entry in timed:
        ledgers[entry.instance].put(entry)
    made = same_in_any_order(files_of(ledgers, ONE))

    assert "INVALID" == made.verdict
    assert any("one run: end by START_AT " in reason for reason in made.reasons)


def test_a_server_without_an_end_is_reported() -> None:
    """A server that took part and has no end is reported, since its lateness was not measured."""
    ending = played(B, OTHER)
    ending.lines.pop()
    made = same_in_any_order(files_of({A: played(A, ONE), B: ending}, ONE, OTHER))
    on_time = next(check for check in made.checks if check.name == "generator on time")

    assert ("INVALID", None) == (made.verdict, on_time.ok)
    assert made.headline.startswith(f"server {B}: its ledger has no end, and no later server continued it")
    assert on_time.detail.endswith(f"not known of server {B}")


def measured(at_ms: int, p99_ns: int | None, **fields: Any) -> ledger.MeasuredEntry:
    """Return a measurement of a server's lateness."""
    return ledger.MeasuredEntry(at=at(at_ms), late_p99_ns=p99_ns, late_max_ns=p99_ns, **fields)


def killed_and_not_replaced(*lines: ledger.Entry, last_sent_ms: int = 10) -> Summary:
    """Return the summary of a run whose second server was killed while the first one served its client to the end."""
    last = ledger.SentEntry(at=at(last_sent_ms), client=OTHER.client, fence=OTHER.fence, through=TOTAL)
    killed, other = stopped(B, OTHER, 30, *lines, last), played(A, ONE, replace(OTHER, fence=12))
    return same_in_any_order(files_of({A: other, B: killed}, ONE, OTHER))


def test_a_server_that_measured_itself_need_not_be_replaced() -> None:
    """A killed server passes if it recorded its lateness until then, and the others served its clients to the end."""
    made = killed_and_not_replaced(measured(1, 2_000_000), measured(5, 7_000_000))
    on_time = next(check for check in made.checks if check.name == "generator on time")

    assert ("PASS", []) == (made.verdict, made.reasons)
    assert "p99 7.0 ms late, at most 7.0 ms, the worst of several servers" == on_time.detail


def test_a_killed_server_that_was_late_is_reported() -> None:
    """The last measurements of a killed server count like those of the servers that played the run to its end."""
    late = killed_and_not_replaced(measured(5, 300_000_000))
    lagging = killed_and_not_replaced(measured(5, 1, loop_lag_p99_ns=400_000_000, loop_lag_max_ns=500_000_000))

    assert "INVALID" == late.verdict == lagging.verdict
    assert late.headline.startswith("the server did not keep its schedule: p99 300.0 ms late")
    assert f"server {B}'s event loop was 400.0 ms late (p99)" == lagging.headline


def test_a_measurement_must_be_of_the_time_until_the_server_was_gone() -> None:
    """A server that was active for seconds after its last measurement is reported like one without any."""
    recent = killed_and_not_replaced(measured(5, 1), last_sent_ms=6005)
    old = killed_and_not_replaced(measured(5, 1), last_sent_ms=6006)

    assert ("PASS", []) == (recent.verdict, recent.reasons)
    assert "INVALID" == old.verdict
    assert old.headline.startswith(f"server {B}: its ledger has no end, and no later server continued it")


def test_a_late_timer_of_a_server_that_was_there_for_seconds_is_no_doubt() -> None:
    """Without a percentile the longest lag of a killed server's event loop is no doubt."""
    made = killed_and_not_replaced(measured(5, 1, loop_lag_max_ns=400_000_000))

    assert "PASS" == made.verdict


def test_a_server_that_took_no_part_does_not_count() -> None:
    """A server that sent nothing needs no end."""
    idle = Writer(ledger.codec)
    idle.put(opened(B, 20))

    assert "PASS" == judged(files_of({A: played(A, ONE), B: idle}, ONE)).verdict


def test_a_copy_of_a_ledger_is_no_other_server() -> None:
    """Whole and cut copies of a ledger are one server."""
    whole = played(A, ONE)
    short = Writer(ledger.codec)
    short.lines = whole.lines[:-1]
    made = same_in_any_order(files_of({A: whole, "copy": whole, "short": short}, ONE))

    assert ("PASS", []) == (made.verdict, made.reasons)


def test_the_worst_server_counts() -> None:
    """The lateness of a run is that of its worst server, whichever ended first."""
    late: dict[str, Any] = {"late_p99_ns": 300_000_000, "late_max_ns": 900_000_000, "at": at(TOTAL + 5)}
    lagging: dict[str, Any] = {"loop_lag_p99_ns": 400_000_000, "loop_lag_max_ns": 500_000_000, "at": at(TOTAL + 20)}
    made = same_in_any_order(
        files_of({A: played(A, ONE), B: played(B, OTHER, **late), C: played(C, **lagging)}, ONE, OTHER)
    )

    assert "INVALID" == made.verdict
    assert {
        "the server did not keep its schedule: p99 300.0 ms late, at most 900.0 ms, the worst of several servers",
        f"server {C}'s event loop was 400.0 ms late (p99)",
    } == set(made.reasons)


def test_a_fence_that_was_given_twice_is_reported() -> None:
    """A fence that two servers granted for one client is reported."""
    again = replace(ONE, number=2, after=30)
    made = same_in_any_order(files_of({A: played(A, ONE), B: played(B, again)}, ONE))

    assert ("INVALID", "client-1: fence 1 was given twice") == (made.verdict, made.headline)


def test_the_run_is_over_when_the_last_server_has_ended() -> None:
    """The run ends with the last server's end; an end as abandoned before it is reported nevertheless."""
    files = files_of({A: played(A, ONE), B: played(B, OTHER, at=at(90), reason="abandoned")}, ONE, OTHER)

    assert at(90) == fold(files).ended_at
    for moment in (20, 90):
        files = files_of({A: played(A, ONE), B: played(B, OTHER, at=at(moment), reason="abandoned")}, ONE, OTHER)
        assert any("abandoned" in reason for reason in judged(files).reasons)
    assert RUN == judged(files).run
