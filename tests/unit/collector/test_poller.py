"""Tests of services/collector/poller.py."""

import errno
import json
import logging
import os
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from services.collector import poller
from services.collector.open_run import OpenRun
from services.collector.poller import IDLE_AFTER_SECONDS, POLL_SECONDS, Poller
from services.collector.publish.files import run_files
from services.collector.publish.terminal.printer import TerminalPrinter
from services.collector.settings import CollectorSettings
from services.collector.verdict.snapshot import Snapshot
from services.runtime.clock import Clock
from tests.builders.runs import RUN, Files, good_run, ledger_source, log_source, write


class Time:
    """A monotonic clock that the test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class Rig:
    """A collector over a folder, what it said, and its clock."""

    def __init__(self, volumes: Path, **environment: str) -> None:
        (volumes / "summary").mkdir(exist_ok=True)
        self.volumes, self.time, self.used, self.said = volumes, Time(), Time(), list[str]()
        settings = CollectorSettings.read({"VOLUMES": str(volumes), **environment})
        self.collector = Poller(settings, Clock(), TerminalPrinter(volumes, self.said.append), self.time, self.used)

    def rounds(self, count: int, seconds: float = 0.2) -> None:
        """Let so many rounds pass."""
        for _ in range(count):
            self.time.now += seconds
            self.collector.round()

    @property
    def state(self) -> str | None:
        """The state that is published."""
        made = run_files.load(self.volumes, RUN)
        return made.state if made else None


def open_run() -> Files:
    """Return a run without its end."""
    files = good_run()
    files[ledger_source()].pop()
    return files


def test_a_run_is_followed_from_line_to_verdict(tmp_path: Path) -> None:
    """A line per second while it goes on, the summary once when it is over, then silence."""
    rig = Rig(tmp_path)
    write(open_run(), tmp_path)
    rig.rounds(6)

    assert "running" == rig.state
    assert 2 == len(rig.said)

    write(good_run(), tmp_path)
    rig.rounds(10)

    assert "closed" == rig.state
    assert 3 == len(rig.said)
    assert "PASS" in rig.said[-1]

    rig.rounds(50)

    assert 3 == len(rig.said)


@pytest.mark.parametrize("ended", [False, True])
def test_damage_behind_the_reader_is_noticed(tmp_path: Path, ended: bool) -> None:
    """A line that is damaged after it was read is named while the run is open, and before it is closed."""
    rig = Rig(tmp_path)
    write(open_run(), tmp_path)
    rig.rounds(2)
    path = tmp_path / log_source("client-1", 1, 1).path
    path.write_bytes(path.read_bytes().replace(b'"received_at":"2', b'"received_at":"3', 1))
    if ended:
        ledger = tmp_path / ledger_source().path
        ledger.write_bytes(b"".join(good_run()[ledger_source()]))
    rig.rounds(30)
    made = run_files.load(tmp_path, RUN)

    assert made is not None
    assert ["corrupt_block"] == [fault.kind for fault in made.faults]
    assert ("closed", "FAIL") == (made.state, made.verdict) if ended else "running" == made.state


def test_effort_is_told(tmp_path: Path) -> None:
    """What was read is counted, and when all of it had been read; a disk that refuses leaves the collector behind."""
    rig = Rig(tmp_path)
    write(open_run(), tmp_path)
    rig.rounds(2)
    files = open_run().values()

    assert sum(map(len, files)) == rig.collector.effort.lines
    assert sum(len(line) for lines in files for line in lines) == rig.collector.effort.bytes
    assert rig.time.now == rig.collector.effort.caught_up_at

    shutil.rmtree(tmp_path / "summary")
    (tmp_path / "summary").write_bytes(b"no folder")
    write(good_run(), tmp_path)
    before = rig.time.now
    rig.rounds(3)

    assert before == rig.collector.effort.caught_up_at


def test_nothing_is_said_of_a_run_that_stands_still(tmp_path: Path) -> None:
    """An interrupted run is watched in silence."""
    rig = Rig(tmp_path)
    write(open_run(), tmp_path)
    rig.rounds(10, seconds=30.0)
    said = len(rig.said)
    rig.rounds(10, seconds=30.0)

    assert said == len(rig.said) <= 3


def test_a_closed_run_is_not_read_again(tmp_path: Path) -> None:
    """After a restart the closed run is known from its summary, which the page shows."""
    write(good_run(), tmp_path)
    Rig(tmp_path).rounds(10)
    before = run_files.summary_path(tmp_path, RUN).stat().st_mtime_ns
    (tmp_path / log_source("client-1").path).write_bytes(b"changed later\n")
    rig = Rig(tmp_path)
    rig.rounds(10)

    assert [] == rig.said
    assert before == run_files.summary_path(tmp_path, RUN).stat().st_mtime_ns
    assert rig.collector.newest is not None
    assert "closed" == rig.collector.newest.summary.state


def test_a_summary_is_only_written_when_it_changed(tmp_path: Path) -> None:
    """Rounds without news leave the file alone."""
    rig = Rig(tmp_path)
    write(open_run(), tmp_path)
    rig.rounds(3)
    before = run_files.summary_path(tmp_path, RUN).stat().st_mtime_ns
    rig.rounds(20)

    assert before == run_files.summary_path(tmp_path, RUN).stat().st_mtime_ns


def test_a_block_is_published_soon(tmp_path: Path) -> None:
    """Whenever a block comes, it is in the summary within 0.3 s, a poll included; and no more often than needed."""
    rig, files = Rig(tmp_path), open_run()
    source = log_source("client-1", 1, 1)
    write({**files, source: files[source][:2]}, tmp_path)
    rig.rounds(20, POLL_SECONDS)
    path = run_files.summary_path(tmp_path, RUN)
    for number in range(3, len(files[source]) + 1):
        before = path.read_bytes()
        write({source: files[source][:number]}, tmp_path)
        came, published = rig.time.now, 0
        while path.read_bytes() == before:
            rig.rounds(1, POLL_SECONDS)
        assert rig.time.now - came <= 0.2 + 1e-6
        for _ in range(5):
            seen = path.read_bytes()
            rig.rounds(1, POLL_SECONDS)
            published += path.read_bytes() != seen
        assert 0 == published


def test_reading_is_done_with_rests_unless_there_is_too_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After every line a round may rest; who did not get to the end in the round before has no time for that."""
    rests = list[float]()
    rig = Rig(tmp_path)
    monkeypatch.setattr(rig.collector, "_rest", lambda: rests.append(rig.time.now))
    write(open_run(), tmp_path)
    monkeypatch.setattr(poller, "SLICE_SECONDS", -1.0)
    rig.rounds(2)

    assert 1 == len(rests)


