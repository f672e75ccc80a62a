"""Tests of services/collector/poller.py."""

import errno
import json
import logging
import os
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from services.collector import poller
from services.collector.cpu_yield import POLICY, CpuPolicy
from services.collector.nodes.pull_record import path_of
from services.collector.open_run import OpenRun
from services.collector.poller import Poller, PollLimits
from services.collector.publish.files import run_files
from services.collector.publish.terminal.printer import TerminalPrinter
from services.collector.settings import CollectorSettings
from services.collector.verdict.snapshot import Snapshot
from services.contract.nodes import PulledNode, PulledRun
from services.runtime.clock import Clock
from tests.builders.runs import RUN, Files, good_run, ledger_source, log_source, write

POLL_SECONDS = POLICY.polls.least_seconds
LIMITS = PollLimits()


class FakeClock:
    """A clock in seconds that the test advances."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


class FakePulls:
    """The nodes of a pulled run, as a test sets them."""

    def __init__(self, volumes: Path) -> None:
        self.volumes, self.complete_at, self.closed = volumes, float("-inf"), list[str]()
        self.record: PulledRun | None = None

    def complete_from(self, _run: str) -> float:
        """Return since when everything is here."""
        return self.complete_at

    def is_settled(self, _run: str) -> bool:
        """Return whether everything was here for a verdict."""
        return self.record is not None and self.record.is_complete

    def seal(self, run: str, since: float) -> PulledRun:
        """Record for a verdict whether everything is here."""
        is_complete = self.complete_at > since
        node = PulledNode(node="b", files=1, is_complete=is_complete, trouble="" if is_complete else "away")
        self.record = PulledRun(run=run, nodes=[node])
        path = path_of(self.volumes, run)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(msgspec.json.encode(self.record))
        return self.record

    def close(self, run: str) -> None:
        """Note that a run is pulled no longer."""
        self.closed.append(run)


class Rig:
    """A poller of a folder, its printed text, and its clocks."""

    def __init__(
        self,
        volumes: Path,
        limits: PollLimits = LIMITS,
        policy: CpuPolicy = POLICY,
        pulls: FakePulls | None = None,
        **environment: str,
    ) -> None:
        (volumes / "summary").mkdir(exist_ok=True)
        self.volumes, self.time, self.used, self.printed = volumes, FakeClock(), FakeClock(), list[str]()
        settings = CollectorSettings.read({"VOLUMES": str(volumes), **environment})
        printer = TerminalPrinter(volumes, self.printed.append)
        self.poller = Poller(settings, Clock(), printer, self.time, self.used, policy, limits, pulls)

    def polls(self, count: int, seconds: float = 0.2) -> None:
        """Poll a number of times, with a time between."""
        for _ in range(count):
            self.time.now += seconds
            self.poller.poll()

    @property
    def state(self) -> str | None:
        """The published state, None without a summary."""
        summary = run_files.load(self.volumes, RUN)
        return summary.state if summary else None


def open_run() -> Files:
    """Return the files of a run without an end."""
    files = good_run()
    files[ledger_source()].pop()
    return files


def test_a_run_is_followed_from_line_to_verdict(tmp_path: Path) -> None:
    """A line per second is printed while the run is open, the summary once when it is over, then nothing."""
    rig = Rig(tmp_path)
    write(open_run(), tmp_path)
    rig.polls(6)

    assert "running" == rig.state
    assert 2 == len(rig.printed)

    write(good_run(), tmp_path)
    rig.polls(10)

    assert "closed" == rig.state
    assert 3 == len(rig.printed)
    assert "PASS" in rig.printed[-1]

    rig.polls(50)

    assert 3 == len(rig.printed)


@pytest.mark.parametrize("ended", [False, True])
def test_damage_to_lines_already_read_is_noticed(tmp_path: Path, ended: bool) -> None:
    """A line that is damaged after it was read is reported while the run is open, and before it is closed."""
    rig = Rig(tmp_path)
    write(open_run(), tmp_path)
    rig.polls(2)
    path = tmp_path / log_source("client-1", 1, 1).path
    path.write_bytes(path.read_bytes().replace(b'"received_at":"2', b'"received_at":"3', 1))
    if ended:
        ledger = tmp_path / ledger_source().path
        ledger.write_bytes(b"".join(good_run()[ledger_source()]))
    rig.polls(30)
    made = run_files.load(tmp_path, RUN)

    assert made is not None
    assert ["corrupt_block"] == [fault.kind for fault in made.faults]
    assert ("closed", "FAIL") == (made.state, made.verdict) if ended else "running" == made.state


def test_effort_is_counted(tmp_path: Path) -> None:
    """Lines, bytes and the time of catching up are counted; while writing fails, the collector is behind."""
    rig = Rig(tmp_path)
    write(open_run(), tmp_path)
    rig.polls(2)
    files = open_run().values()

    assert sum(map(len, files)) == rig.poller.effort.lines
    assert sum(len(line) for lines in files for line in lines) == rig.poller.effort.bytes
    assert rig.time.now == rig.poller.effort.caught_up_at

    shutil.rmtree(tmp_path / "summary")
    (tmp_path / "summary").write_bytes(b"no folder")
    write(good_run(), tmp_path)
    before = rig.time.now
    rig.polls(3)

    assert before == rig.poller.effort.caught_up_at


def test_a_quiet_run_gets_no_more_lines(tmp_path: Path) -> None:
    """An interrupted run is followed without printing."""
    rig = Rig(tmp_path)
    write(open_run(), tmp_path)
    rig.polls(10, seconds=30.0)
    before = len(rig.printed)
    rig.polls(10, seconds=30.0)

    assert before == len(rig.printed) <= 3


def test_a_closed_run_is_not_read_again(tmp_path: Path) -> None:
    """After a restart the page shows the summary of the closed run, whose logs are not read again."""
    write(good_run(), tmp_path)
    Rig(tmp_path).polls(10)
    before = run_files.summary_path(tmp_path, RUN).stat().st_mtime_ns
    (tmp_path / log_source("client-1").path).write_bytes(b"changed later\n")
    rig = Rig(tmp_path)
    rig.polls(10)

    assert [] == rig.printed
    assert before == run_files.summary_path(tmp_path, RUN).stat().st_mtime_ns
    assert rig.poller.newest is not None
    assert "closed" == rig.poller.newest.summary.state


def test_a_summary_is_only_written_when_it_changed(tmp_path: Path) -> None:
    """Polls without a change do not write the file."""
    rig = Rig(tmp_path)
    write(open_run(), tmp_path)
    rig.polls(3)
    before = run_files.summary_path(tmp_path, RUN).stat().st_mtime_ns
    rig.polls(20)

    assert before == run_files.summary_path(tmp_path, RUN).stat().st_mtime_ns


def test_a_block_is_published_soon(tmp_path: Path) -> None:
    """A block is in the summary within 0.3 s, including a poll, and the summary is not written more often."""
    rig, files = Rig(tmp_path), open_run()
    source = log_source("client-1", 1, 1)
    write({**files, source: files[source][:2]}, tmp_path)
    rig.polls(20, POLL_SECONDS)
    path = run_files.summary_path(tmp_path, RUN)
    for number in range(3, len(files[source]) + 1):
        before = path.read_bytes()
        write({source: files[source][:number]}, tmp_path)
        came, published = rig.time.now, 0
        while path.read_bytes() == before:
            rig.polls(1, POLL_SECONDS)
        assert rig.time.now - came <= 0.2 + 1e-6
        for _ in range(5):
            seen = path.read_bytes()
            rig.polls(1, POLL_SECONDS)
            published += path.read_bytes() != seen
        assert 0 == published


def test_reading_yields_the_cpu_unless_it_is_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A poll sleeps between lines, but not if the poll before could not read everything."""
    sleeps = list[float]()
    monkeypatch.setattr("select.select", lambda *arguments: sleeps.append(arguments[-1]))
    rig = Rig(tmp_path, PollLimits(read=-1.0), CpuPolicy(work_seconds=0.0))
    write(open_run(), tmp_path)
    rig.polls(1)

    assert 1 <= len(sleeps)

    sleeps.clear()
    rig.polls(2)

    assert [] == sleeps


