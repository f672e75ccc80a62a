"""Tests of services/collector/commands/part.py; what becomes of a part is in test_merge.py."""

from __future__ import annotations

from pathlib import Path

import pytest

from services.collector.__main__ import main
from services.collector.results.run_part import EvidencePart, PartReader, RunPart
from tests.builders.external_runs import log, numbered_messages
from tests.builders.runs import good_run, write


def test_a_part_has_the_clients_of_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The file has the results of the clients that log there, and one line says how many they are."""
    write(good_run(), tmp_path / "node")

    assert 0 == main(["part", str(tmp_path / "node"), "--out", str(tmp_path / "part")])
    assert "2 clients with a log" in capsys.readouterr().out
    part = PartReader().read((tmp_path / "part").read_bytes())
    assert isinstance(part, RunPart)
    assert [("client-1", 60), ("client-2", 60)] == [(one.client, one.received) for one in part.result.clients]


def test_a_part_of_an_external_feed_has_the_evidence_of_its_clients(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its clients are judged by each other, so the file has what they are compared by, and not their records."""
    write(log("client-1", numbered_messages(range(1, 500))), tmp_path / "node")

    assert 0 == main(["part", str(tmp_path / "node"), "--out", str(tmp_path / "part")])
    assert "1 client with a log" in capsys.readouterr().out
    part = PartReader().read((tmp_path / "part").read_bytes())
    assert isinstance(part, EvidencePart)
    assert 499 == part.evidence.logs["client-1"].messages
    assert b"record 400" not in (tmp_path / "part").read_bytes()


def test_a_ledger_beside_logs_of_an_external_feed_gives_no_part(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whose clients they are is not known, so `part` says that all logs have to be read together."""
    write({**good_run(), **log("client-3", numbered_messages([1, 2]))}, tmp_path / "node")

    assert 104 == main(["part", str(tmp_path / "node"), "--out", str(tmp_path / "part")])
    assert "has a ledger beside logs of an external feed; copy all logs into one folder" in capsys.readouterr().err
    assert not (tmp_path / "part").exists()


def test_a_file_that_cannot_be_written_is_an_error_of_the_operator(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file is named, with the reason."""
    write(good_run(), tmp_path / "node")

    assert 104 == main(["part", str(tmp_path / "node"), "--out", str(tmp_path / "none" / "part")])
    assert "cannot write to" in capsys.readouterr().err