def test_rechecks_take_their_share_of_a_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that takes a second to read again is read again for a tenth of the time, an idle one for a hundredth."""
    rig, rechecks = Rig(tmp_path), list[float]()

    def recheck(*_: object, **__: object) -> bool:
        rechecks.append(rig.time.now)
        rig.time.now += 1.0
        rig.used.now += 1.0
        return True

    monkeypatch.setattr("services.collector.open_run.OpenRun.recheck", recheck)
    write(open_run(), tmp_path)
    rig.rounds(1000, seconds=1.0)
    pauses = [later - earlier for earlier, later in pairwise(rechecks)]

    assert 10 <= pauses[0] <= 13
    assert 100 <= min(pauses[1:]) <= max(pauses[1:]) <= 103


def test_looking_takes_its_share_of_the_time(tmp_path: Path) -> None:
    """Who has much to look at looks less often, a hundredth of the time when idle; but often enough all the same."""
    rig, idle = Rig(tmp_path), pytest.approx([0.2, 0.3, 0.5])

    def pauses() -> tuple[list[float], list[float]]:
        pause = rig.collector.pause_seconds
        return [pause(took) for took in (0.001, 0.015, 1.0)], [pause(took) for took in (0.001, 0.003, 1.0)]

    assert idle == pauses()[1], "without a run"

    write(open_run(), tmp_path)
    rig.rounds(1)

    assert [0.1, 0.15, 0.2] == pytest.approx(pauses()[0])

    rig.time.now += IDLE_AFTER_SECONDS + 1

    assert idle == pauses()[1], "while nothing comes"


def test_only_the_last_summary_waits_for_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The summaries of an open run do not keep the disk from the clients; that of a closed one is on it."""
    synced: list[int] = []
    monkeypatch.setattr("services.runtime.durable_file.os.fsync", synced.append)
    rig = Rig(tmp_path)
    write(open_run(), tmp_path)
    rig.rounds(2)
    folder_made = len(synced)
    files = open_run()
    files[log_source("client-1")].append(b"?\n")
    write(files, tmp_path)
    rig.rounds(3)
    made = run_files.load(tmp_path, RUN)

    assert made is not None
    assert (1, folder_made) == (len(made.faults), len(synced))

    write(good_run(), tmp_path)
    rig.rounds(10)

    assert "closed" == rig.state
    assert folder_made < len(synced)


