"""Tests of services/collector/publish/files/run_files.py."""

import os
from pathlib import Path

from services.collector.publish.files import run_files
from services.collector.publish.files.run_files import render_files
from services.collector.verdict.snapshot import empty, snapshot
from tests.builders.runs import RUN, fold, good_run

MADE = snapshot(fold(good_run()), final=True)
OPEN = snapshot(fold(good_run()), final=False)


def test_a_summary_is_stored_and_loaded(tmp_path: Path) -> None:
    """A stored summary is loaded again, and the copy is identical."""
    (tmp_path / "summary").mkdir()
    run_files.store(tmp_path, MADE, newest=True)

    assert MADE.summary == run_files.load(tmp_path, RUN)
    assert MADE == run_files.load_snapshot(tmp_path, RUN)
    copies = [run_files.summary_path(tmp_path, RUN), tmp_path / "summary" / "summary.json"]
    assert 1 == len({path.read_bytes() for path in copies})


def test_an_older_run_leaves_the_copy_alone(tmp_path: Path) -> None:
    """Storing an older run does not write the copy."""
    (tmp_path / "summary").mkdir()
    run_files.store(tmp_path, MADE, newest=False)

    assert [RUN] == [path.name for path in (tmp_path / "summary").iterdir()]


def test_an_unreadable_summary_is_none(tmp_path: Path) -> None:
    """A missing, empty or other file is no summary."""
    assert run_files.load(tmp_path, RUN) is None

    path = run_files.summary_path(tmp_path, RUN)
    path.parent.mkdir(parents=True)
    for text in (b"", b"{}", b"\xff"):
        path.write_bytes(text)

        assert run_files.load(tmp_path, RUN) is None
        assert run_files.load_snapshot(tmp_path, RUN) is None


def test_only_the_date_is_changed() -> None:
    """Dating a snapshot changes nothing else."""
    assert "now" == run_files.dated(MADE, "now").summary.made_at
    assert MADE == run_files.dated(run_files.dated(MADE, "now"), None)


def test_a_closed_run_has_all_its_files(tmp_path: Path) -> None:
    """Storing a closed run writes every file, the summary last, and leaves no temporary file."""
    run_files.store(tmp_path, MADE, newest=True)
    folder = run_files.summary_path(tmp_path, RUN).parent

    assert render_files(MADE) == {path.name: path.read_bytes() for path in folder.iterdir()}
    assert "summary.json" == list(render_files(MADE))[-1]


def test_a_folder_of_any_bytes_can_be_shown() -> None:
    """The line that names the folders is text, also when the name of the volumes folder is none."""
    line = run_files.places(Path(os.fsdecode(b"/data\xff")), RUN)

    assert rf"files in /data\xff: logs/{RUN}/  summary/{RUN}/report.html" == line


def test_an_open_run_has_its_summary_alone(tmp_path: Path) -> None:
    """An open run has no other files."""
    run_files.store(tmp_path, OPEN, newest=True)

    assert ["summary.json"] == [path.name for path in run_files.summary_path(tmp_path, RUN).parent.iterdir()]


def test_a_timeline_that_is_gone_is_not_missed(tmp_path: Path) -> None:
    """The numbers are shown without it."""
    run_files.store(tmp_path, MADE, newest=True)
    run_files.summary_path(tmp_path, RUN).with_name("timeline.json").unlink()
    found = run_files.load_snapshot(tmp_path, RUN)

    assert found is not None
    assert (MADE.summary, empty(RUN)) == (found.summary, found.timeline)
