"""Tests of runs of START_AT: what each server does by its clock and its settings alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from services.contract import ledger, wire
from services.runtime.errors import AnotherServer, NoSuchRun
from services.server.runs.other_servers import FolderSnapshot, take_snapshot
from services.server.runs.run import Run
from services.server.runs.run_lifecycle import RunLifecycle
from services.server.runs.timetable import RunTimes
from services.server.streaming.control import RequestRefused, apply_request
from services.server.streaming.stream import Stream
from tests.unit.server.fakes import START_US, StoppedClock, admitted, kinds_of, lines_of, new_run, runs

SECOND = 1_000_000
TIMED: dict[str, Any] = {"start_at": START_US + 10 * SECOND, "rate": 10, "records": 51, "grace_seconds": 2.0}
"""From 07:30:10 on, the last record due at 07:30:15, the end at 07:30:17."""


def step(run: Run) -> None:
    """Let a run do what its clock says; no client is there."""
    RunLifecycle(run, 0).step(0.0, set(), 0)


def paces(run: Run) -> list[tuple[int, int, float | None]]:
    """Return the schedule in the ledger of a server."""
    return [(entry.first, entry.due_us, entry.rate) for entry in lines_of(run) if isinstance(entry, ledger.PaceEntry)]


def test_the_run_has_the_name_and_the_times_of_its_settings(tmp_path: Path, clock: StoppedClock) -> None:
    """The open line names begin and end, and the folder the begin."""
    run = runs(tmp_path, clock, **TIMED).open_or_continue()
    opening = lines_of(run)[0]

    assert isinstance(opening, ledger.OpenEntry)
    assert ("20261122T073010Z", "waiting") == (run.name, run.state)
    assert RunTimes(START_US + 10 * SECOND, START_US + 17 * SECOND) == (opening.start_us, opening.end_us)


def entries_of(path: Path) -> list[ledger.Entry]:
    """Return the entries of a ledger."""
    return [ledger.codec.decode(line)[1] for line in path.read_bytes().splitlines(keepends=True)]


@pytest.mark.parametrize("late_seconds", [0.0, 2.0, 6.9])
def test_servers_that_do_not_see_each_other_have_one_schedule(tmp_path: Path, late_seconds: float) -> None:
    """Two servers with two folders enter the same rate, however late one of them starts, and the same end."""
    ends = set()
    for number, seconds in enumerate((0.0, 10 + late_seconds)):
        clock = StoppedClock()
        clock.pass_seconds(seconds)
        run = runs(tmp_path / str(number), clock, str(number), **TIMED).open_or_continue()
        clock.us = max(clock.us, START_US + 10 * SECOND)
        step(run)
        assert [(1, START_US + 10 * SECOND, 10)] == paces(run)
        assert min(int(max(seconds - 10, 0) * 10) + 1, 51) == run.head()
        clock.us = START_US + 17 * SECOND
        step(run)
        end = lines_of(run)[-1]
        assert isinstance(end, ledger.EndEntry)
        ends.add((run.name, end.last, end.count, end.reason))

    assert {("20261122T073010Z", 51, 51, "grace")} == ends


def test_a_start_waits_for_no_client(tmp_path: Path, clock: StoppedClock) -> None:
    """The rate is entered shortly before its time, with ``CLIENTS`` set and no client there, and not earlier."""
    run = runs(tmp_path, clock, clients=5, **TIMED).open_or_continue()
    clock.pass_seconds(9.6)
    step(run)
    assert "waiting" == run.state
    clock.pass_seconds(0.2)
    step(run)

    assert ("running", 0) == (run.state, run.head())
    clock.pass_seconds(0.2)
    assert 1 == run.head()


def test_a_restart_continues_the_run(tmp_path: Path, clock: StoppedClock) -> None:
    """A server that starts again knows the subscriptions of the run, and plays the record that is due."""
    first = runs(tmp_path, clock, **TIMED).open_or_continue()
    clock.pass_seconds(10)
    step(first)
    admitted(Stream(first, clock))
    first.ledger.close()
    clock.pass_seconds(3)
    second = runs(tmp_path, clock, "b", **TIMED).open_or_continue()

    assert (first.name, 31, 1) == (second.name, second.head(), second.recorded.fence)


def test_a_stop_does_not_pause_the_run(tmp_path: Path, clock: StoppedClock) -> None:
    """The records of an outage become due, as at the servers that this one does not see."""
    run = runs(tmp_path, clock, **TIMED).open_or_continue()
    clock.pass_seconds(11)
    step(run)
    run.leave()

    assert [(1, START_US + 10 * SECOND, 10)] == paces(run)


@pytest.mark.parametrize("asked", [wire.Control(set={"rate": 5}), wire.Control(do="pause"), wire.Control(do="resume")])
def test_the_rate_cannot_be_changed(tmp_path: Path, clock: StoppedClock, asked: wire.Control) -> None:
    """Control of the rate is refused with the reason, before the run and in it."""
    run = runs(tmp_path, clock, **TIMED).open_or_continue()
    stream = Stream(run, clock)
    for seconds in (0, 12):
        clock.pass_seconds(seconds)
        step(run)
        with pytest.raises(RequestRefused, match="follows from START_AT") as refused:
            apply_request(asked, stream, "127.0.0.1")
        assert isinstance(refused.value.frame, wire.Error)
        assert "not_now" == refused.value.frame.code

    assert "control" not in kinds_of(run)


def test_a_client_can_be_dropped(tmp_path: Path, clock: StoppedClock) -> None:
    """To drop a client changes no schedule."""
    run = runs(tmp_path, clock, **TIMED).open_or_continue()
    stream = Stream(run, clock)
    admitted(stream)
    apply_request(wire.Control(do="drop", client="client-1"), stream, "127.0.0.1")

    assert "control" in kinds_of(run)


def test_runs_follow_by_arithmetic(tmp_path: Path, clock: StoppedClock) -> None:
    """The second run begins at its time, and after the last there is none."""
    store = runs(tmp_path, clock, runs=2, **TIMED)
    first = store.open_or_continue()
    clock.pass_seconds(17)
    step(first)
    assert store.has_next(first)
    second = store.open_new(first)

    assert ("20261122T073022Z", 2) == (second.name, second.agreement.number)
    assert not store.has_next(second)


def test_a_server_that_was_away_enters_the_end_of_the_run_before(tmp_path: Path, clock: StoppedClock) -> None:
    """A run whose end came while no server of the folder ran gets that end, and not that of an abandoned run."""
    first = runs(tmp_path, clock, runs=2, **TIMED).open_or_continue()
    clock.pass_seconds(11)
    step(first)
    first.ledger.close()
    clock.pass_seconds(12)
    second = runs(tmp_path, clock, "b", runs=2, **TIMED).open_or_continue()
    entries = entries_of(tmp_path / "ledger" / first.name / "b.jsonl")
    opening, end = entries[0], entries[-1]

    assert "20261122T073022Z" == second.name
    assert isinstance(opening, ledger.OpenEntry)
    assert isinstance(end, ledger.EndEntry)
    assert (START_US + 17 * SECOND, "grace") == (opening.end_us, end.reason)


@pytest.mark.parametrize(
    ("seconds", "says"),
    [
        (17, "START_AT=2026-11-22T07:30:10Z: the run is over, it ended at 2026-11-22T07:30:17Z"),
        (-32 * 86_400, "that is 32 days ahead"),
    ],
)
def test_a_run_that_cannot_be_played_is_refused(tmp_path: Path, clock: StoppedClock, seconds: int, says: str) -> None:
    """A start whose run is over, or that lies far ahead, is one line, and nothing is written."""
    clock.pass_seconds(seconds)
    with pytest.raises(NoSuchRun) as refused:
        runs(tmp_path, clock, **TIMED).survey()

    assert says in str(refused.value)
    assert 1 == len(refused.value.report().splitlines())
    assert not (tmp_path / "ledger").exists()


@pytest.mark.parametrize(
    ("changed", "says"),
    [({"rate": 20}, "RATE 10, here 20"), ({"grace_seconds": 5.0}, "until 2026-11-22T07:30:17Z, here until")],
)
def test_other_settings_of_the_same_run_are_refused(
    tmp_path: Path, clock: StoppedClock, changed: dict[str, object], says: str
) -> None:
    """In one folder a run has one set of settings, whether or not its server lives."""
    runs(tmp_path, clock, **TIMED).open_or_continue().ledger.close()
    with pytest.raises(NoSuchRun) as refused:
        runs(tmp_path, clock, "b", **{**TIMED, **changed}).survey()

    assert says in str(refused.value)


def test_an_interrupted_run_without_a_start_time_is_abandoned(tmp_path: Path, clock: StoppedClock) -> None:
    """A run that clients began, and no server ended, is ended before the one of START_AT is opened."""
    other = new_run(tmp_path, clock)
    other.set_rate(10)
    other.ledger.close()
    run = runs(tmp_path, clock, "b", **TIMED).open_or_continue()
    end = entries_of(tmp_path / "ledger" / other.name / "b.jsonl")[-1]

    assert "20261122T073010Z" == run.name
    assert isinstance(end, ledger.EndEntry)
    assert "abandoned" == end.reason


def test_a_server_without_a_start_time_does_not_join(tmp_path: Path, clock: StoppedClock) -> None:
    """It would pause the run, or end it when its own clients are done; while the other one lives it is refused."""
    runs(tmp_path, clock, **TIMED).open_or_continue()
    other = runs(tmp_path, clock, "b", **{**TIMED, "start_at": None})
    other.ensure_alone = still_alive

    assert other.joinable() is None
    with pytest.raises(AnotherServer, match="START_AT set, here not set"):
        other.survey()


def still_alive(root: Path, _is_stopped: object) -> FolderSnapshot:
    """Find that another server plays the newest run."""
    raise AnotherServer(take_snapshot(root).run, str(root))


def test_a_server_measures_itself_for_servers_that_it_does_not_see(tmp_path: Path, clock: StoppedClock) -> None:
    """A lone server of START_AT enters how late it is while the run goes: others may play it on if it is killed."""
    run = runs(tmp_path, clock, **TIMED).open_or_continue()
    assert not run.append_measurements()
    clock.us = START_US + 11 * SECOND
    step(run)
    assert run.append_measurements()
    clock.us = START_US + 17 * SECOND
    step(run)

    assert not run.append_measurements()
    assert 1 == kinds_of(run).count("measured")
