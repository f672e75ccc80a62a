"""Tests of when a run starts, resumes and ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.contract import ledger
from services.server.runs.ledger_writer import read_entries
from services.server.runs.run import Run
from services.server.runs.run_lifecycle import (
    EXPECT_AT_MOST_SECONDS,
    FIRST_QUIET_SECONDS,
    JOIN_AT_MOST_SECONDS,
    JOIN_QUIET_SECONDS,
    KNOWN_QUIET_SECONDS,
    KNOWN_SECONDS,
    RETURN_SECONDS,
    ExpectedClients,
    RunLifecycle,
)
from tests.unit.server.fakes import StoppedClock, kinds_of, new_run, runs

AT = "2026-11-22T07:30:00.000000Z"


def join(run: Run, name: str = "client-1") -> None:
    """Record a subscription."""
    run.append(
        ledger.SubscribeEntry(
            at=AT, client=name, session=1, instance="one", fence=run.recorded.fence + 1, first=1, block_size=10
        )
    )


def leave(run: Run, name: str, cause: Any) -> None:
    """Record the end of a subscription."""
    fence = run.recorded.clients[name].fence
    run.append(ledger.LeaveEntry(at=AT, client=name, fence=fence, sent=0, receipted=0, cause=cause))


def receipt(run: Run, last: int, name: str = "client-1") -> None:
    """Record a receipt for all records through ``last``."""
    run.append(
        ledger.ReceiptEntry(
            at=AT, client=name, session=1, fence=1, block=last, first=1, last=last,
            count=last, digest="x00000000", match=True,
        )
    )  # fmt: skip


def end_reason(run: Run) -> str | None:
    """Return why the run ended, None while it has not."""
    return run.recorded.end.reason if run.recorded.end is not None else None


def test_starts_with_the_last_of_the_set_clients(tmp_path: Path, clock: StoppedClock) -> None:
    """With ``CLIENTS`` the run starts once that many are subscribed."""
    run = new_run(tmp_path, clock, clients=2)
    life = RunLifecycle(run, 0)
    join(run)
    life.step(60.0, {"client-1"}, 0)
    assert not run.recorded.schedule.has_started
    join(run, "client-2")
    life.step(60.1, {"client-1", "client-2"}, 0)

    assert ("running", 200) == (run.state, run.status().rate)


def test_starts_when_no_more_clients_come(tmp_path: Path, clock: StoppedClock) -> None:
    """Without ``CLIENTS`` the run starts once no client has subscribed for a second."""
    run = new_run(tmp_path, clock, clients=1)
    life = RunLifecycle(run, 0)
    join(run)
    life.step(10.0, {"client-1"}, 0)
    join(run, "client-2")
    life.step(10.5, {"client-1", "client-2"}, 0)
    life.step(10.5 + JOIN_QUIET_SECONDS - 0.01, {"client-1", "client-2"}, 0)
    assert not run.recorded.schedule.has_started
    life.step(10.5 + JOIN_QUIET_SECONDS, {"client-1", "client-2"}, 0)

    assert "running" == run.state


def test_the_wait_for_clients_is_bounded(tmp_path: Path, clock: StoppedClock) -> None:
    """The run starts within its limit although clients keep subscribing."""
    run = new_run(tmp_path, clock, clients=1)
    life, now, connected = RunLifecycle(run, 0), 0.0, set[str]()
    while run.state == "waiting":
        now += 0.4
        connected.add(f"client-{len(connected) + 1}")
        join(run, f"client-{len(connected)}")
        life.step(now, connected, 0)

    assert pytest.approx(JOIN_AT_MOST_SECONDS, abs=0.8) == now


def test_a_client_that_left_does_not_count(tmp_path: Path, clock: StoppedClock) -> None:
    """The run does not start for a client that has left again."""
    run = new_run(tmp_path, clock, clients=1)
    life = RunLifecycle(run, 0)
    join(run)
    life.step(1.0, {"client-1"}, 0)
    life.step(1.4, set(), 0)
    life.step(60.0, set(), 0)

    assert "waiting" == run.state


def start_time(run: Run, clients: int, *, answer: int | None, until: float, connections: int = 1) -> float | None:
    """Subscribe a client a second while the name server reports a number; return when the run started, None if not."""
    expected = ExpectedClients("client", connections)
    life, now = RunLifecycle(run, 0, expected), 0.0
    connected: set[str] = set()
    while now < until and run.state == "waiting":
        if len(connected) < min(clients, int(now)):
            connected.add(f"client-{len(connected) + 1}")
            join(run, f"client-{len(connected)}")
        expected.add_answer(now, answer)
        life.step(now, connected, 0)
        now = round(now + 0.1, 1)
    return None if run.state == "waiting" else now


def expect_entries_of(run: Run) -> list[tuple[int, str]]:
    """Return the number and source of each `expect` entry."""
    entries = read_entries(run.ledger.path.parent)
    return [(entry.clients, entry.source) for entry in entries if isinstance(entry, ledger.ExpectEntry)]


def expect_entries(run: Run) -> list[tuple[int, str]]:
    """Return the number and source of each `expect` entry, after checking that the start comes later."""
    lines = [
        entry
        for entry in read_entries(run.ledger.path.parent)
        if isinstance(entry, (ledger.ExpectEntry, ledger.PaceEntry))
    ]
    assert isinstance(lines[-1], ledger.PaceEntry)
    return [(entry.clients, entry.source) for entry in lines if isinstance(entry, ledger.ExpectEntry)]


def test_waits_for_all_containers(tmp_path: Path, clock: StoppedClock) -> None:
    """The run waits for the clients of all containers that the name server reports, and records their number."""
    run = new_run(tmp_path, clock)
    life = RunLifecycle(run, 0, expected := ExpectedClients("client", 2))
    join(run)
    for now in (1.0, 3.0, 4.5, 6.0, 9.0, 12.0):
        expected.add_answer(now, 2)
        life.step(now, {"client-1.1", "client-1.2", "client-2.1"}, 0)
        assert not run.recorded.schedule.has_started
    life.step(12.1, {"client-1.1", "client-1.2", "client-2.1", "client-2.2"}, 0)

    assert "running" == run.state
    assert [(4, "addresses of client: 2, CONNECTIONS: 2")] == expect_entries(run)


def test_starts_without_a_missing_client(tmp_path: Path, clock: StoppedClock) -> None:
    """A container whose client never subscribes delays the start for a bounded time, and stays in the number."""
    run = new_run(tmp_path, clock)

    assert pytest.approx(1 + EXPECT_AT_MOST_SECONDS, abs=0.2) == start_time(run, 9, answer=10, until=60)
    assert [10] == [clients for clients, _ in expect_entries(run)]


@pytest.mark.parametrize("answer", [None, 0])
def test_without_a_number_the_start_is_not_delayed(answer: int | None, tmp_path: Path, clock: StoppedClock) -> None:
    """Without an answer, or with no address, the run starts once no more clients subscribe."""
    run = new_run(tmp_path, clock)

    assert pytest.approx(1 + FIRST_QUIET_SECONDS, abs=0.2) == start_time(run, 1, answer=answer, until=60)
    assert [] == expect_entries(run)


def test_a_silent_name_server_does_not_delay_the_start(tmp_path: Path, clock: StoppedClock) -> None:
    """The last answer of a name server counts for some seconds, then the run starts without a number."""
    run = new_run(tmp_path, clock)
    life = RunLifecycle(run, 0, expected := ExpectedClients("client"))
    join(run)
    expected.add_answer(0.5, 3)
    life.step(1, {"client-1"}, 0)
    life.step(0.5 + KNOWN_SECONDS, {"client-1"}, 0)
    assert not run.recorded.schedule.has_started
    life.step(0.6 + KNOWN_SECONDS, {"client-1"}, 0)

    assert "running" == run.state
    assert [] == expect_entries(run)


@pytest.mark.parametrize("clients", [1, 2])
def test_clients_setting_takes_precedence(clients: int, tmp_path: Path, clock: StoppedClock) -> None:
    """With ``CLIENTS``, even 1, the number of containers is ignored."""
    run = new_run(tmp_path, clock, clients=clients)

    assert start_time(run, clients, answer=10, until=20) is not None
    assert [] == expect_entries(run)


def test_a_known_number_starts_the_run_at_once(tmp_path: Path, clock: StoppedClock) -> None:
    """When the clients of all containers are subscribed, the run starts a moment after the last of them."""
    run = new_run(tmp_path, clock)

    assert pytest.approx(5 + KNOWN_QUIET_SECONDS, abs=0.3) == start_time(run, 5, answer=5, until=60)


@pytest.mark.parametrize(("answers", "expected"), [([5], [1]), ([5, 5, 5], [1, 5]), ([5, 1, 5], [1]), ([0, 0, 0], [1])])
def test_later_containers_are_expected_too(
    answers: list[int], expected: list[int], tmp_path: Path, clock: StoppedClock
) -> None:
    """Containers that are started during a run are waited for at its end; their start alone does not delay it."""
    run = new_run(tmp_path, clock)
    containers = ExpectedClients("client")
    assert start_time(run, 1, answer=1, until=20) is not None
    life = RunLifecycle(run, 30, containers)
    for later, answer in enumerate(answers):
        containers.add_answer(30 + later, answer)
        life.step(30.1 + later, {"client-1"}, 0)

    assert "running" == run.state
    assert expected == [clients for clients, _ in expect_entries_of(run)]


def test_later_containers_that_took_part_are_counted(tmp_path: Path, clock: StoppedClock) -> None:
    """Clients that have joined since the start need no entry: they have to finish in any case."""
    run = new_run(tmp_path, clock)
    containers = ExpectedClients("client")
    assert start_time(run, 1, answer=1, until=20) is not None
    life = RunLifecycle(run, 30, containers)
    join(run, "client-2")
    for now in (30, 32, 34):
        containers.add_answer(now, 2)
        life.step(now + 0.1, {"client-1", "client-2"}, 0)

    assert [1] == [clients for clients, _ in expect_entries_of(run)]


def interrupted(tmp_path: Path, clock: StoppedClock, *, finished: tuple[str, ...] = ()) -> Run:
    """Return a run that the stop of a server interrupted, as the next server continues it.

    The clients in ``finished`` have receipted the last record.
    """
    first = new_run(tmp_path, clock, rate=10, records=100)
    first.set_rate(10)
    for name in ("client-1", "client-2", "client-3"):
        join(first, name)
    clock.pass_seconds(1)
    leave(first, "client-3", "bye")
    for name in finished:
        receipt(first, 100, name)
    first.set_rate(None)
    for name in ("client-1", "client-2"):
        leave(first, name, "draining")
    first.ledger.close()
    return runs(
        tmp_path, StoppedClock(clock.us + 10**9), "b", rate=10, records=100, resume_seconds=10**6
    ).open_or_continue()


def test_resumes_when_all_are_back(tmp_path: Path, clock: StoppedClock) -> None:
    """An interrupted run resumes once all disconnected clients are subscribed again."""
    run = interrupted(tmp_path, clock)
    life = RunLifecycle(run, 0)
    life.step(0.5, {"client-1"}, 0)
    assert run.recorded.schedule.is_paused
    life.step(0.6, {"client-1", "client-2"}, 0)

    assert ("running", 10) == (run.state, run.status().rate)


def test_resumes_without_missing_clients(tmp_path: Path, clock: StoppedClock) -> None:
    """An interrupted run resumes after a bounded time although a client is missing."""
    run = interrupted(tmp_path, clock)
    life = RunLifecycle(run, 0)
    life.step(RETURN_SECONDS, {"client-1"}, 0)
    assert run.recorded.schedule.is_paused
    life.step(RETURN_SECONDS + 0.1, {"client-1"}, 0)

    assert "running" == run.state


def test_resumes_without_clients_that_have_everything(tmp_path: Path, clock: StoppedClock) -> None:
    """An interrupted run does not wait for a client that has receipted the last record."""
    run = interrupted(tmp_path, clock, finished=("client-2",))
    RunLifecycle(run, 0).step(0.5, {"client-1"}, 0)

    assert "running" == run.state


def test_an_operator_pauses_an_interrupted_run(tmp_path: Path, clock: StoppedClock) -> None:
    """An interrupted run that an operator pauses does not resume when its clients are back."""
    run = interrupted(tmp_path, clock)
    life = RunLifecycle(run, 0)
    run.append(ledger.ControlEntry(at=AT, request="pause", peer="127.0.0.1"))
    life.step(0.5, {"client-1", "client-2"}, 0)

    assert "paused" == run.state


def test_an_operator_resumes_an_interrupted_run(tmp_path: Path, clock: StoppedClock) -> None:
    """An interrupted run that an operator has resumed is not resumed again when its clients are back."""
    run = interrupted(tmp_path, clock)
    life = RunLifecycle(run, 0)
    run.append(ledger.ControlEntry(at=AT, request="resume", peer="127.0.0.1"))
    run.resume()
    before = kinds_of(run)
    life.step(0.5, {"client-1", "client-2"}, 0)

    assert ("running", before) == (run.state, kinds_of(run))


def test_a_pause_of_the_operator_survives_a_restart(tmp_path: Path, clock: StoppedClock) -> None:
    """A pause of the operator is not ended by the start of a server."""
    run = new_run(tmp_path, clock, rate=10)
    run.set_rate(10)
    run.append(ledger.ControlEntry(at=AT, request="pause", peer="127.0.0.1"))
    run.set_rate(None)
    RunLifecycle(run, 0).step(60, {"client-1"}, 0)

    assert "paused" == run.state


def test_ends_when_all_records_are_receipted(tmp_path: Path, clock: StoppedClock) -> None:
    """A run is complete once every client has receipted the last record."""
    run = new_run(tmp_path, clock, rate=10, records=10)
    run.set_rate(10)
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
    assert isinstance(list(read_entries(run.ledger.path.parent))[-1], ledger.EndEntry)


def test_a_client_that_left_does_not_delay_the_end(tmp_path: Path, clock: StoppedClock) -> None:
    """A client that left with `bye` does not delay the end."""
    run = new_run(tmp_path, clock, rate=10, records=10)
    run.set_rate(10)
    for name in ("client-1", "client-2"):
        join(run, name)
    leave(run, "client-2", "bye")
    clock.pass_seconds(1)
    receipt(run, 10)
    RunLifecycle(run, 0).step(1, set(), 20)

    assert "complete" == end_reason(run)


def test_grace_counts_from_the_last_due_time(tmp_path: Path, clock: StoppedClock) -> None:
    """The grace period counts from the due time of the last record."""
    run = new_run(tmp_path, clock, rate=10, records=11, grace_seconds=15)
    run.set_rate(10)
    join(run)
    life = RunLifecycle(run, 0)
    clock.pass_seconds(1 + 15)
    life.step(16, set(), 0)
    assert end_reason(run) is None
    clock.pass_seconds(0.001)
    life.step(16, set(), 0)

    assert "grace" == end_reason(run)


def test_at_rate_0_grace_counts_from_the_last_progress(tmp_path: Path, clock: StoppedClock) -> None:
    """At rate 0 the grace period counts from the last record sent or receipted."""
    run = new_run(tmp_path, clock, rate=0, records=1000, grace_seconds=15)
    run.set_rate(0)
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


@pytest.mark.parametrize(("rate", "sent"), [(10, 10), (0, 0)], ids=["a pause", "the wait for clients"])
def test_at_rate_0_time_without_a_rate_is_no_part_of_the_grace(
    tmp_path: Path, clock: StoppedClock, rate: int, sent: int
) -> None:
    """A rate of 0 that begins after a long pause, or a long wait, does not end the run before more can be sent."""
    run = new_run(tmp_path, clock, rate=rate, records=1000, grace_seconds=15)
    join(run)
    life = RunLifecycle(run, 0)
    if rate:
        run.set_rate(rate)
        clock.pass_seconds(1)
        life.step(1, {"client-1"}, sent)
        run.set_rate(None)
    clock.pass_seconds(60)
    # Without a rate so far, this step starts the run.
    life.step(61, {"client-1"}, sent)
    run.set_rate(0)
    clock.pass_seconds(0.1)
    life.step(61.1, {"client-1"}, sent)
    assert (None, 1000) == (end_reason(run), run.head())
    clock.pass_seconds(15)
    life.step(76.2, {"client-1"}, sent)

    assert "grace" == end_reason(run)


def test_a_plan_continues_after_a_stop(tmp_path: Path, clock: StoppedClock) -> None:
    """The rest of the plan is played after a restart, once the clients are back."""
    run = new_run(tmp_path, clock, rate="10:2s,100")
    run.start()
    clock.pass_seconds(1.02)
    run.set_rate(None)
    run.ledger.close()
    clock.pass_seconds(30)
    again = runs(tmp_path, clock, "b", rate="10:2s,100").open_or_continue()
    RunLifecycle(again, 0).step(RETURN_SECONDS + 1, set(), 0)

    assert ("running", 10) == (again.state, again.status().rate)
    clock.pass_seconds(2)
    assert (11 + 10 + 101, 100) == (again.head(), again.status().rate)


def test_a_planned_pause_is_not_resumed_by_a_start(tmp_path: Path, clock: StoppedClock) -> None:
    """A server that starts during a planned pause leaves its end to the plan."""
    run = new_run(tmp_path, clock, rate="10:2s,pause:60s,100")
    run.start()
    clock.pass_seconds(10)
    run.advance()
    run.ledger.close()
    again = runs(tmp_path, clock, "b", rate="10:2s,pause:60s,100").open_or_continue()
    RunLifecycle(again, 0).step(RETURN_SECONDS + 1, set(), 0)

    assert ("paused", True) == (again.state, again.recorded.is_advancing)


def test_a_step_records_a_due_stage(tmp_path: Path, clock: StoppedClock) -> None:
    """A step of the lifecycle records a stage that is due, although no records are sent."""
    run = new_run(tmp_path, clock, rate="10:2s,pause:60s,100")
    run.start()
    clock.pass_seconds(10)
    assert ("running", "paused") == (run.recorded.state, run.state)
    RunLifecycle(run, 0).step(1, set(), 0)

    assert ("paused", "paused") == (run.recorded.state, run.state)
