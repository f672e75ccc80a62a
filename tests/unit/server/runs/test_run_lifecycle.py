"""Tests of when a run starts, resumes and ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.contract import ledger
from services.server.runs.expected_clients import AT_MOST_SECONDS, KNOWN_SECONDS, ExpectedClients
from services.server.runs.ledger_writer import entries
from services.server.runs.run import Run
from services.server.runs.run_lifecycle import (
    FIRST_QUIET_SECONDS,
    JOIN_AT_MOST_SECONDS,
    JOIN_QUIET_SECONDS,
    RETURN_SECONDS,
    RunLifecycle,
)
from tests.unit.server.fakes import StoppedClock, new_run, runs

AT = "2026-11-22T07:30:00.000000Z"


def join(run: Run, name: str = "client-1") -> None:
    """Enter a subscription."""
    run.enter(
        ledger.SubscribeEntry(
            at=AT, client=name, session=1, instance="one", fence=run.book.fence + 1, first=1, block_size=10
        )
    )


def leave(run: Run, name: str, cause: Any) -> None:
    """Enter a departure."""
    fence = run.book.clients[name].fence
    run.enter(ledger.LeaveEntry(at=AT, client=name, fence=fence, sent=0, receipted=0, cause=cause))


def receipt(run: Run, last: int, name: str = "client-1") -> None:
    """Enter a receipt for everything up to ``last``."""
    run.enter(
        ledger.ReceiptEntry(
            at=AT, client=name, session=1, fence=1, block=last, first=1, last=last,
            count=last, digest="x00000000", match=True,
        )
    )  # fmt: skip


def end_reason(run: Run) -> str | None:
    """Return why the run is over, if it is."""
    return run.book.end.reason if run.book.end is not None else None


def test_starts_when_all_are_there(tmp_path: Path, clock: StoppedClock) -> None:
    """When it is said how many clients there are, the clock starts with the last of them, and not before."""
    run = new_run(tmp_path, clock, clients=2)
    life = RunLifecycle(run, 0)
    join(run)
    life.step(60.0, {"client-1"}, 0)
    assert not run.book.schedule.started
    join(run, "client-2")
    life.step(60.1, {"client-1", "client-2"}, 0)

    assert ("running", 200) == (run.state, run.rate)


def test_starts_when_nobody_more_comes(tmp_path: Path, clock: StoppedClock) -> None:
    """When nobody says how many there are, the clock starts when no more of them came for a moment."""
    run = new_run(tmp_path, clock, clients=1)
    life = RunLifecycle(run, 0)
    join(run)
    life.step(10.0, {"client-1"}, 0)
    join(run, "client-2")
    life.step(10.5, {"client-1", "client-2"}, 0)
    life.step(10.5 + JOIN_QUIET_SECONDS - 0.01, {"client-1", "client-2"}, 0)
    assert not run.book.schedule.started
    life.step(10.5 + JOIN_QUIET_SECONDS, {"client-1", "client-2"}, 0)

    assert "running" == run.state


def test_does_not_wait_for_ever(tmp_path: Path, clock: StoppedClock) -> None:
    """Clients that keep coming do not hold up the start beyond its limit."""
    run = new_run(tmp_path, clock, clients=1)
    life, now, connected = RunLifecycle(run, 0), 0.0, set[str]()
    while run.state == "waiting":
        now += 0.4
        connected.add(f"client-{len(connected) + 1}")
        join(run, f"client-{len(connected)}")
        life.step(now, connected, 0)

    assert pytest.approx(JOIN_AT_MOST_SECONDS, abs=0.8) == now


def test_one_that_goes_before_the_start_is_waited_for(tmp_path: Path, clock: StoppedClock) -> None:
    """A client that has gone again does not count: the moment begins anew."""
    run = new_run(tmp_path, clock, clients=1)
    life = RunLifecycle(run, 0)
    join(run)
    life.step(1.0, {"client-1"}, 0)
    life.step(1.4, set(), 0)
    life.step(60.0, set(), 0)

    assert "waiting" == run.state


def waited(run: Run, clients: int, *, answer: int | None, until: float, connections: int = 1) -> float | None:
    """Have clients come a second apart while the name server tells a number; return when the run started."""
    expected = ExpectedClients("client", connections)
    life, now = RunLifecycle(run, 0, expected), 0.0
    connected: set[str] = set()
    while now < until and run.state == "waiting":
        if len(connected) < min(clients, int(now)):
            connected.add(f"client-{len(connected) + 1}")
            join(run, f"client-{len(connected)}")
        expected.note(now, answer)
        life.step(now, connected, 0)
        now = round(now + 0.1, 1)
    return None if run.state == "waiting" else now


def expects(run: Run) -> list[tuple[int, str]]:
    """Return what the ledger says of whom the run waits for, and that it says it before the clock starts."""
    lines = [
        entry for entry in entries(run.ledger.path.parent) if isinstance(entry, (ledger.ExpectEntry, ledger.PaceEntry))
    ]
    assert isinstance(lines[-1], ledger.PaceEntry)
    return [(entry.clients, entry.source) for entry in lines if isinstance(entry, ledger.ExpectEntry)]


def test_waits_for_all_that_were_started(tmp_path: Path, clock: StoppedClock) -> None:
    """When the name server knows the clients' containers, they are waited for and entered, however slowly they come."""
    run = new_run(tmp_path, clock)
    life = RunLifecycle(run, 0, expected := ExpectedClients("client", 2))
    join(run)
    for now in (1.0, 3.0, 4.5, 6.0, 9.0, 12.0):
        expected.note(now, 2)
        life.step(now, {"client-1.1", "client-1.2", "client-2.1"}, 0)
        assert not run.book.schedule.started
    life.step(12.1, {"client-1.1", "client-1.2", "client-2.1", "client-2.2"}, 0)

    assert "running" == run.state
    assert [(4, "addresses of client: 2, CONNECTIONS: 2")] == expects(run)