def test_rechecks_get_their_share_of_a_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rechecks of a run that take a second use a tenth of the time, and a hundredth if the run is idle."""
    rig, rechecks = Rig(tmp_path), list[float]()

    def recheck(*_: object, **__: object) -> bool:
        rechecks.append(rig.time.now)
        rig.time.now += 1.0
        rig.used.now += 1.0
        return True

    monkeypatch.setattr("services.collector.open_run.OpenRun.recheck", recheck)
    write(open_run(), tmp_path)
    rig.polls(1000, seconds=1.0)
    pauses = [later - earlier for earlier, later in pairwise(rechecks)]

    assert 10 <= pauses[0] <= 13
    assert 100 <= min(pauses[1:]) <= max(pauses[1:]) <= 103


def test_polls_get_their_share_of_the_time(tmp_path: Path) -> None:
    """Longer polls are followed by longer pauses, up to a bound; idle polls by longer ones still."""
    rig, idle = Rig(tmp_path), pytest.approx([0.2, 0.3, 0.5])

    def pauses() -> tuple[list[float], list[float]]:
        pause = rig.poller.pause_seconds
        return [pause(took) for took in (0.001, 0.015, 1.0)], [pause(took) for took in (0.001, 0.003, 1.0)]

    assert idle == pauses()[1], "without a run"

    write(open_run(), tmp_path)
    rig.polls(1)

    assert [0.1, 0.15, 0.2] == pytest.approx(pauses()[0])

    rig.time.now += LIMITS.idle + 1

    assert idle == pauses()[1], "while nothing comes"


def test_only_the_final_summary_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Summaries of an open run are not synced, since that would slow down the clients; that of a closed run is."""
    synced: list[int] = []
    monkeypatch.setattr("services.runtime.durable_file.os.fsync", synced.append)
    rig = Rig(tmp_path)
    write(open_run(), tmp_path)
    rig.polls(2)
    syncs_of_folders = len(synced)
    files = open_run()
    files[log_source("client-1")].append(b"?\n")
    write(files, tmp_path)
    rig.polls(3)
    summary = run_files.load(tmp_path, RUN)

    assert summary is not None
    assert (1, syncs_of_folders) == (len(summary.faults), len(synced))

    write(good_run(), tmp_path)
    rig.polls(10)

    assert "closed" == rig.state
    assert syncs_of_folders < len(synced)


