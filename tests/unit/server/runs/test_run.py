"""Tests of one run: its rates, its rate plan, its end."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.contract import ledger
from services.runtime.saturation import SaturationMonitor
from services.server.runs.run import Run
from services.server.runs.run_state import RunStatus
from tests.poll import poll_until
from tests.unit.server.fakes import START_US, StoppedClock, feed, kinds_of, lines_of, new_run, replace_disk, runs

PLAN = "10:2s,1000:1s,pause:4s,5"


def test_a_new_rate_begins_after_the_head(tmp_path: Path, clock: StoppedClock) -> None:
    """A change of the rate is recorded from the record after the head, due now, and announced."""
    run, rates = new_run(tmp_path, clock, rate=10), []
    run.on_change = lambda: rates.append(run.status().rate)
    run.set_rate(10)
    clock.pass_seconds(1)
    run.set_rate(50)
    paces = [(entry.first, entry.due_us, entry.rate) for entry in lines_of(run) if isinstance(entry, ledger.PaceEntry)]

    assert [(1, START_US, 10), (12, START_US + 1_000_000, 50)] == paces
    assert [10, 50] == rates


def test_the_lateness_of_a_schedule_stays_known_at_full_speed(tmp_path: Path, clock: StoppedClock) -> None:
    """A run that ends at rate 0 has the lateness of the records that were due by a schedule before."""
    run = new_run(tmp_path, clock, rate=10)
    run.set_rate(10)
    run.add_lateness(1, clock.us + 7)
    run.set_rate(0)
    run.add_lateness(6000, clock.us + 9)
    run.finish("grace")

    assert "late_max_ns=7000" in repr(lines_of(run)[-1])


def test_no_rate_is_recorded_after_the_last_record(tmp_path: Path, clock: StoppedClock) -> None:
    """A run whose records are all due cannot be paused."""
    run = new_run(tmp_path, clock, records=10, rate=10)
    run.set_rate(10)
    clock.pass_seconds(5)
    run.set_rate(None)

    assert ("running", ["open", "pace"]) == (run.state, kinds_of(run))


def test_the_rate_is_the_last_that_was_set(tmp_path: Path, clock: StoppedClock) -> None:
    """Before the start the rate is that of the settings, during a pause that of the segment before."""
    run = new_run(tmp_path, clock, rate=10)
    assert 10 == run.status().rate
    run.set_rate(70)
    clock.pass_seconds(0.1)
    run.set_rate(None)

    assert 70 == run.status().rate


def test_the_end_entry_has_the_lateness(tmp_path: Path, clock: StoppedClock) -> None:
    """The end entry has the lateness of the server; at rate 0 there is none."""
    run = new_run(tmp_path, clock, rate=10)
    run.lateness.record([2000, 1000])
    run.finish("grace")
    end = lines_of(run)[-1]

    assert isinstance(end, ledger.EndEntry)
    assert (6000, 6000, "grace", 2000) == (end.last, end.count, end.reason, end.late_max_ns)
    flat_out = new_run(tmp_path, clock, rate=0)
    flat_out.set_rate(0)
    flat_out.add_lateness(1, clock.us + 2)
    flat_out.finish("complete")
    assert "late_max_ns=None" in repr(lines_of(flat_out)[-1])


def test_the_end_entry_has_the_saturation(tmp_path: Path, clock: StoppedClock) -> None:
    """The end entry has the event loop's lag since the start of the run, without the time before."""
    saturation = SaturationMonitor()
    made = runs(tmp_path, clock)
    made.saturation = saturation
    run = made.open_new()
    saturation.tick(9_000_000_000)
    poll_until(lambda: saturation.snapshot().lags.count, "the tick before the start is counted", 5, 0.001)
    run.start()
    saturation.tick(5_000_000)
    poll_until(lambda: saturation.snapshot().lags.count == 2, "the tick after the start is counted", 5, 0.001)
    run.finish("complete")
    end = lines_of(run)[-1]

    assert isinstance(end, ledger.EndEntry)
    assert pytest.approx(5_000_000, rel=0.01) == end.loop_lag_max_ns
    assert end.loop_lag_p99_ns is None
    assert end.cpu_ns is not None


def test_a_run_ends_although_the_disk_refuses(tmp_path: Path, clock: StoppedClock) -> None:
    """A run ends although its ledger cannot be synced; the entry waits for the disk."""
    run = new_run(tmp_path, clock)
    disk = replace_disk(run)
    run.append(ledger.ControlEntry(at=run.at(), request="rate", peer="test"))
    disk.is_full = True
    run.finish("complete")

    assert ("ended", False) == (run.state, run.ledger.is_writable)


