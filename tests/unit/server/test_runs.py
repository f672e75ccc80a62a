"""Tests of opening, continuing and ending runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from services.contract import ledger
from services.runtime.strain import Strain
from services.server.generate import FAKER_VERSION
from services.server.ledger import read
from services.server.pools import POOL
from services.server.runs import Run
from tests.poll import poll_until
from tests.unit.server.stand import START_US, StoppedClock, feed, kinds_of, lines_of, new_run, refuse, runs


@pytest.fixture
def clock() -> StoppedClock:
    """Return a clock at the start."""
    return StoppedClock()


def crashed(run: Run, clock: StoppedClock) -> None:
    """Leave a run as a crash does, its files last touched now."""
    run.ledger._file.close()
    os.utime(run.ledger.path, (clock.us / 1e6, clock.us / 1e6))


def test_a_run_is_named_by_its_opening(tmp_path: Path, clock: StoppedClock) -> None:
    """The first run is a folder named by the UTC time, and its ledger begins with what the feed is made of."""
    run = runs(tmp_path, clock, records=500, rate=100, clients=3).begin()
    opening = lines_of(run)[0]

    assert "20261122T073000Z" == run.name == run.ledger.path.parent.name
    assert isinstance(opening, ledger.Open)
    assert (feed().identity, 42, "person", "en_US", FAKER_VERSION, POOL, 500, 100, 3) == (
        *(opening.feed, opening.seed, opening.schema, opening.locale, opening.faker, opening.pool),
        *(opening.total, opening.rate, opening.clients),
    )
    assert "waiting" == run.state


def test_runs_of_one_second_are_numbered(tmp_path: Path, clock: StoppedClock) -> None:
    """A name that is taken gets a number."""
    names = [new_run(tmp_path, clock).name for _ in range(3)]

    assert ["20261122T073000Z", "20261122T073000Z-2", "20261122T073000Z-3"] == names


@pytest.mark.parametrize("paused", [False, True])
def test_an_interrupted_run_is_continued(tmp_path: Path, clock: StoppedClock, *, paused: bool) -> None:
    """A server that starts within the time continues the run, from a ledger of its own beside the old one."""
    first = new_run(tmp_path, clock, rate=10)
    first.pace(10)
    clock.pass_seconds(3.05)
    if paused:
        first.pace(None)
    crashed(first, clock)
    clock.pass_seconds(599)
    second = runs(tmp_path, clock, "b", rate=10).begin()

    assert first.name == second.name
    assert {"a.jsonl", "b.jsonl"} == {path.name for path in second.ledger.path.parent.iterdir()}
    assert ("paused", 31) if paused else ("running", 6000) == (second.state, second.head())


def test_a_crashed_runs_schedule_goes_on(tmp_path: Path, clock: StoppedClock) -> None:
    """After a crash the schedule has gone on while nobody was there."""
    first = new_run(tmp_path, clock, rate=10)
    first.pace(10)
    crashed(first, clock)
    clock.pass_seconds(20)

    assert 201 == runs(tmp_path, clock, "b", rate=10).begin().head()


@pytest.mark.parametrize("ended", [False, True])
def test_time_never_goes_back(tmp_path: Path, clock: StoppedClock, *, ended: bool) -> None:
    """When the wall clock was set back while no server was there, the story goes on from the ledger's own time."""
    first = new_run(tmp_path, clock, rate=10)
    first.pace(10)
    clock.pass_seconds(20)
    if ended:
        first.finish("complete")
    else:
        first.pace(10)
    crashed(first, clock)
    clock.pass_seconds(-3600)
    second = runs(tmp_path, clock, "b", rate=10).begin()

    assert START_US + 20_000_000 == clock.us
    assert ((f"{first.name[:13]}20Z", 0) if ended else (first.name, 202)) == (second.name, second.head())


