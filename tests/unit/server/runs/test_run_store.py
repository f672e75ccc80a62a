"""Tests of opening new runs and of continuing interrupted ones."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import msgspec
import pytest

from services.contract import ledger
from services.contract.jsonl import seal
from services.runtime.clock import Clock
from services.runtime.errors import AnotherServer
from services.server.feed.faker_pools import POOL
from services.server.feed.generator import FAKER_VERSION
from services.server.runs.ledger_writer import read_entries
from services.server.runs.process_identity import own, parse
from services.server.runs.run import Run
from tests.unit.server.fakes import START_US, StoppedClock, feed, lines_of, new_run, runs

PLAN = "10:2s,1000:1s,pause:4s,5"


def crash(run: Run, clock: StoppedClock) -> None:
    """Leave a run as a crash leaves it, its ledger last touched now."""
    run.ledger._file.close()
    os.utime(run.ledger.path, (clock.us / 1e6, clock.us / 1e6))


def test_a_new_run(tmp_path: Path, clock: StoppedClock) -> None:
    """A run is a folder named by the UTC time, and its ledger begins with the settings of the feed."""
    run = runs(tmp_path, clock, records=500, rate=100, clients=3).open_or_continue()
    opening = lines_of(run)[0]

    assert "20261122T073000Z" == run.name == run.ledger.path.parent.name
    assert isinstance(opening, ledger.OpenEntry)
    assert (feed().identity, 42, "person", "en_US", FAKER_VERSION, POOL, 500, 100, 3) == (
        *(opening.feed, opening.seed, opening.schema, opening.locale, opening.faker, opening.pool),
        *(opening.total, opening.rate, opening.clients),
    )
    assert "waiting" == run.state


def test_runs_of_one_second_are_numbered(tmp_path: Path, clock: StoppedClock) -> None:
    """A run whose name is taken gets a number."""
    names = [new_run(tmp_path, clock).name for _ in range(3)]

    assert ["20261122T073000Z", "20261122T073000Z-2", "20261122T073000Z-3"] == names


@pytest.mark.parametrize("paused", [False, True])
def test_an_interrupted_run_is_continued(tmp_path: Path, clock: StoppedClock, *, paused: bool) -> None:
    """A server that starts in time continues the run, with its own ledger beside the old one."""
    first = new_run(tmp_path, clock, rate=10)
    first.set_rate(10)
    clock.pass_seconds(3.05)
    if paused:
        first.set_rate(None)
    crash(first, clock)
    clock.pass_seconds(599)
    second = runs(tmp_path, clock, "b", rate=10).open_or_continue()

    assert first.name == second.name
    assert {"a.jsonl", "b.jsonl"} == {path.name for path in second.ledger.path.parent.glob("*.jsonl")}
    assert ("paused", 31) if paused else ("running", 6000) == (second.state, second.head())


def test_the_schedule_continues_during_an_outage(tmp_path: Path, clock: StoppedClock) -> None:
    """After a crash, the records of the outage are due."""
    first = new_run(tmp_path, clock, rate=10)
    first.set_rate(10)
    crash(first, clock)
    clock.pass_seconds(20)

    second = runs(tmp_path, clock, "b", rate=10).open_or_continue()

    assert (201, 201) == (second.head(), second.taken_over_at)


@pytest.mark.parametrize("ended", [False, True])
def test_time_never_runs_backwards(tmp_path: Path, clock: StoppedClock, *, ended: bool) -> None:
    """If the wall clock was set back while no server ran, the run continues from the last time in its ledger."""
    first = new_run(tmp_path, clock, rate=10)
    first.set_rate(10)
    clock.pass_seconds(20)
    if ended:
        first.finish("complete")
    else:
        first.set_rate(10)
    crash(first, clock)
    clock.pass_seconds(-3600)
    second = runs(tmp_path, clock, "b", rate=10).open_or_continue()

    assert START_US + 20_000_000 == clock.us
    assert ((f"{first.name[:13]}20Z", 0) if ended else (first.name, 202)) == (second.name, second.head())


def test_a_run_that_cannot_be_opened_leaves_nothing(
    tmp_path: Path, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run whose ledger cannot be created leaves no folder behind."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("services.server.runs.run_store.LedgerWriter", full)
    with pytest.raises(OSError, match="No space"):
        runs(tmp_path, clock).open_or_continue()

    assert [] == list((tmp_path / "ledger").iterdir())


@pytest.mark.parametrize(("outage", "changed"), [(601, {}), (1, {"records": 5}), (1, {"rate": 9})])
def test_a_run_is_abandoned(tmp_path: Path, clock: StoppedClock, outage: float, changed: dict[str, int]) -> None:
    """After a long outage, or with other settings, the old run is ended as abandoned and a new one opened."""
    first = new_run(tmp_path, clock)
    crash(first, clock)
    clock.pass_seconds(outage)
    second = runs(tmp_path, clock, "b", **changed).open_or_continue()
    ends = [entry for entry in read_entries(tmp_path / "ledger" / first.name) if isinstance(entry, ledger.EndEntry)]

    assert first.name != second.name
    assert "waiting" == second.state
    assert ["abandoned"] == [entry.reason for entry in ends]


def test_an_ended_run_is_not_continued(tmp_path: Path, clock: StoppedClock) -> None:
    """After an ended run a new one is opened."""
    first = new_run(tmp_path, clock)
    first.finish("complete")
    first.ledger.close()

    assert f"{first.name}-2" == runs(tmp_path, clock, "b").open_or_continue().name


def test_a_ledger_names_its_process(tmp_path: Path, clock: StoppedClock) -> None:
    """The first entry of a ledger identifies the process that writes it."""
    opening = lines_of(new_run(tmp_path, clock))[0]

    assert isinstance(opening, ledger.OpenEntry)
    assert own() == parse(opening.process)


@pytest.mark.parametrize("ended", [False, True])
@pytest.mark.parametrize(
    ("changed", "why"),
    [({"rate": 500}, "RATE 200, here 500"), ({"records": 7, "resume_seconds": 0}, "RECORDS 6000, here 7")],
)
def test_a_live_run_is_not_touched(
    tmp_path: Path, clock: StoppedClock, changed: dict[str, int], why: str, *, ended: bool
) -> None:
    """A server with other settings neither continues nor ends a run that another one plays, and opens none."""
    first = runs(tmp_path, clock)
    first._process = None
    run = first.open_or_continue()
    if ended:
        run.finish("complete")
    before = run.ledger.path.read_bytes()
    over = threading.Event()

    def touch() -> None:
        while not over.wait(0.1):
            run.ledger.touch()

    thread = threading.Thread(target=touch)
    thread.start()
    try:
        with pytest.raises(AnotherServer, match=f"{run.name}.*{why}"):
            runs(tmp_path, clock, "b", **changed).open_or_continue()
    finally:
        over.set()
        thread.join()

    assert [run.ledger.path] == list((tmp_path / "ledger").glob("*/*.jsonl"))
    assert before == run.ledger.path.read_bytes()
    run.ledger.close()


def _begin(ready: Barrier, results: Queue[str], folder: Path, number: int) -> None:
    made = runs(folder, Clock(), f"i{number}")
    ready.wait(30)
    results.put(made.open_or_continue().name)


def _no_locks(*_: object) -> None:
    raise OSError(37, "No locks available")


@pytest.mark.parametrize("has_past", [False, True])
@pytest.mark.parametrize("has_locks", [True, False])
def test_four_simultaneous_servers_play_one_run(
    tmp_path: Path, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch, *, has_past: bool, has_locks: bool
) -> None:
    """Four processes that start at once open one run, in an empty folder or after a run, and without locks too."""
    feed()
    if has_past:
        past = new_run(tmp_path, clock)
        past.finish("complete")
        crash(past, clock)
    if not has_locks:
        monkeypatch.setattr("services.server.runs.other_servers.fcntl.flock", _no_locks)
    context = multiprocessing.get_context("fork")
    ready, results = context.Barrier(4), context.Queue()
    processes = [
        context.Process(target=_begin, args=(ready, results, tmp_path, number), daemon=True) for number in range(4)
    ]
    for process in processes:
        process.start()
    outcomes = {results.get(timeout=60) for _ in processes}
    for process in processes:
        process.join(30)
    paths = list((tmp_path / "ledger").glob("*/i?.jsonl"))

    assert [0] * 4 == [process.exitcode for process in processes]
    assert outcomes == {path.parent.name for path in paths}
    assert {"i0.jsonl", "i1.jsonl", "i2.jsonl", "i3.jsonl"} == {path.name for path in paths}
    assert 1 == len(outcomes)
    assert 1 + has_past == len(list((tmp_path / "ledger").iterdir()))


@pytest.mark.parametrize(("seconds", "is_followed"), [(5, True), (11, False)])
def test_a_run_that_was_decided_and_is_missing_was_removed(
    tmp_path: Path, clock: StoppedClock, seconds: float, *, is_followed: bool
) -> None:
    """A server opens the run that another one has just decided, and no run whose folder was removed since."""
    past = new_run(tmp_path, clock)
    past.finish("complete")
    assert past.agreement.decide_next(past.at(), "20261122T073001Z")
    crash(past, clock)
    clock.pass_seconds(seconds)
    opened = runs(tmp_path, clock, "b").open_or_continue()

    assert is_followed == (opened.name == "20261122T073001Z")
    assert 2 == len(list((tmp_path / "ledger").iterdir()))


@pytest.mark.parametrize("at", ["", "tomorrow", "9999-12-31T23:59:59.000000Z"])
def test_a_decision_without_a_time_is_an_old_one(tmp_path: Path, clock: StoppedClock, at: str) -> None:
    """A decision whose time cannot be read does not stop a server."""
    past = new_run(tmp_path, clock)
    past.finish("complete")
    assert past.agreement.decide_next(at, "20261122T073001Z")
    crash(past, clock)

    assert "20261122T073000Z-2" == runs(tmp_path, clock, "b").open_or_continue().name


def test_a_start_reads_a_ledger_once(tmp_path: Path, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that looks for others before it continues a run reads an unchanged ledger once, a changed one again."""
    crash(new_run(tmp_path, clock), clock)
    read = list[Path]()

    def read_and_count(folder: Path) -> Iterator[ledger.Entry | None]:
        read.append(folder)
        return read_entries(folder)

    monkeypatch.setattr("services.server.runs.run_store.read_entries", read_and_count)
    second = runs(tmp_path, clock, "b")
    second.open_or_continue(second.survey())
    assert 1 == len(read)

    third = runs(tmp_path, clock, "c")
    third.survey()
    (read[0] / "d.jsonl").touch()
    third.open_or_continue()
    assert 3 == len(read)