def test_the_last_round_shows_the_run_as_it_stands(tmp_path: Path) -> None:
    """Told to stop in the middle, the collector prints what there is."""
    rig = Rig(tmp_path)
    write(open_run(), tmp_path)
    rig.rounds(3)
    rig.collector.round(last=True)

    assert rig.said[-1].splitlines()[1].startswith("  RUNNING   2 clients")


def test_the_last_round_closes_a_run_that_has_ended(tmp_path: Path) -> None:
    """Told to stop right after the end, the collector still gives the verdict."""
    rig = Rig(tmp_path)
    write(good_run(), tmp_path)
    rig.collector.round(last=True)

    assert "closed" == rig.state
    assert 1 == len(rig.said)


def test_a_refused_summary_does_not_silence_the_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With a full disk the verdict is said once, told once in the log, and stored when there is space."""
    rig, full = Rig(tmp_path), True
    stored = run_files.store

    def refuse(*args: object, **options: object) -> None:
        if full:
            raise OSError(28, "No space left on device")
        stored(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(run_files, "store", refuse)
    write(good_run(), tmp_path)
    with caplog.at_level(logging.WARNING):
        rig.rounds(20)

    assert (None, 1, 1) == (rig.state, len(rig.said), len(caplog.records))

    full = False
    rig.rounds(10)

    assert ("closed", 1) == (rig.state, len(rig.said))


def test_a_run_that_was_removed_is_forgotten(tmp_path: Path) -> None:
    """Emptying the volumes by hand is no fault."""
    rig = Rig(tmp_path)
    write(open_run(), tmp_path)
    rig.rounds(2)
    for path in sorted((tmp_path / "logs").rglob("*"), reverse=True) + sorted(
        (tmp_path / "ledger").rglob("*"), reverse=True
    ):
        path.rmdir() if path.is_dir() else path.unlink()
    rig.rounds(3)

    assert not rig.collector.round()


def test_old_runs_are_removed(tmp_path: Path) -> None:
    """KEEP_RUNS=1 leaves the summary of the newest closed run, and of those whose books are still there."""
    write(good_run(), tmp_path)
    Rig(tmp_path).rounds(10)
    later = "20271122T073000Z"
    for side in ("logs", "ledger", "summary"):
        (tmp_path / side / RUN).rename(tmp_path / side / "20251122T073000Z")
        (tmp_path / side / later).mkdir()
    made = run_files.load(tmp_path, "20251122T073000Z")
    assert made is not None
    run_files.summary_path(tmp_path, later).write_bytes(
        run_files.summary_path(tmp_path, "20251122T073000Z").read_bytes()
    )
    Rig(tmp_path, KEEP_RUNS="1").rounds(2)

    assert run_files.load(tmp_path, "20251122T073000Z") is not None

    for side in ("logs", "ledger"):
        shutil.rmtree(tmp_path / side / "20251122T073000Z")
    Rig(tmp_path, KEEP_RUNS="1").rounds(2)

    assert run_files.load(tmp_path, "20251122T073000Z") is None
    assert run_files.load(tmp_path, later) is not None


def test_published_json_is_indented(tmp_path: Path) -> None:
    """People read the file too."""
    write(good_run(), tmp_path)
    Rig(tmp_path).rounds(10)
    text = run_files.summary_path(tmp_path, RUN).read_text(encoding="utf-8")

    assert text.startswith('{\n  "v": 1,')
    assert "PASS" == json.loads(text)["verdict"]


OTHER = "20251122T073000Z"


def two_runs(volumes: Path) -> None:
    """Write a good run, and a copy of its files under another run's name."""
    write(good_run(), volumes)
    for side in ("logs", "ledger"):
        shutil.copytree(volumes / side / RUN, volumes / side / OTHER)