def test_a_run_that_cannot_be_opened_leaves_nothing(
    tmp_path: Path, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder without a ledger would be taken for one that was lost."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("services.server.runs.LedgerWriter", full)
    with pytest.raises(OSError, match="No space"):
        runs(tmp_path, clock).begin()

    assert [] == list((tmp_path / "ledger").iterdir())


@pytest.mark.parametrize(("outage", "changed"), [(601, {}), (1, {"records": 5}), (1, {"rate": 9})])
def test_otherwise_it_is_abandoned(tmp_path: Path, clock: StoppedClock, outage: float, changed: dict[str, int]) -> None:
    """After too long, or with another feed, the old run is ended as abandoned and a new one opened."""
    first = new_run(tmp_path, clock)
    crashed(first, clock)
    clock.pass_seconds(outage)
    second = runs(tmp_path, clock, "b", **changed).begin()
    ends = [entry for entry in read(tmp_path / "ledger" / first.name) if isinstance(entry, ledger.End)]

    assert first.name != second.name
    assert "waiting" == second.state
    assert ["abandoned"] == [entry.reason for entry in ends]


def test_an_ended_run_is_followed(tmp_path: Path, clock: StoppedClock) -> None:
    """A run that ended is not continued."""
    first = new_run(tmp_path, clock)
    first.finish("complete")
    first.ledger.close()

    assert f"{first.name}-2" == runs(tmp_path, clock, "b").begin().name


def test_a_run_without_a_good_line_is_followed(tmp_path: Path, clock: StoppedClock) -> None:
    """A folder in which a crash left nothing readable does not stop the server."""
    (tmp_path / "ledger" / "20261122T072959Z").mkdir(parents=True)

    assert "20261122T073000Z" == runs(tmp_path, clock).begin().name


def test_a_pace_begins_after_the_head(tmp_path: Path, clock: StoppedClock) -> None:
    """A change of rate is entered from the record after the head, due now, and whoever waits is told."""
    run, told = new_run(tmp_path, clock, rate=10), []
    run.on_change = lambda: told.append(run.rate)
    run.pace(10)
    clock.pass_seconds(1)
    run.pace(50)
    paces = [(entry.first, entry.due_us, entry.rate) for entry in lines_of(run) if isinstance(entry, ledger.Pace)]

    assert [(1, START_US, 10), (12, START_US + 1_000_000, 50)] == paces
    assert [10, 50] == told


def test_the_end_of_the_feed_has_no_pace(tmp_path: Path, clock: StoppedClock) -> None:
    """When everything is due there is nothing to pause."""
    run = new_run(tmp_path, clock, records=10, rate=10)
    run.pace(10)
    clock.pass_seconds(5)
    run.pace(None)

    assert ("running", ["open", "pace"]) == (run.state, kinds_of(run))


def test_rate_is_the_last_that_was_set(tmp_path: Path, clock: StoppedClock) -> None:
    """Before the start the rate is the setting's, in a pause the one to be resumed."""
    run = new_run(tmp_path, clock, rate=10)
    assert 10 == run.rate
    run.pace(70)
    clock.pass_seconds(0.1)
    run.pace(None)

    assert 70 == run.rate


def test_the_end_tells_how_late_the_server_was(tmp_path: Path, clock: StoppedClock) -> None:
    """The last line has the server's own lateness; flat out there is none."""
    run = new_run(tmp_path, clock, rate=10)
    run.lateness.record([2000, 1000])
    run.finish("grace")
    end = lines_of(run)[-1]

    assert isinstance(end, ledger.End)
    assert (6000, 6000, "grace", 2000) == (end.last, end.count, end.reason, end.late_max_ns)
    flat_out = new_run(tmp_path, clock, rate=0)
    flat_out.lateness.record([2000])
    flat_out.finish("complete")
    assert "late_max_ns=None" in repr(lines_of(flat_out)[-1])


def test_the_end_tells_how_strained_the_server_was(tmp_path: Path, clock: StoppedClock) -> None:
    """The last line has how late the process's own timer was since the run began, whatever was before."""
    strain = Strain()
    made = runs(tmp_path, clock)
    made.strain = strain
    run = made.open()
    strain.tick(9_000_000_000)
    poll_until(lambda: strain.mark().lags.count, "what was before is known", 5, 0.001)
    run.start()
    strain.tick(5_000_000)
    poll_until(lambda: strain.mark().lags.count == 2, "what came is known", 5, 0.001)
    run.finish("complete")
    end = lines_of(run)[-1]

    assert isinstance(end, ledger.End)
    assert pytest.approx(5_000_000, rel=0.01) == end.loop_lag_max_ns
    assert end.loop_lag_p99_ns is None
    assert end.cpu_ns is not None


def test_a_refusing_disk_does_not_stop_the_end(tmp_path: Path, clock: StoppedClock) -> None:
    """A run ends although its ledger cannot be synced; the line waits for the disk."""
    run = new_run(tmp_path, clock)
    disk = refuse(run)
    run.enter(ledger.Control(at=run.at(), wish="rate", peer="test"))
    disk.full = True
    run.finish("complete")

    assert ("ended", False) == (run.state, run.ledger.writable)


def test_welcome_tells_of_the_run(tmp_path: Path, clock: StoppedClock) -> None:
    """A welcome names run, feed and state; the start is known once there is one."""
    run = new_run(tmp_path, clock)
    before = run.welcome()
    run.pace(200)
    after = run.welcome()

    assert (run.name, feed().identity, 6000, 200, "boot") == (
        *(before.run, before.feed, before.total, before.rate, before.boot),
    )
    assert [("waiting", None), ("running", START_US)] == [(it.state, it.start_us) for it in (before, after)]


PLAN = "10:2s,1000:1s,pause:4s,5"


def paces_of(run: Run) -> list[tuple[int, float, float | None, int | None]]:
    """Return the ledger's pace lines: first, seconds since the first one, rate and stage."""
    paces = [entry for entry in lines_of(run) if isinstance(entry, ledger.Pace)]
    start_us = paces[0].due_us
    return [(entry.first, (entry.due_us - start_us) / 1e6, entry.rate, entry.stage) for entry in paces]


def test_a_plan_is_followed(tmp_path: Path, clock: StoppedClock) -> None:
    """Every stage is entered with the time at which it begins, however late somebody looks."""
    run = new_run(tmp_path, clock, rate=PLAN)
    run.start()
    clock.pass_seconds(2.5)
    assert (501, "running", 1000) == (run.head(), run.state, run.rate)
    clock.pass_seconds(1)
    assert (1020, "paused", 1000) == (run.head(), run.state, run.rate)
    clock.pass_seconds(600)
    run.head()

    expected = [(1, 0, 10, 1), (21, 2, 1000, 2), (1021, 3, None, 3), (1021, 7, 5, 4)]
    assert expected == paces_of(run)
    assert ("running", 5) == (run.state, run.rate)
    opening = lines_of(run)[0]
    assert isinstance(opening, ledger.Open)
    assert (10, PLAN) == (opening.rate, opening.plan)


def test_a_plan_ends_with_the_records(tmp_path: Path, clock: StoppedClock) -> None:
    """A stage that would have no record left is not entered."""
    run = new_run(tmp_path, clock, rate="10:2s,1000:1s", records=20)
    run.start()
    clock.pass_seconds(60)

    assert 20 == run.head()
    assert [(1, 0, 10, 1)] == paces_of(run)


def test_it_is_known_when_there_is_more(tmp_path: Path, clock: StoppedClock) -> None:
    """There is more with the next record or the next stage, whichever is first."""
    run = new_run(tmp_path, clock, rate="0.5:3s,pause:4s,10")
    assert run.next_us(0) is None
    run.start()
    start_us = run.book.schedule.stretches[0].due_us
    for seconds, expected in ((-0.01, 0), (0, 2), (2, 3), (3, 7), (7, 7.1)):
        clock.us = start_us + round(seconds * 1e6)

        assert expected == ((run.next_us(run.head()) or 0) - start_us) / 1e6


@pytest.mark.parametrize("stopped", [False, True])
def test_a_plan_survives_a_restart(tmp_path: Path, clock: StoppedClock, *, stopped: bool) -> None:
    """After a crash the plan has gone on, stage by stage; a stop shifts what is left of it."""
    first = new_run(tmp_path, clock, rate=PLAN)
    first.start()
    clock.pass_seconds(1.02)
    if stopped:
        first.pace(None)
    crashed(first, clock)
    clock.pass_seconds(30)
    second = runs(tmp_path, clock, "b", rate=PLAN).begin()
    if stopped:
        second.resume()
        clock.pass_seconds(1.5)

    assert first.name == second.name
    head = second.head()
    paces = [(entry.rate, entry.stage) for entry in lines_of(second) if isinstance(entry, ledger.Pace)]
    expected = (522, [(10, 1), (1000, 2)]) if stopped else (1141, [(1000, 2), (None, 3), (5, 4)])
    assert expected == (head, paces)


def test_another_plan_is_another_run(tmp_path: Path, clock: StoppedClock) -> None:
    """A run that began by one plan is not continued by another."""
    first = new_run(tmp_path, clock, rate=PLAN)
    first.start()
    crashed(first, clock)
    again = runs(tmp_path, clock, "b", rate=PLAN.replace("2s", "2000ms")).begin()
    crashed(again, clock)

    assert first.name == again.name
    assert first.name != runs(tmp_path, clock, "c", rate="10").begin().name
