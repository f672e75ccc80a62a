"""Tests of services/collector/retention.py."""

import logging
from pathlib import Path

import pytest

from services.collector import retention
from services.runtime.jsonlogs import ErrorLog
from tests.builders.runs import RUN


def folders(volumes: Path) -> None:
    """Make the folders of a run on all three sides."""
    for side in ("logs", "ledger", "summary"):
        (volumes / side / RUN).mkdir(parents=True)


@pytest.mark.parametrize(("count", "expected"), [(0, []), (1, ["a-1", "a-2"]), (2, ["a-1"]), (9, [])])
def test_the_oldest_are_too_many(count: int, expected: list[str]) -> None:
    """The newest runs stay; 0 keeps all."""
    assert expected == retention.surplus({"a-2", "a-10", "a-1"}, count)


@pytest.mark.parametrize("side", ["logs", "ledger"])
def test_the_summary_stays_while_the_books_do(tmp_path: Path, side: str) -> None:
    """Without its summary a run would be told again; when the books are gone it goes."""
    folders(tmp_path)
    other = {"logs", "ledger"} - {side}
    (tmp_path / other.pop() / RUN).rmdir()

    assert not retention.remove(tmp_path, RUN)
    assert (tmp_path / "summary" / RUN).is_dir()

    (tmp_path / side / RUN).rmdir()

    assert retention.remove(tmp_path, RUN)
    assert not (tmp_path / "summary" / RUN).is_dir()


def test_runs_with_a_summary_are_found(tmp_path: Path) -> None:
    """A run is summed up when its own folder holds a summary; the copy beside the runs is none."""
    folders(tmp_path)
    (tmp_path / "summary" / "summary.json").touch()

    assert set() == retention.summed_up(tmp_path)

    (tmp_path / "summary" / RUN / "summary.json").touch()

    assert {RUN} == retention.summed_up(tmp_path)


def test_what_cannot_be_removed_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A summary that is not there can not be removed: that is said, and the others are removed all the same."""
    (tmp_path / "summary" / "20251122T073000Z").mkdir(parents=True)
    complaints = ErrorLog(logging.getLogger("test"))
    removed = retention.prune(tmp_path, ["20241122T073000Z", "20251122T073000Z", RUN], 1, complaints)

    assert {"20251122T073000Z"} == removed
    assert ["cannot remove an old summary"] == [record.message for record in caplog.records]