def test_the_last_poll_prints_an_open_run(tmp_path: Path) -> None:
    """A collector that is stopped during a run prints the run's current summary."""
    rig = Rig(tmp_path)
    write(open_run(), tmp_path)
    rig.polls(3)
    rig.poller.poll(last=True)

    assert rig.printed[-1].splitlines()[1].startswith("  RUNNING   2 clients")


def test_the_last_poll_closes_a_run_that_has_ended(tmp_path: Path) -> None:
    """A collector that is stopped right after a run's end prints the verdict."""
    rig = Rig(tmp_path)
    write(good_run(), tmp_path)
    rig.poller.poll(last=True)

    assert "closed" == rig.state
    assert 1 == len(rig.printed)


def test_a_full_disk_does_not_suppress_the_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """With a full disk the verdict is printed once, the error logged once, and the summary stored later."""
    rig, is_full = Rig(tmp_path), True
    store = run_files.store

    def refuse(*args: object, **options: object) -> None:
        if is_full:
            raise OSError(28, "No space left on device")
        store(*args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(run_files, "store", refuse)
    write(good_run(), tmp_path)
    with caplog.at_level(logging.WARNING):
        rig.polls(20)

    assert (None, 1, 1) == (rig.state, len(rig.printed), len(caplog.records))

    is_full = False
    rig.polls(10)

    assert ("closed", 1) == (rig.state, len(rig.printed))


def test_a_run_that_was_removed_is_forgotten(tmp_path: Path) -> None:
    """A run whose files are removed by hand is no longer followed, without an error."""
    rig = Rig(tmp_path)
    write(open_run(), tmp_path)
    rig.polls(2)
    for path in sorted((tmp_path / "logs").rglob("*"), reverse=True) + sorted(
        (tmp_path / "ledger").rglob("*"), reverse=True
    ):
        path.rmdir() if path.is_dir() else path.unlink()
    rig.polls(3)

    assert not rig.poller.poll()


def test_old_runs_are_removed(tmp_path: Path) -> None:
    """KEEP_RUNS=1 keeps the newest closed run's summary, and those of runs whose logs still exist."""
    write(good_run(), tmp_path)
    Rig(tmp_path).polls(10)
    later = "20271122T073000Z"
    for side in ("logs", "ledger", "summary"):
        (tmp_path / side / RUN).rename(tmp_path / side / "20251122T073000Z")
        (tmp_path / side / later).mkdir()
    made = run_files.load(tmp_path, "20251122T073000Z")
    assert made is not None
    run_files.summary_path(tmp_path, later).write_bytes(
        run_files.summary_path(tmp_path, "20251122T073000Z").read_bytes()
    )
    Rig(tmp_path, KEEP_RUNS="1").polls(2)

    assert run_files.load(tmp_path, "20251122T073000Z") is not None

    for side in ("logs", "ledger"):
        shutil.rmtree(tmp_path / side / "20251122T073000Z")
    Rig(tmp_path, KEEP_RUNS="1").polls(2)

    assert run_files.load(tmp_path, "20251122T073000Z") is None
    assert run_files.load(tmp_path, later) is not None


def test_published_json_is_indented(tmp_path: Path) -> None:
    """summary.json is indented, since people read it too."""
    write(good_run(), tmp_path)
    Rig(tmp_path).polls(10)
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
    """An unexpected error in one run is logged once and counted, and the other run gets its verdict."""
    read = OpenRun.read

    def refuse(run: OpenRun, *arguments: Any) -> bool:
        if run.run == OTHER:
            raise UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed")
        return read(run, *arguments)

    monkeypatch.setattr(OpenRun, "read", refuse)
    two_runs(tmp_path)
    rig = Rig(tmp_path)
    rig.polls(10)

    assert "closed" == rig.state
    assert 1 == rig.poller.errors.count == len(caplog.records)


def test_a_process_without_free_descriptors_recovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """While folders cannot be listed, that is logged once; afterwards polling continues by itself."""
    rig = Rig(tmp_path)
    write(open_run(), tmp_path)
    rig.polls(2)
    with monkeypatch.context() as patched:

        def refuse(_: object) -> list[str]:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

        patched.setattr(poller, "find_runs", refuse)
        rig.polls(5)
    write(good_run(), tmp_path)
    rig.polls(20)

    assert "closed" == rig.state
    assert ["cannot look for runs"] == [record.message for record in caplog.records]


def test_a_file_name_that_is_not_utf8_is_escaped(tmp_path: Path) -> None:
    """A file name that is no UTF-8 and has control characters is escaped in the summary."""
    rig = Rig(tmp_path)
    write(open_run(), tmp_path)
    folder = os.fsencode((tmp_path / log_source("client-1").path).parent)
    Path(os.fsdecode(folder + b"/\xff\n\x1b[31m.jsonl")).write_bytes(b"no line of ours\n")
    rig.polls(3)
    made = run_files.load(tmp_path, RUN)

    assert made is not None
    assert [rf"logs/{RUN}/client-1/\xff\n\x1b[31m.jsonl"] == [fault.file for fault in made.faults]


def test_on_a_busy_machine_the_published_number_is_at_most_two_seconds_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If work takes thirty times its processor time, two summaries are still at most 2 s apart."""
    rig, stored = Rig(tmp_path), list[float]()

    def work(used: float) -> None:
        rig.used.now += used
        rig.time.now += 30 * used

    make_snapshot, store = OpenRun.snapshot, run_files.store

    def snapshot(run: OpenRun, *arguments: Any, **options: Any) -> Snapshot:
        work(0.01)
        return make_snapshot(run, *arguments, **options)

    def timed_store(*arguments: Any, **options: Any) -> None:
        stored.append(rig.time.now)
        store(*arguments, **options)

    def recheck(*_: object, **__: object) -> bool:
        work(0.005)
        return True

    monkeypatch.setattr(OpenRun, "snapshot", snapshot)
    monkeypatch.setattr(OpenRun, "recheck", recheck)
    monkeypatch.setattr(run_files, "store", timed_store)
    files, source = open_run(), log_source("client-1", 1, 1)
    for number in range(1, 200):
        files[source] = [*files[source], b"news\n"]
        write(files, tmp_path)
        rig.poller.poll()
        rig.time.now += rig.poller.pause_seconds(0.01)
        if number == 1:
            stored.clear()

    assert 50 < len(stored)
    assert 2.0 >= max(later - earlier for earlier, later in pairwise(stored))


def test_a_copied_log_under_a_later_name_is_not_shown(tmp_path: Path) -> None:
    """A client that copies a log into the folder of a later run does not take the page's run away."""
    write(good_run(), tmp_path)
    shutil.copytree(tmp_path / "logs" / RUN, tmp_path / "logs" / "99991231T235959Z")
    rig = Rig(tmp_path)
    rig.polls(5)

    assert rig.poller.newest is not None
    assert RUN == rig.poller.newest.summary.run
    assert RUN == json.loads((tmp_path / "summary" / "summary.json").read_text())["run"]


def test_a_pulled_run_closes_when_every_node_was_asked_after_its_end(tmp_path: Path) -> None:
    """A node that gave everything before the run was over may have written since; asked later, the run is closed."""
    pulls = FakePulls(tmp_path)
    rig = Rig(tmp_path, pulls=pulls)
    write(good_run(), tmp_path)
    pulls.complete_at = rig.time.now
    rig.polls(60)
    assert "ended" == rig.state
    pulls.complete_at = rig.time.now
    rig.polls(3)

    assert ("closed", [RUN]) == (rig.state, pulls.closed)
    assert "PASS" in rig.printed[-1]


def test_lines_that_come_late_delay_the_verdict_again(tmp_path: Path) -> None:
    """What a node gives after the run seemed to be over is judged, and every node is asked once more."""
    pulls = FakePulls(tmp_path)
    rig = Rig(tmp_path, pulls=pulls)
    files = good_run()
    log = files.pop(log_source("client-2", 2))
    write(files, tmp_path)
    rig.polls(60)
    pulls.complete_at = rig.time.now
    write({log_source("client-2", 2): log}, tmp_path)
    rig.polls(3)
    assert "ended" == rig.state
    rig.polls(30)
    pulls.complete_at = rig.time.now
    rig.polls(3)

    assert "closed" == rig.state
    assert "PASS" in rig.printed[-1]


def test_lines_that_never_end_do_not_put_the_verdict_off(tmp_path: Path) -> None:
    """A pulled run to which a peer adds lines again and again after its end has its verdict after a while."""
    pulls = FakePulls(tmp_path)
    rig = Rig(tmp_path, pulls=pulls)
    files = good_run()
    write(files, tmp_path)
    polls = 0
    while rig.state != "closed" and polls < 400:
        with (tmp_path / ledger_source().path).open("ab") as file:
            file.write(b"junk\n")
        pulls.complete_at = rig.time.now
        rig.polls(1)
        polls += 1

    assert "closed" == rig.state
    assert polls * 0.2 >= LIMITS.nodes


def test_a_missing_node_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    """A run of which a node is missing is INVALID after a while, and is judged again when that node has answered."""
    pulls = FakePulls(tmp_path)
    rig = Rig(tmp_path, pulls=pulls)
    write(good_run(), tmp_path)
    rig.polls(200)

    assert "closed" == rig.state
    assert "INVALID" in rig.printed[-1]
    assert "not all files of node b are here: away" in rig.printed[-1]
    assert [] == pulls.closed
    printed = len(rig.printed)
    rig.polls(200)
    assert printed == len(rig.printed)

    pulls.complete_at = rig.time.now + 0.1
    rig.polls(2)
    pulls.complete_at = rig.time.now + 20
    rig.polls(60)

    assert "PASS" in rig.printed[-1]
    assert [RUN] == pulls.closed


def test_a_run_without_a_node_is_judged_again_by_another_process(tmp_path: Path) -> None:
    """A collector that starts again reads a run again whose verdict was that a node is missing."""
    pulls = FakePulls(tmp_path)
    write(good_run(), tmp_path)
    Rig(tmp_path, pulls=pulls).polls(200)
    pulls.complete_at = 10**6
    again = Rig(tmp_path, pulls=pulls)
    again.polls(30)

    assert "PASS" in again.printed[-1]


def test_a_stop_gives_no_verdict_about_a_pulled_run(tmp_path: Path) -> None:
    """The last poll closes no run of which a node was not asked since its end."""
    pulls = FakePulls(tmp_path)
    rig = Rig(tmp_path, pulls=pulls)
    write(good_run(), tmp_path)
    rig.polls(5)
    rig.poller.poll(last=True)

    assert "ended" == rig.state
