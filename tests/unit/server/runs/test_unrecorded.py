"""Tests of what servers may have sent without a line in the ledgers here."""

from __future__ import annotations

from pathlib import Path

from services.server.runs.timetable import RunTimes
from services.server.runs.unrecorded import may_lack_entries, unrecorded_through
from tests.unit.server.fakes import StoppedClock, new_run


def test_a_run_of_this_process_alone_has_every_line(tmp_path: Path, clock: StoppedClock) -> None:
    """Of a run that this process has opened, no other server has sent anything."""
    run = new_run(tmp_path, clock, rate=100)

    assert (False, 0) == (may_lack_entries(run), unrecorded_through(run))


def test_a_ledger_of_another_kernel_may_have_lost_its_end(tmp_path: Path, clock: StoppedClock) -> None:
    """Only a ledger that was written before a restart of the machine may have lost lines with its power."""
    run = new_run(tmp_path, clock, rate=100)
    run.recorded.boots.add("before the power cut")

    assert may_lack_entries(run)


def test_what_was_due_before_a_takeover_may_have_been_sent(tmp_path: Path, clock: StoppedClock) -> None:
    """Of a run that this process continues, earlier servers may have sent what was due by then."""
    run = new_run(tmp_path, clock, rate=100)
    run.taken_over_at = 40

    assert 40 == unrecorded_through(run)


def test_with_start_at_others_may_have_sent_everything(tmp_path: Path, clock: StoppedClock) -> None:
    """With START_AT, a server that has a folder of its own may have sent any record."""
    run = new_run(tmp_path, clock, rate=100)
    run.times = RunTimes(0, 10)

    assert run.total == unrecorded_through(run)
