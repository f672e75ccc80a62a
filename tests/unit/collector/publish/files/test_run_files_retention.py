"""Tests of the removal of old runs' files."""

import logging
from pathlib import Path

import pytest

from services.collector.publish.files import run_files
from services.runtime.jsonlogs import ErrorLog
from tests.builders.runs import RUN


def folders(volumes: Path) -> None:
    """Make the folders of a run for logs, ledger and summary."""
    for side in ("logs", "ledger", "summary"):
        (volumes / side / RUN).mkdir(parents=True)


@pytest.mark.parametrize(("count", "expected"), [(0, []), (1, ["a-1", "a-2"]), (2, ["a-1"]), (9, [])])
def test_the_oldest_runs_are_surplus(count: int, expected: list[str]) -> None:
    """The newest runs stay; 0 keeps all."""
    assert expected == run_files.surplus_runs({"a-2", "a-10", "a-1"}, count)


@pytest.mark.parametrize("side", ["logs", "ledger"])
def test_a_summary_stays_as_long_as_logs_or_ledger(tmp_path: Path, side: str) -> None:
    """A summary is only removed when both the logs and the ledger of its run are gone."""
    folders(tmp_path)
    other = {"logs", "ledger"} - {side}
    (tmp_path / other.pop() / RUN).rmdir()

    assert not run_files.remove_summary(tmp_path, RUN)
    assert (tmp_path / "summary" / RUN).is_dir()

    (tmp_path / side / RUN).rmdir()

    assert run_files.remove_summary(tmp_path, RUN)
    assert not (tmp_path / "summary" / RUN).is_dir()


def test_runs_with_a_summary_are_found(tmp_path: Path) -> None:
    """A run counts if its own folder has a summary; the copy beside the folders does not count."""
    folders(tmp_path)
    (tmp_path / "summary" / "summary.json").touch()

    assert set() == run_files.runs_with_summary(tmp_path)

    (tmp_path / "summary" / RUN / "summary.json").touch()

    assert {RUN} == run_files.runs_with_summary(tmp_path)


def test_a_summary_that_cannot_be_removed_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An error with one summary is logged, and the others are removed."""
    (tmp_path / "summary" / "20251122T073000Z").mkdir(parents=True)
    errors = ErrorLog(logging.getLogger("test"))
    removed = run_files.remove_surplus(tmp_path, ["20241122T073000Z", "20251122T073000Z", RUN], 1, errors)

    assert {"20251122T073000Z"} == removed
    assert ["cannot remove an old summary"] == [record.message for record in caplog.records]
