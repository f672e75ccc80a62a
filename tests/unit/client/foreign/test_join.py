"""Tests of agreeing on a run."""

from __future__ import annotations

import threading
from pathlib import Path

import msgspec
import pytest

from services.client.foreign import join as joining
from services.client.foreign.join import NAME, Opened, join
from tests.unit.client.stand import RUN, START_US

URL = "ws://feed"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten what a test would wait for."""
    monkeypatch.setattr(joining, "_SETTLE_SECONDS", 0.05)


def test_the_first_opens_a_run(tmp_path: Path) -> None:
    """A run is named by when it was opened, and says of which feed it is and until when."""
    opened = join(tmp_path, URL, 60, START_US)

    assert (
        Opened(run=RUN, url=URL, opened_at="2026-11-22T07:30:00.000000Z", until="2026-11-22T07:31:00.000000Z") == opened
    )
    assert opened == msgspec.json.decode((tmp_path / RUN / NAME).read_bytes(), type=Opened)


def test_others_join_it(tmp_path: Path) -> None:
    """Whoever comes while a run is on joins it."""
    assert join(tmp_path, URL, 60, START_US) == join(tmp_path, URL, 60, START_US + 59_000_000)


@pytest.mark.parametrize(("url", "later_us"), [(URL, 60_000_000), ("ws://other", 1)])
def test_a_run_that_is_over_or_another_feed_is_not_joined(tmp_path: Path, url: str, later_us: int) -> None:
    """After its time, and for another feed, a new run is opened."""
    assert join(tmp_path, URL, 60, START_US) != join(tmp_path, url, 60, START_US + later_us)


def test_a_run_without_an_end_is_joined_on_its_day(tmp_path: Path) -> None:
    """A run that ends with its clients is joined for a day."""
    opened = join(tmp_path, URL, 0, START_US)

    assert opened.until is None
    assert opened == join(tmp_path, URL, 0, START_US + 3_600_000_000)
    assert opened != join(tmp_path, URL, 0, START_US + 90_000_000_000)


def test_a_name_that_is_taken_gets_a_number(tmp_path: Path) -> None:
    """Two runs of one second have different names."""
    join(tmp_path, "ws://other", 60, START_US)

    assert f"{RUN}-2" == join(tmp_path, URL, 60, START_US).run


def test_a_folder_without_its_note_is_nobodys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run of our own server, and a note that is damaged, are passed over."""
    monkeypatch.setattr(joining, "_LOOKS", 2)
    (tmp_path / "20261122T072959Z").mkdir()
    (tmp_path / "20261122T072958Z").mkdir()
    (tmp_path / "20261122T072958Z" / NAME).write_bytes(b"{")

    assert RUN == join(tmp_path, URL, 60, START_US).run


def test_who_come_together_agree(tmp_path: Path) -> None:
    """Processes that open runs at the same time, in different seconds too, end up in one."""
    found: list[Opened] = []
    threads = [
        threading.Thread(target=lambda late=late: found.append(join(tmp_path, URL, 60, START_US + late)))
        for late in (0, 1, 999_999, 1_000_000)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {min(one.run for one in found)} == {one.run for one in found}
    assert [found[0].run] == [path.name for path in tmp_path.iterdir()]
