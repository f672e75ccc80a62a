"""Tests of the life of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.contract import ledger
from services.runtime.saturation import SaturationMonitor
from services.server.runs.run import Run
from tests.poll import poll_until
from tests.unit.server.fakes import START_US, StoppedClock, feed, kinds_of, lines_of, new_run, refuse, runs

PLAN = "10:2s,1000:1s,pause:4s,5"


def test_a_pace_begins_after_the_head(tmp_path: Path, clock: StoppedClock) -> None:
    """A change of rate is entered from the record after the head, due now, and whoever waits is told."""
    run, told = new_run(tmp_path, clock, rate=10), []
    run.on_change = lambda: told.append(run.rate)
    run.pace(10)
    clock.pass_seconds(1)
    run.pace(50)
    paces = [(entry.first, entry.due_us, entry.rate) for entry in lines_of(run) if isinstance(entry, ledger.PaceEntry)]

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

    assert isinstance(end, ledger.EndEntry)
    assert (6000, 6000, "grace", 2000) == (end.last, end.count, end.reason, end.late_max_ns)
    flat_out = new_run(tmp_path, clock, rate=0)
    flat_out.lateness.record([2000])
    flat_out.finish("complete")
    assert "late_max_ns=None" in repr(lines_of(flat_out)[-1])


def test_the_end_tells_how_strained_the_server_was(tmp_path: Path, clock: StoppedClock) -> None:
    """The last line has how late the process's own timer was since the run began, whatever was before."""
    strain = SaturationMonitor()
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

    assert isinstance(end, ledger.EndEntry)
    assert pytest.approx(5_000_000, rel=0.01) == end.loop_lag_max_ns
    assert end.loop_lag_p99_ns is None
    assert end.cpu_ns is not None


def test_a_refusing_disk_does_not_stop_the_end(tmp_path: Path, clock: StoppedClock) -> None:
    """A run ends although its ledger cannot be synced; the line waits for the disk."""
    run = new_run(tmp_path, clock)
    disk = refuse(run)
    run.enter(ledger.ControlEntry(at=run.at(), request="rate", peer="test"))
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


def paces_of(run: Run) -> list[tuple[int, float, float | None, int | None]]:
    """Return the ledger's pace lines: first, seconds since the first one, rate and stage."""
    paces = [entry for entry in lines_of(run) if isinstance(entry, ledger.PaceEntry)]
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
    assert isinstance(opening, ledger.OpenEntry)
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
