"""Tests of services/collector/commands/run_loader.py."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from services.collector.commands.run_loader import VolumesNotFound, load_evidence, runs_of
from services.collector.scan import FileRewritten, RunFiles, Source
from tests.builders.runs import RUN, good_run, ledger_source, write


def test_runs_are_found(tmp_path: Path) -> None:
    """All runs of a folder are found, or the named one."""
    write(good_run(), tmp_path)

    assert [RUN] == runs_of(tmp_path)
    assert [RUN] == runs_of(tmp_path, RUN)


def test_an_unknown_run_is_refused(tmp_path: Path) -> None:
    """The error about an unknown run lists the known ones."""
    write(good_run(), tmp_path)

    with pytest.raises(VolumesNotFound, match=f"no run 20200101T000000Z; there are: {RUN}"):
        runs_of(tmp_path, "20200101T000000Z")


def test_another_folder_is_refused(tmp_path: Path) -> None:
    """A folder without ledger/ and logs/ is an error."""
    with pytest.raises(VolumesNotFound, match="neither ledger/ nor logs/"):
        runs_of(tmp_path)


def test_books_are_read_whole(tmp_path: Path) -> None:
    """The ledger, the logs and their tails are read."""
    files = good_run()
    files[ledger_source()].append(b'{"crc":')
    write(files, tmp_path)
    books = load_evidence(tmp_path, RUN)

    assert ["client-1", "client-2"] == sorted(books.logs)
    assert ["torn"] == [damage.kind for file in books.ledger.files for damage in file.chain.damages]


def test_books_that_do_not_hold_still_are_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder whose files are rewritten again and again raises an error."""

    def rewritten(self: RunFiles) -> Iterator[tuple[Source, list[bytes]]]:
        raise FileRewritten("some file")

    monkeypatch.setattr(RunFiles, "batches", rewritten)

    with pytest.raises(VolumesNotFound, match="is being rewritten"):
        load_evidence(tmp_path, RUN)
