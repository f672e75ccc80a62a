"""Tests of services/collector/publish/store.py."""

from pathlib import Path

from services.collector.publish import store
from tests.unit.collector.books_factory import RUN, good_run, judged

MADE = judged(good_run())


def test_a_summary_is_stored_and_loaded(tmp_path: Path) -> None:
    """What was stored is loaded again, from the run's folder and from the copy."""
    (tmp_path / "summary").mkdir()
    store.store(tmp_path, MADE, newest=True)

    assert MADE == store.load(tmp_path, RUN)
    copies = [store.summary_path(tmp_path, RUN), tmp_path / "summary" / "summary.json"]
    assert 1 == len({path.read_bytes() for path in copies})


def test_an_older_run_leaves_the_copy_alone(tmp_path: Path) -> None:
    """The copy beside the runs is of the newest run only."""
    (tmp_path / "summary").mkdir()
    store.store(tmp_path, MADE, newest=False)

    assert [RUN] == [path.name for path in (tmp_path / "summary").iterdir()]


def test_what_is_no_summary_is_none(tmp_path: Path) -> None:
    """A missing, empty or foreign file is not taken for a summary."""
    assert store.load(tmp_path, RUN) is None

    path = store.summary_path(tmp_path, RUN)
    path.parent.mkdir(parents=True)
    for text in (b"", b"{}", b"\xff"):
        path.write_bytes(text)

        assert store.load(tmp_path, RUN) is None


def test_only_the_date_is_changed() -> None:
    """A dated summary without its date is the summary."""
    assert "now" == store.dated(MADE, "now").made_at
    assert MADE == store.dated(store.dated(MADE, "now"), None)