def test_starts_without_one_that_does_not_come(tmp_path: Path, clock: StoppedClock) -> None:
    """A container whose client never subscribes holds up the start for its time; that it was expected is entered."""
    run = new_run(tmp_path, clock)

    assert pytest.approx(1 + AT_MOST_SECONDS, abs=0.2) == waited(run, 9, answer=10, until=60)
    assert [10] == [clients for clients, _ in expects(run)]


@pytest.mark.parametrize("answer", [None, 0])
def test_without_a_number_the_start_is_not_delayed(answer: int | None, tmp_path: Path, clock: StoppedClock) -> None:
    """Where the name server says nothing, the clock starts when no more clients come, as it does without one."""
    run = new_run(tmp_path, clock)

    assert pytest.approx(1 + FIRST_QUIET_SECONDS, abs=0.2) == waited(run, 1, answer=answer, until=60)
    assert [] == expects(run)


def test_a_name_server_that_falls_silent_does_not_hold_up_the_start(tmp_path: Path, clock: StoppedClock) -> None:
    """What it said once counts for some seconds, then the clock starts when no more clients come."""
    run = new_run(tmp_path, clock)
    life = RunLifecycle(run, 0, expected := ExpectedClients("client"))
    join(run)
    expected.note(0.5, 3)
    life.step(1, {"client-1"}, 0)
    life.step(0.5 + KNOWN_SECONDS, {"client-1"}, 0)
    assert not run.book.schedule.started
    life.step(0.6 + KNOWN_SECONDS, {"client-1"}, 0)

    assert "running" == run.state
    assert [] == expects(run)


@pytest.mark.parametrize("clients", [1, 2])
def test_what_the_operator_says_comes_first(clients: int, tmp_path: Path, clock: StoppedClock) -> None:
    """When ``CLIENTS`` is set, be it to 1, the number of containers means nothing, and the open line has the number."""
    run = new_run(tmp_path, clock, clients=clients)

    assert waited(run, clients, answer=10, until=20) is not None
    assert [] == expects(run)


def test_later_clients_are_no_reason_to_wait(tmp_path: Path, clock: StoppedClock) -> None:
    """A run that has begun is not held up by containers that were started since."""
    run = new_run(tmp_path, clock)
    expected = ExpectedClients("client")
    assert waited(run, 1, answer=1, until=20) is not None
    expected.note(30, 5)
    RunLifecycle(run, 30, expected).step(31, {"client-1"}, 0)

    assert "running" == run.state
    assert [1] == [clients for clients, _ in expects(run)]


def drained(tmp_path: Path, clock: StoppedClock) -> Run:
    """Return a run that a server's stop interrupted, as the next server finds it."""
    first = new_run(tmp_path, clock, rate=10, records=100)
    first.pace(10)
    for name in ("client-1", "client-2", "client-3"):
        join(first, name)
    clock.pass_seconds(1)
    leave(first, "client-3", "bye")
    first.pace(None)
    for name in ("client-1", "client-2"):
        leave(first, name, "draining")
    first.ledger.close()
    return runs(tmp_path, StoppedClock(clock.us + 10**9), "b", rate=10, records=100, resume_seconds=10**6).begin()


def test_resumes_when_all_are_back(tmp_path: Path, clock: StoppedClock) -> None:
    """A drained run goes on once everybody who was there is back, and not before."""
    run = drained(tmp_path, clock)
    life = RunLifecycle(run, 0)
    life.step(0.5, {"client-1"}, 0)
    assert run.book.schedule.paused
    life.step(0.6, {"client-1", "client-2"}, 0)

    assert ("running", 10) == (run.state, run.rate)


