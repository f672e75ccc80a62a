"""Tests of services/collector/commands/parallel_reading.py."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from services.collector.__main__ import main
from services.collector.commands import parallel_reading
from services.collector.commands.parallel_reading import ReadingFailed, divided, read_files, read_run
from services.collector.evidence.run_evidence import RunEvidence
from services.collector.scan import FileRewritten, Source
from services.collector.verdict.snapshot import snapshot
from tests.builders.external_runs import log, numbered_messages
from tests.builders.runs import Files, Session, blocks_of, end, good_ledger, good_run, ledger_source, log_files, write

RUN = next(iter(good_run())).run


@pytest.fixture(autouse=True)
def _any_run_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel_reading, "LEAST_BYTES", 1)


def restarted_run() -> Files:
    """Return a run of three clients, one of which has two sessions and so two files."""
    sessions = [Session(f"client-{number}", 1, number, 0, blocks_of(1, 60, 10)) for number in (1, 2)]
    sessions.append(Session("client-3", 1, 3, 0, blocks_of(1, 30, 10), reason="shutdown"))
    sessions.append(Session("client-3", 2, 4, 30, blocks_of(31, 60, 10)))
    writer = good_ledger(sessions)
    writer.put(end(60))
    files: Files = {ledger_source(): writer.lines}
    for session in sessions:
        files.update(log_files(session))
    return files


def published(volumes: Path, jobs: int) -> bytes:
    """Return what is published of the run, read by this many processes."""
    return msgspec.json.encode(snapshot(read_run(volumes, RUN, jobs), final=True))


@pytest.mark.parametrize("jobs", [2, 3, 9])
def test_several_processes_read_what_one_reads(tmp_path: Path, jobs: int) -> None:
    """The run is the same byte for byte, with any number of processes, also if they read files of one client."""
    write(restarted_run(), tmp_path)
    shares = divided(tmp_path, RUN, jobs)

    assert min(jobs, 4) == len(shares)
    assert published(tmp_path, 1) == published(tmp_path, jobs)


def test_files_that_overlap_are_read_by_one_process(tmp_path: Path) -> None:
    """A copied file is read together with its original, whatever the number of processes."""
    files = restarted_run()
    original = next(source for source in files if source.client == "client-1")
    files[Source(RUN, "client-1", "0009-0001.jsonl")] = files[original]
    write(files, tmp_path)

    assert published(tmp_path, 1) == published(tmp_path, 5)


def test_the_log_of_a_client_of_an_external_feed_is_not_divided(tmp_path: Path) -> None:
    """Of an external feed all files of a client are in one share."""
    files = {**log("client-1", numbered_messages([1, 2])), **log("client-2", numbered_messages([1, 2]))}
    files |= {Source(source.run, source.client, "0002-0001.jsonl"): lines for source, lines in files.items()}
    write(files, tmp_path)
    run = next(iter(files)).run

    assert [{"client-1"}, {"client-2"}] == sorted(
        ({source.client for source in share} for share in divided(tmp_path, run, 5)), key=str
    )


def test_a_small_run_is_read_by_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Below the limit no other process is started."""
    monkeypatch.setattr(parallel_reading, "LEAST_BYTES", 64_000_000)
    write(restarted_run(), tmp_path)

    assert 1 == len(divided(tmp_path, RUN, 8))


def test_a_killed_process_is_an_error_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """If a process that reads logs is killed, the command ends with 105 and one line, and without a verdict."""
    write(restarted_run(), tmp_path)
    _instead(monkeypatch, lambda: os.kill(os.getpid(), signal.SIGKILL))

    assert 105 == main(["verify", str(tmp_path), "--jobs", "2"])
    out, err = capsys.readouterr()
    assert ("", 1) == (out, err.count("\n"))
    assert "was ended before it was done (exit code -9)" in err


def test_a_process_that_fails_is_an_error_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception in a process that reads logs is reported with its name."""

    def fail() -> None:
        raise MemoryError("no room")

    write(restarted_run(), tmp_path)
    _instead(monkeypatch, fail)

    with pytest.raises(ReadingFailed, match="failed: MemoryError: no room"):
        read_run(tmp_path, RUN, 2)


def test_a_file_that_is_rewritten_meanwhile_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That a file was rewritten is reported by the same exception as with one process."""

    def rewritten() -> None:
        raise FileRewritten("log")

    write(restarted_run(), tmp_path)
    _instead(monkeypatch, rewritten)

    with pytest.raises(FileRewritten):
        read_run(tmp_path, RUN, 2)


@pytest.mark.parametrize("given", ["0", "-1", "two", "300"])
def test_a_wrong_number_of_processes_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str], given: str) -> None:
    """A number of processes that is not 1 to 256 is an error of the operator."""
    with pytest.raises(SystemExit) as ended:
        main(["verify", str(tmp_path), f"--jobs={given}"])

    assert 104 == ended.value.code
    assert "is not a number of processes: 1 to 256" in capsys.readouterr().err


def _instead(monkeypatch: pytest.MonkeyPatch, act: Callable[[], None]) -> None:
    """Have every process but this one call ``act`` in place of reading."""
    here = os.getpid()

    def read(
        volumes: Path, run: str, chosen: Callable[[Source], bool] | None, on_read: Callable[[int], None]
    ) -> RunEvidence:
        if os.getpid() != here:
            act()
        return read_files(volumes, run, chosen, on_read)

    monkeypatch.setattr(parallel_reading, "read_files", read)
