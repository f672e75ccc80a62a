"""Tests of services/collector/commands/report.py."""

import json
from pathlib import Path

import pytest

from services.collector.__main__ import main
from services.collector.poller import Poller
from services.collector.publish.files import run_files
from services.collector.publish.terminal.printer import TerminalPrinter
from services.collector.settings import CollectorSettings
from services.runtime.clock import Clock
from tests.builders.runs import RUN, Files, good_run, ledger_source, log_source, write

FILES = {"timeline.json", "report.html", "clients.csv", "junit.xml", "summary.md", "summary.json"}


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove this machine's settings from the environment."""
    for name in ("VOLUMES", "THRESHOLDS", "PAGE_PORT", "PAGE_HOST", "KEEP_RUNS"):
        monkeypatch.delenv(name, raising=False)


def written(folder: Path) -> dict[str, bytes]:
    """Return the files of a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def collected(files: Files, volumes: Path, **environment: str) -> dict[str, bytes]:
    """Let the running collector close a run; return the files that it wrote."""
    write(files, volumes)
    (volumes / "summary").mkdir()
    settings = CollectorSettings.read({"VOLUMES": str(volumes), **environment})
    Poller(settings, Clock(), TerminalPrinter(volumes, lambda text: None)).poll(last=True)
    return written(run_files.summary_path(volumes, RUN).parent)


@pytest.mark.parametrize("is_good", [True, False])
def test_the_files_are_those_of_the_collector(tmp_path: Path, *, is_good: bool) -> None:
    """The files made from logs and ledger alone are byte for byte those of the collector."""
    files = good_run()
    if not is_good:
        files[log_source("client-1")][1] = b"garbage\n"
    before = collected(files, tmp_path / "a", THRESHOLDS="latency.p99<1ns")
    write(files, tmp_path / "b")

    assert 99 == main(["report", str(tmp_path / "b"), "--thresholds", "latency.p99<1ns"])
    assert before == written(tmp_path / "b" / "summary" / RUN)
    assert FILES == set(before)


def test_the_files_may_go_elsewhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With --out nothing is written to the volumes, and the summary names the folder."""
    write(good_run(), tmp_path / "volumes")

    assert 0 == main(["report", str(tmp_path / "volumes"), "--run", RUN, "--out", str(tmp_path / "here")])
    assert FILES == set(written(tmp_path / "here"))
    assert not (tmp_path / "volumes" / "summary").exists()
    assert f"files in {tmp_path / 'here'}" in capsys.readouterr().out


def test_the_summary_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The summary is printed as on a terminal or, with --json, as one line of JSON."""
    write(good_run(), tmp_path)

    assert 0 == main(["report", str(tmp_path)])
    assert capsys.readouterr().out.startswith("\n  PASS   2 clients")
    assert 0 == main(["report", str(tmp_path), "--json"])

    line = capsys.readouterr().out
    assert 1 == line.count("\n")
    assert json.loads(run_files.summary_path(tmp_path, RUN).read_bytes()) == json.loads(line)


def test_the_newest_run_is_meant(tmp_path: Path) -> None:
    """Without --run the newest run is reported; an older one does not replace the copy beside the runs."""
    write(good_run(), tmp_path)
    (tmp_path / "logs" / "20271122T073000Z" / "client-1").mkdir(parents=True)

    assert 98 == main(["report", str(tmp_path), "--out", str(tmp_path / "out")])
    assert b"20271122T073000Z" in written(tmp_path / "out")["summary.json"]
    assert 0 == main(["report", str(tmp_path), "--run", RUN])
    assert [RUN] == [path.name for path in (tmp_path / "summary").iterdir()]


def test_a_run_that_goes_on_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The files of an open run are not written to the volumes, and are with --out."""
    files = good_run()
    del files[ledger_source()][-1]
    write(files, tmp_path)

    assert 98 == main(["report", str(tmp_path)])
    assert "has no end: its files were not written" in capsys.readouterr().err
    assert not (tmp_path / "summary").exists()
    assert 98 == main(["report", str(tmp_path), "--out", str(tmp_path / "out")])
    assert FILES == set(written(tmp_path / "out"))


def test_what_the_operator_has_to_repair_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder without a run, an unknown run and a folder that cannot be written to are errors."""
    (tmp_path / "logs").mkdir()

    assert 104 == main(["report", str(tmp_path)])
    assert f"error: {tmp_path}: no run\n" == capsys.readouterr().err

    write(good_run(), tmp_path)
    (tmp_path / "file").write_bytes(b"")

    assert 104 == main(["report", str(tmp_path), "--run", "20200101T000000Z"])
    assert 104 == main(["report", str(tmp_path), "--out", str(tmp_path / "file")])
    printed = capsys.readouterr()
    assert ("", True) == (printed.out, f"cannot write to {tmp_path / 'file'}: " in printed.err)
