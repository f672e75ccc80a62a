"""Tests of detecting another server that uses the same ledger folder."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.contract import ledger
from services.contract.scalars import utc_text
from services.runtime.clock import boot_id
from services.runtime.errors import AnotherServer
from services.server.runs.decisions import FOLDER, Decision, DecisionLog
from services.server.runs.other_servers import (
    FolderSnapshot,
    StoppedWhileWatching,
    ensure_alone,
    start_lock,
    take_snapshot,
)
from services.server.runs.process_identity import own, start_ticks
from tests.poll import poll_until
from tests.unit.server.fakes import StoppedClock, new_run, runs

SECOND = 1_000_000_000


def watch(root: Path, is_stopped: Callable[[], bool] = lambda: False, *, seconds: float = 0.6) -> FolderSnapshot:
    """Make sure that no other server uses a folder, within a short time."""
    return ensure_alone(root, is_stopped, watch_seconds=seconds, look_seconds=0.01)


@pytest.fixture
def root(tmp_path: Path, clock: StoppedClock) -> Path:
    """Return the folder of a ledger that a server on another machine has just written."""
    return written(tmp_path, clock, "boot far-away 1 2 3")


def written(tmp_path: Path, clock: StoppedClock, process: str | None, *, lock: bool = False) -> Path:
    """Write a ledger whose open entry names a process and a lock; return the folder of the ledgers."""
    made = runs(tmp_path, clock)
    made._process = None
    run = made.open_new()
    first = run.ledger.path.read_bytes()
    _, entry = ledger.codec.decode(first)
    assert isinstance(entry, ledger.OpenEntry)
    fields = {name: getattr(entry, name) for name in entry.__struct_fields__}
    changed = {**fields, "process": process, "boot": boot_id(), "lock": entry.lock if lock else None}
    line, _ = ledger.codec.encode(ledger.OpenEntry(**changed), "x00000000")
    run.ledger._file.close()
    run.ledger.path.write_bytes(line)
    return run.ledger.path.parent.parent


def the_ledger(root: Path) -> Path:
    """Return the only ledger of a folder."""
    return next(root.glob("*/a.jsonl"))


@contextlib.contextmanager
def touched(path: Path, *, every: float = 0.1) -> Iterator[None]:
    """Touch a file regularly, as a live server does."""
    over = threading.Event()

    def touch() -> None:
        while not over.wait(every):
            os.utime(path)

    thread = threading.Thread(target=touch)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def took(done: Callable[[], object]) -> float:
    """Return how many seconds a call takes."""
    began = time.monotonic()
    done()
    return time.monotonic() - began


def test_a_live_server_is_found(root: Path) -> None:
    """A ledger that is touched during the watch belongs to a live server; one line names run and folder."""
    with touched(the_ledger(root)), pytest.raises(AnotherServer) as refused:
        watch(root)

    assert f"another server is playing run 20261122T073000Z in {root}: this server cannot join it" in str(refused.value)
    assert 1 == len(str(refused.value).splitlines())


def test_an_unchanged_ledger_is_watched_for_the_whole_time(root: Path) -> None:
    """A ledger whose writer may still live, and that stays unchanged for the whole time, is accepted."""
    seconds = took(lambda: watch(root, seconds=0.3))

    assert 0.3 <= seconds < 3


def test_a_new_run_of_a_live_server_is_found(root: Path, tmp_path: Path, clock: StoppedClock) -> None:
    """A live server that opens its next run no longer touches the old ledger; the new ledger reveals it."""
    timer = threading.Timer(0.1, lambda: written(tmp_path, clock, "boot far-away 1 2 3"))
    timer.start()
    with pytest.raises(AnotherServer, match="20261122T073000Z-2"):
        watch(root)
    timer.join()


def test_a_run_without_ledger_is_skipped(root: Path) -> None:
    """If the newest run has no ledger yet, the run before it is watched."""
    (root / "20261122T073500Z").mkdir()

    assert ("20261122T073000Z", ["a.jsonl"]) == (take_snapshot(root).run, list(take_snapshot(root).ledgers))
    with touched(the_ledger(root)), pytest.raises(AnotherServer, match="20261122T073000Z"):
        watch(root)


def test_an_old_ledger_is_not_watched(root: Path) -> None:
    """A ledger that was last changed long ago, by the clock of its file system, is accepted at once."""
    old = time.time() - 1
    os.utime(the_ledger(root), (old, old))

    assert took(lambda: watch(root)) < 0.5


def test_a_ledger_of_the_future_is_watched(root: Path) -> None:
    """A ledger with a time in the future, left by a clock that was set back, is watched."""
    path = the_ledger(root)
    os.utime(path, (time.time() + 3600,) * 2)

    with touched(path), pytest.raises(AnotherServer):
        watch(root)


def test_an_ended_process_is_not_watched(tmp_path: Path, clock: StoppedClock) -> None:
    """The ledger of a process that was killed a moment ago is accepted at once."""
    me = own()
    assert me is not None
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    root = written(tmp_path, clock, str(me._replace(pid=child.pid, start="1")))

    assert took(lambda: watch(root)) < 0.5


def test_a_watch_ends_with_the_watched_process(tmp_path: Path, clock: StoppedClock) -> None:
    """The watch ends as soon as the writer is proven to have ended."""
    me = own()
    assert me is not None
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        start = poll_until(lambda: start_ticks(child.pid), "the child has started", 10, 0.01)
        root = written(tmp_path, clock, str(me._replace(pid=child.pid, start=str(start))))
        timer = threading.Timer(0.2, child.kill)
        timer.start()

        assert took(lambda: watch(root, seconds=60)) < 30
    timer.join()


def test_a_ledger_of_this_process_is_accepted(tmp_path: Path, clock: StoppedClock) -> None:
    """A process that opens one run after another does not take its own ledger for that of another server."""
    run = new_run(tmp_path, clock)
    with touched(run.ledger.path):
        watch(run.ledger.path.parent.parent)


def test_a_server_that_was_stopping_is_not_watched(tmp_path: Path, clock: StoppedClock) -> None:
    """A ledger that ends with a leave for draining, followed by receipts only, is accepted at once."""
    root = written(tmp_path, clock, "boot far-away 1 2 3")
    at = "2026-11-22T07:30:01.000000Z"
    goodbye = ledger.LeaveEntry(at=at, client="client-1", fence=1, sent=0, receipted=0, cause="draining")
    receipt = ledger.ReceiptEntry(
        at=at, client="client-1", session=1, fence=1, block=1, first=1, last=1, count=1, digest="x00000000", match=True
    )
    with the_ledger(root).open("ab") as file:
        for entry in (goodbye, receipt):
            file.write(ledger.codec.encode(entry, "x00000000")[0])

    assert took(lambda: watch(root)) < 0.5


def test_a_ledger_that_was_continued_is_not_watched(tmp_path: Path, clock: StoppedClock) -> None:
    """A ledger that is unchanged since a later server opened its own is accepted at once; a touched one is watched."""
    root = written(tmp_path, clock, "boot far-away 1 2 3")
    first = the_ledger(root)
    later = first.with_name("b.jsonl")
    _, entry = ledger.codec.decode(first.read_bytes())
    assert isinstance(entry, ledger.OpenEntry)
    fields = {name: getattr(entry, name) for name in entry.__struct_fields__} | {"at": utc_text(time.time_ns() // 1000)}
    later.write_bytes(ledger.codec.encode(ledger.OpenEntry(**fields), "x00000000")[0])
    os.utime(later, (1, 1))

    assert took(lambda: watch(root)) < 0.5

    os.utime(first, ns=(time.time_ns() + SECOND, time.time_ns() + SECOND))

    assert took(lambda: watch(root)) >= 0.5


def test_a_closed_ledger_is_not_watched(tmp_path: Path, clock: StoppedClock) -> None:
    """A ledger whose writer had a lock and has closed it is accepted at once, in whatever container the writer was."""
    root = written(tmp_path, clock, "boot far-away 1 2 3", lock=True)

    assert took(lambda: watch(root)) < 0.5

    with the_ledger(root).open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert took(lambda: watch(root)) >= 0.5


def test_an_announced_stop_is_not_watched(root: Path) -> None:
    """The ledger of a server that has announced its stop is accepted at once; an announcement of another is not its."""
    decisions = DecisionLog(the_ledger(root).parent / FOLDER)
    decisions.news()
    decisions.decide(Decision(at="2026-11-22T07:30:01.000000Z", instance="b", leaves=True))

    assert took(lambda: watch(root)) >= 0.5

    decisions.decide(Decision(at="2026-11-22T07:30:02.000000Z", instance="a", leaves=True))

    assert took(lambda: watch(root)) < 0.5


def test_a_stop_ends_the_watch(root: Path) -> None:
    """A process that is asked to stop ends its watch early."""
    asked: list[bool] = []

    def after_two() -> bool:
        asked.append(True)
        return len(asked) > 2

    with pytest.raises(StoppedWhileWatching):
        watch(root, after_two)


def test_a_watch_changes_nothing(root: Path) -> None:
    """Watching changes neither the folder nor its files."""

    def tree() -> dict[str, object]:
        return {
            str(path): (path.stat().st_size, path.read_bytes() if path.is_file() else b"") for path in root.rglob("*")
        }

    before = tree()
    watch(root, seconds=0.2)

    assert before == tree()


def test_an_empty_folder_takes_no_time(tmp_path: Path) -> None:
    """A folder without runs, or no folder at all, is accepted at once."""
    assert FolderSnapshot("", {}) == watch(tmp_path) == watch(tmp_path / "none")


def test_only_run_folders_count(tmp_path: Path) -> None:
    """Folders with other names are skipped, and runs of one second are ordered by their numbers."""
    for name in ("20261122T073000Z-2", "20261122T073000Z-10", "lost+found", "zzz"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jsonl").touch()

    assert "20261122T073000Z-10" == take_snapshot(tmp_path).run


def test_only_regular_files_count(root: Path) -> None:
    """A pipe or a folder among the ledgers is not opened and does not block a start."""
    folder = the_ledger(root).parent
    os.mkfifo(folder / "pipe.jsonl")
    (folder / "folder.jsonl").mkdir()

    assert ["a.jsonl"] == list(take_snapshot(root).ledgers)
    assert took(lambda: watch(root)) < 3


@pytest.mark.parametrize(
    ("now", "changed"),
    [
        (FolderSnapshot("20261122T073000Z", {"a": (1, 1)}), False),
        (FolderSnapshot("20261122T073000Z", {"a": (2, 1)}), True),
        (FolderSnapshot("20261122T073000Z", {"a": (1, 2)}), True),
        (FolderSnapshot("20261122T073000Z", {"a": (1, 1), "b": (0, 0)}), True),
        (FolderSnapshot("20261122T073000Z", {}), False),
        (FolderSnapshot("20261122T073000Z-2", {"a": (1, 1)}), True),
        (FolderSnapshot("20261122T072900Z", {"a": (5, 5)}), False),
        (FolderSnapshot("", {}), False),
    ],
)
def test_changes_of_ledgers(now: FolderSnapshot, *, changed: bool) -> None:
    """A new or changed ledger is a sign of a live server; a removed ledger or run is not."""
    assert changed == now.has_changed_since(FolderSnapshot("20261122T073000Z", {"a": (1, 1)}))


def test_recent_is_by_the_file_systems_clock() -> None:
    """Ledgers changed within the time of the watch are recent; all are if the file system's time is unknown."""
    seen = FolderSnapshot(
        "20261122T073000Z", {"old": (93 * SECOND, 1), "new": (95 * SECOND, 1), "later": (200 * SECOND, 1)}
    )

    assert ["new", "later"] == seen.recent_ledgers(100 * SECOND, 6.0)
    assert ["old", "new", "later"] == seen.recent_ledgers(None, 6.0)


def test_one_server_at_a_time_opens_a_run(tmp_path: Path) -> None:
    """The lock admits one server at a time and leaves no file in the folder."""
    inside, most = 0, 0

    def hold_often() -> None:
        nonlocal inside, most
        for _ in range(20):
            with start_lock(tmp_path, 30):
                inside += 1
                most = max(most, inside)
                time.sleep(0)
                inside -= 1

    threads = [threading.Thread(target=hold_often) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 1 == most
    assert [] == list(tmp_path.iterdir())


def test_the_lock_is_optional(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server starts without the lock if the folder cannot be locked, or if another process holds it for too long."""

    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", refuse)
    with start_lock(tmp_path):
        pass
    monkeypatch.undo()
    with start_lock(tmp_path), start_lock(tmp_path, 0.05):
        pass