def test_a_welcome_describes_the_run(tmp_path: Path, clock: StoppedClock) -> None:
    """A welcome has the run, the feed and the state; it has the start once there is one."""
    run = new_run(tmp_path, clock)
    before = run.welcome()
    run.set_rate(200)
    after = run.welcome()

    assert (run.name, feed().identity, 6000, 200, "boot") == (
        *(before.run, before.feed, before.total, before.rate, before.boot),
    )
    assert [("waiting", None), ("running", START_US)] == [(it.state, it.start_us) for it in (before, after)]


def paces_of(run: Run) -> list[tuple[int, float, float | None, int | None]]:
    """Return the rate entries of the ledger: first, seconds since the start, rate and stage."""
    paces = [entry for entry in lines_of(run) if isinstance(entry, ledger.PaceEntry)]
    start_us = paces[0].due_us
    return [(entry.first, (entry.due_us - start_us) / 1e6, entry.rate, entry.stage) for entry in paces]


def test_stages_are_recorded_with_their_own_times(tmp_path: Path, clock: StoppedClock) -> None:
    """Every stage is recorded with the time at which it begins, however late the server advances the run."""
    run = new_run(tmp_path, clock, rate=PLAN)
    run.start()
    clock.pass_seconds(2.5)
    assert (501, RunStatus("running", 1000, 501)) == (run.advance(), run.status())
    clock.pass_seconds(1)
    assert (1020, RunStatus("paused", 1000, 1020)) == (run.advance(), run.status())
    clock.pass_seconds(600)
    run.advance()

    expected = [(1, 0, 10, 1), (21, 2, 1000, 2), (1021, 3, None, 3), (1021, 7, 5, 4)]
    assert expected == paces_of(run)
    assert ("running", 5) == (run.state, run.status().rate)
    opening = lines_of(run)[0]
    assert isinstance(opening, ledger.OpenEntry)
    assert (10, PLAN) == (opening.rate, opening.plan)


def test_a_plan_ends_with_the_records(tmp_path: Path, clock: StoppedClock) -> None:
    """A stage without any record is not recorded."""
    run = new_run(tmp_path, clock, rate="10:2s,1000:1s", records=20)
    run.start()
    clock.pass_seconds(60)

    assert (20, 20) == (run.advance(), run.head())
    assert [(1, 0, 10, 1)] == paces_of(run)


def test_next_due_time(tmp_path: Path, clock: StoppedClock) -> None:
    """The next due time is that of the next record or of the next stage, whichever is first."""
    run = new_run(tmp_path, clock, rate="0.5:3s,pause:4s,10")
    assert run.next_due_us(0) is None
    run.start()
    start_us = run.recorded.schedule.segments[0].due_us
    for seconds, expected in ((-0.01, 0), (0, 2), (2, 3), (3, 7), (7, 7.1)):
        clock.us = start_us + round(seconds * 1e6)

        assert expected == ((run.next_due_us(run.advance()) or 0) - start_us) / 1e6


def test_reading_a_run_changes_nothing(tmp_path: Path, clock: StoppedClock) -> None:
    """State, rate and head count stages that are due, and only `advance` records them."""
    run = new_run(tmp_path, clock, rate=PLAN)
    run.start()
    start_us = run.schedule.segments[0].due_us
    before, segments = run.ledger.path.read_bytes(), list(run.schedule.segments)
    shown = []
    for seconds in (1.9, 2.5, 3.5, 7.5):
        status = run.status(start_us + round(seconds * 1e6))
        shown.append((status.state, status.rate, status.head))
    clock.us = start_us + 3_500_000
    welcome = run.welcome()

    assert [("running", 10, 20), ("running", 1000, 521), ("paused", 1000, 1020), ("running", 5, 1023)] == shown
    assert ("paused", "paused", 1000, 1020) == (run.state, welcome.state, welcome.rate, run.head())
    assert (before, segments) == (run.ledger.path.read_bytes(), run.schedule.segments)
    assert ("running", 10) == (run.recorded.state, run.recorded_rate)
    assert 1020 == run.advance()
    assert [(1, 0, 10, 1), (21, 2, 1000, 2), (1021, 3, None, 3)] == paces_of(run)
    assert ("paused", 1000) == (run.recorded.state, run.recorded_rate)


@given(st.lists(st.integers(0, 3_000_000), min_size=1, max_size=10), st.data())
def test_status_does_not_depend_on_advance(steps: list[int], data: st.DataObject) -> None:
    """The status is the same whether or not the stages that are due are recorded."""
    with TemporaryDirectory() as folder:
        clock = StoppedClock()
        run = new_run(Path(folder), clock, rate="10:2s,1000:1s,pause:1s,5:2s,pause:1s,20", records=1100)
        run.start()
        for step_us in steps:
            clock.us += step_us
            before = run.status()
            if data.draw(st.booleans()):
                assert before.head == run.advance()
                assert before == run.status()
                assert (before.state, before.rate) == (run.recorded.state, run.recorded_rate)
        run.ledger.close()