def test_an_error_in_one_run_does_not_end_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever the files of a run cause, it is said once and counted, and the other run gets its verdict."""
    taken = OpenRun.read

    def refuse(follow: OpenRun, *arguments: Any) -> bool:
        if follow.run == OTHER:
            raise UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed")
        return taken(follow, *arguments)

    monkeypatch.setattr(OpenRun, "read", refuse)
    two_runs(tmp_path)
    rig = Rig(tmp_path)
    rig.rounds(10)

    assert "closed" == rig.state
    assert 1 == rig.collector.complaints.count == len(caplog.records)


def test_a_process_that_is_out_of_files_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While no folder can be listed the collector says so once; afterwards it goes on by itself."""
    rig = Rig(tmp_path)
    write(open_run(), tmp_path)
    rig.rounds(2)
    with monkeypatch.context() as patched:

        def refuse(_: object) -> list[str]:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        patched.setattr(poller, "find_runs", refuse)
        rig.rounds(5)
    write(good_run(), tmp_path)
    rig.rounds(20)

    assert "closed" == rig.state
    assert ["cannot look for runs"] == [record.message for record in caplog.records]


def test_a_file_with_a_name_that_is_no_text_is_named(tmp_path: Path) -> None:
    """A file whose name is no UTF-8 and holds control characters is read, and named in the summary by escapes."""
    rig = Rig(tmp_path)
    write(open_run(), tmp_path)
    folder = os.fsencode((tmp_path / log_source("client-1").path).parent)
    Path(os.fsdecode(folder + b"/\xff\n\x1b[31m.jsonl")).write_bytes(b"no line of ours\n")
    rig.rounds(3)
    made = run_files.load(tmp_path, RUN)

    assert made is not None
    assert [rf"logs/{RUN}/client-1/\xff\n\x1b[31m.jsonl"] == [fault.file for fault in made.faults]


def test_on_a_busy_machine_the_published_number_is_at_most_two_seconds_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the work lasts thirty times as long as it uses a processor, every summary follows the one before soon."""
    rig, stored = Rig(tmp_path), list[float]()

    def busy(used: float) -> None:
        rig.used.now += used
        rig.time.now += 30 * used

    taken, kept = OpenRun.snapshot, run_files.store

    def snapshot(follow: OpenRun, *arguments: Any, **options: Any) -> Snapshot:
        busy(0.01)
        return taken(follow, *arguments, **options)

    def keep(*arguments: Any, **options: Any) -> None:
        stored.append(rig.time.now)
        kept(*arguments, **options)

    def recheck(*_: object, **__: object) -> bool:
        busy(0.005)
        return True

    monkeypatch.setattr(OpenRun, "snapshot", snapshot)
    monkeypatch.setattr(OpenRun, "recheck", recheck)
    monkeypatch.setattr(run_files, "store", keep)
    files, source = open_run(), log_source("client-1", 1, 1)
    for number in range(1, 200):
        files[source] = [*files[source], b"news\n"]
        write(files, tmp_path)
        rig.collector.round()
        rig.time.now += rig.collector.pause_seconds(0.01)
        if number == 1:
            stored.clear()

    assert 50 < len(stored)
    assert 2.0 >= max(later - earlier for earlier, later in pairwise(stored))