def test_resumes_without_those_who_stay_away(tmp_path: Path, clock: StoppedClock) -> None:
    """A drained run does not wait for ever for somebody who does not return."""
    run = drained(tmp_path, clock)
    life = RunLifecycle(run, 0)
    life.step(RETURN_SECONDS, {"client-1"}, 0)
    assert run.book.schedule.paused
    life.step(RETURN_SECONDS + 0.1, {"client-1"}, 0)

    assert "running" == run.state


def test_an_operators_pause_outlives_a_restart(tmp_path: Path, clock: StoppedClock) -> None:
    """What an operator paused, only an operator resumes."""
    run = new_run(tmp_path, clock, rate=10)
    run.pace(10)
    run.enter(ledger.ControlEntry(at=AT, request="pause", peer="127.0.0.1"))
    run.pace(None)
    RunLifecycle(run, 0).step(60, {"client-1"}, 0)

    assert "paused" == run.state


def test_ends_when_all_have_all(tmp_path: Path, clock: StoppedClock) -> None:
    """A run is complete when everybody has receipted the last record, not while one has not."""
    run = new_run(tmp_path, clock, rate=10, records=10)
    run.pace(10)
    join(run)
    join(run, "client-2")
    life = RunLifecycle(run, 0)
    clock.pass_seconds(1)
    receipt(run, 10)
    life.step(1, set(), 20)
    assert end_reason(run) is None
    receipt(run, 10, "client-2")
    life.step(1, set(), 20)

    assert "complete" == end_reason(run)
    assert isinstance(list(entries(run.ledger.path.parent))[-1], ledger.EndEntry)


def test_who_left_is_not_waited_for(tmp_path: Path, clock: StoppedClock) -> None:
    """A client that said goodbye does not hold up the end, one that was lost does."""
    run = new_run(tmp_path, clock, rate=10, records=10)
    run.pace(10)
    for name in ("client-1", "client-2"):
        join(run, name)
    leave(run, "client-2", "bye")
    clock.pass_seconds(1)
    receipt(run, 10)
    RunLifecycle(run, 0).step(1, set(), 20)

    assert "complete" == end_reason(run)


def test_grace_counts_from_the_last_due_time(tmp_path: Path, clock: StoppedClock) -> None:
    """Whoever lacks something is waited for until the grace is over, counted from when the last record was due."""
    run = new_run(tmp_path, clock, rate=10, records=11, grace_seconds=15)
    run.pace(10)
    join(run)
    life = RunLifecycle(run, 0)
    clock.pass_seconds(1 + 15)
    life.step(16, set(), 0)
    assert end_reason(run) is None
    clock.pass_seconds(0.001)
    life.step(16, set(), 0)

    assert "grace" == end_reason(run)


def test_flat_out_grace_counts_from_the_last_progress(tmp_path: Path, clock: StoppedClock) -> None:
    """At rate 0 a run goes on as long as anything moves, and ends when nothing has for the time of grace."""
    run = new_run(tmp_path, clock, rate=0, records=1000, grace_seconds=15)
    run.pace(0)
    join(run)
    life = RunLifecycle(run, 0)
    clock.pass_seconds(3600)
    for now, delivered in ((10, 100), (20, 200), (30, 300)):
        life.step(now, {"client-1"}, delivered)
    receipt(run, 300)
    life.step(44, {"client-1"}, 300)
    life.step(59, {"client-1"}, 300)
    assert end_reason(run) is None
    life.step(59.1, {"client-1"}, 300)

    assert "grace" == end_reason(run)


def test_a_plan_goes_on_after_a_stop(tmp_path: Path, clock: StoppedClock) -> None:
    """What a stop left of the plan is played after the start, when the clients are back."""
    run = new_run(tmp_path, clock, rate="10:2s,100")
    run.start()
    clock.pass_seconds(1.02)
    run.pace(None)
    run.ledger.close()
    clock.pass_seconds(30)
    again = runs(tmp_path, clock, "b", rate="10:2s,100").begin()
    RunLifecycle(again, 0).step(RETURN_SECONDS + 1, set(), 0)

    assert ("running", 10) == (again.state, again.rate)
    clock.pass_seconds(2)
    assert (11 + 10 + 101, 100) == (again.head(), again.rate)


def test_a_planned_pause_is_not_resumed_by_a_start(tmp_path: Path, clock: StoppedClock) -> None:
    """A server that comes back in a pause that was planned leaves its end to the plan."""
    run = new_run(tmp_path, clock, rate="10:2s,pause:60s,100")
    run.start()
    clock.pass_seconds(10)
    run.head()
    run.ledger.close()
    again = runs(tmp_path, clock, "b", rate="10:2s,pause:60s,100").begin()
    RunLifecycle(again, 0).step(RETURN_SECONDS + 1, set(), 0)

    assert ("paused", True) == (again.state, again.book.goes)