def test_a_run_without_ledger_is_not_continued(tmp_path: Path, clock: StoppedClock) -> None:
    """A folder in which a crash left no ledger does not stop the server."""
    (tmp_path / "ledger" / "20261122T072959Z").mkdir(parents=True)

    assert "20261122T073000Z" == runs(tmp_path, clock).open_or_continue().name


@pytest.mark.parametrize("stopped", [False, True])
def test_a_plan_survives_a_restart(tmp_path: Path, clock: StoppedClock, *, stopped: bool) -> None:
    """After a crash the plan has continued; a stop delays the rest of it."""
    first = new_run(tmp_path, clock, rate=PLAN)
    first.start()
    clock.pass_seconds(1.02)
    if stopped:
        first.set_rate(None)
    crash(first, clock)
    clock.pass_seconds(30)
    second = runs(tmp_path, clock, "b", rate=PLAN).open_or_continue()
    if stopped:
        second.resume()
        clock.pass_seconds(1.5)

    assert first.name == second.name
    head = second.advance()
    paces = [(entry.rate, entry.stage) for entry in lines_of(second) if isinstance(entry, ledger.PaceEntry)]
    expected = (522, [(10, 1), (1000, 2)]) if stopped else (1141, [(1000, 2), (None, 3), (5, 4)])
    assert expected == (head, paces)


