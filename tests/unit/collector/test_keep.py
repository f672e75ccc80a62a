"""Tests of services/collector/keep.py."""

import os
from pathlib import Path

import pytest

from services.collector import keep
from tests.unit.collector.books_factory import RUN


def folders(volumes: Path) -> None:
    """Make the folders of a run on all three sides."""
    for side in ("logs", "ledger", "summary"):
        (volumes / side / RUN).mkdir(parents=True)


@pytest.mark.parametrize(("count", "expected"), [(0, []), (1, ["a-1", "a-2"]), (2, ["a-1"]), (9, [])])
def test_the_oldest_are_too_many(count: int, expected: list[str]) -> None:
    """The newest runs stay; 0 keeps all."""
    assert expected == keep.surplus({"a-2", "a-10", "a-1"}, count)


def test_a_run_is_removed_from_all_sides(tmp_path: Path) -> None:
    """Books and summary go, and a run that is gone already is no fault."""
    folders(tmp_path)

    assert keep.remove(tmp_path, RUN) is None
    assert [] == list(tmp_path.glob("*/*"))
    assert keep.remove(tmp_path, RUN) is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may remove everything")
def test_the_summary_stays_while_the_books_do(tmp_path: Path) -> None:
    """Where the books cannot be removed their summary stays, else the run would be told again."""
    folders(tmp_path)
    (tmp_path / "ledger").chmod(0o555)

    assert isinstance(keep.remove(tmp_path, RUN), PermissionError)
    assert (tmp_path / "summary" / RUN).is_dir()


def test_a_refusal_is_returned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A read-only mount refuses, and the summary is not touched."""
    folders(tmp_path)

    def refuse(path: Path) -> None:
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr("services.collector.keep.shutil.rmtree", refuse)
    problem = keep.remove(tmp_path, RUN)

    assert problem is not None
    assert 30 == problem.errno


def test_runs_with_a_summary_are_found(tmp_path: Path) -> None:
    """A run is summed up when its own folder holds a summary; the copy beside the runs is none."""
    folders(tmp_path)
    (tmp_path / "summary" / "summary.json").touch()

    assert set() == keep.summed_up(tmp_path)

    (tmp_path / "summary" / RUN / "summary.json").touch()

    assert {RUN} == keep.summed_up(tmp_path)