def test_another_plan_is_another_run(tmp_path: Path, clock: StoppedClock) -> None:
    """A run is not continued with another rate plan."""
    first = new_run(tmp_path, clock, rate=PLAN)
    first.start()
    crash(first, clock)
    again = runs(tmp_path, clock, "b", rate=PLAN.replace("2s", "2000ms")).open_or_continue()
    crash(again, clock)

    assert first.name == again.name
    assert first.name != runs(tmp_path, clock, "c", rate="10").open_or_continue().name


@pytest.mark.parametrize(
    "line",
    [
        {"kind": "pace", "first": 1, "due_us": START_US, "rate": 5e-324},
        {"kind": "pace", "first": 1, "due_us": START_US, "rate": -1},
        {"kind": "pace", "first": 7, "due_us": START_US, "rate": 10},
        {"kind": "control", "wish": "rate", "value": 5e-324, "peer": "127.0.0.1"},
        {"kind": "control", "wish": "pause", "peer": "127.0.0.1", "at": "tomorrow"},
        {"kind": "control", "wish": "pause", "peer": "127.0.0.1", "at": "9999-12-31T23:59:59.000000Z"},
    ],
)
def test_a_run_that_cannot_be_played_is_abandoned(
    tmp_path: Path, clock: StoppedClock, line: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    """A ledger with entries that no server can play ends that run, logged once, and not the server."""
    first = new_run(tmp_path, clock, rate=10)
    content = msgspec.json.encode({"v": 1, "at": first.at(), **line})
    crash(first, clock)
    with first.ledger.path.open("ab") as file:
        file.write(seal(content, first.ledger._prev)[0])
    os.utime(first.ledger.path, (clock.us / 1e6, clock.us / 1e6))
    second = runs(tmp_path, clock, "b", rate=10).open_or_continue()

    assert (True, "waiting") == (first.name != second.name, second.state)
    assert second.name.startswith("20261122")
    assert 1 == caplog.messages.count("run cannot be continued")
    assert "abandoned" == next(
        it.reason for it in read_entries(first.ledger.path.parent) if isinstance(it, ledger.EndEntry)
    )


def test_folders_of_other_names_are_no_runs(tmp_path: Path, clock: StoppedClock) -> None:
    """Other folders and links are skipped, and the tenth run of a second is newer than the second."""
    opened = [new_run(tmp_path, clock, rate=10) for _ in range(10)]
    for run in opened:
        crash(run, clock)
    root = tmp_path / "ledger"
    (root / f"{opened[0].name}-old").mkdir()
    (root / "notes").mkdir()
    (root / "20991231T235959Z").symlink_to(root / "notes")

    assert opened[-1].name == runs(tmp_path, clock, "b", rate=10).open_or_continue().name
