"""Tests of whether another server plays in a folder."""

from __future__ import annotations

import contextlib
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
from services.runtime.errors import AnotherServer
from services.server.runs import other_servers
from services.server.runs.other_servers import FolderLook, StoppedWhileWatching, look, newest_run, turn, watch
from services.server.runs.process_identity import own, start_of
from tests.poll import poll_until
from tests.unit.server.fakes import StoppedClock, new_run, runs

SECOND = 1_000_000_000


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is watched for long, and often."""
    monkeypatch.setattr(other_servers, "WATCH_SECONDS", 0.6)
    monkeypatch.setattr(other_servers, "LOOK_SECONDS", 0.01)


@pytest.fixture
def root(tmp_path: Path, clock: StoppedClock) -> Path:
    """Return the folder of a ledger that another machine's server has written just now."""
    return written(tmp_path, clock, "boot far-away 1 2 3")


def written(tmp_path: Path, clock: StoppedClock, process: str | None, *, ended: bool = False) -> Path:
    """Write a ledger as a process does; return the folder of the ledgers."""
    made = runs(tmp_path, clock)
    made._process = None
    run = made.open()
    first = run.ledger.path.read_bytes()
    _, entry = ledger.codec.decode(first)
    assert isinstance(entry, ledger.OpenEntry)
    fields = {name: getattr(entry, name) for name in entry.__struct_fields__}
    line, _ = ledger.codec.encode(ledger.OpenEntry(**{**fields, "process": process}), "x00000000")
    run.ledger._file.close()
    run.ledger.path.write_bytes(line)
    return run.ledger.path.parent.parent


def the_ledger(root: Path) -> Path:
    """Return the one ledger of a folder."""
    return next(root.glob("*/a.jsonl"))


@contextlib.contextmanager
def touched(path: Path, *, every: float = 0.1) -> Iterator[None]:
    """Touch a file again and again, as a live server does."""
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
    """Return how many seconds something takes."""
    began = time.monotonic()
    done()
    return time.monotonic() - began


def test_a_live_server_is_found(root: Path) -> None:
    """A ledger that is touched while it is watched is another server's: one line names the run and the folder."""
    with touched(the_ledger(root)), pytest.raises(AnotherServer) as refused:
        watch(root)

    assert f"another server is playing run 20261122T073000Z in {root}: several servers are not" in str(refused.value)
    assert 1 == len(str(refused.value).splitlines())


def test_a_quiet_ledger_is_watched_once_and_then_taken_over(root: Path) -> None:
    """A ledger whose writer may live and that does not change for the whole time is not another server's."""
    seconds = took(lambda: watch(root))

    assert 0.6 <= seconds < 3


def test_a_next_run_of_the_other_is_found(root: Path, tmp_path: Path, clock: StoppedClock) -> None:
    """A server that turns to its next run touches the old ledger no more: the new one is seen."""
    timer = threading.Timer(0.1, lambda: written(tmp_path, clock, "boot far-away 1 2 3"))
    timer.start()
    with pytest.raises(AnotherServer, match="20261122T073000Z-2"):
        watch(root)
    timer.join()


def test_a_run_that_is_being_opened_hides_no_live_server(root: Path) -> None:
    """Of a run whose folder has no ledger yet nothing can be seen: the ledger of the run before it is looked at."""
    (root / "20261122T073500Z").mkdir()

    assert "20261122T073500Z" == newest_run(root)
    assert ("20261122T073000Z", ["a.jsonl"]) == (look(root).run, list(look(root).ledgers))
    with touched(the_ledger(root)), pytest.raises(AnotherServer, match="20261122T073000Z"):
        watch(root)


def test_an_old_ledger_is_not_watched(root: Path) -> None:
    """A ledger that was last changed long ago, by the clock of its file system, takes no time."""
    old = time.time() - 1
    os.utime(the_ledger(root), (old, old))

    assert took(lambda: watch(root)) < 0.5


def test_a_ledger_of_the_future_is_watched(root: Path) -> None:
    """A clock that was set back since does not make a live server look dead."""
    path = the_ledger(root)
    os.utime(path, (time.time() + 3600,) * 2)

    with touched(path), pytest.raises(AnotherServer):
        watch(root)


def test_an_ended_process_is_not_watched(tmp_path: Path, clock: StoppedClock) -> None:
    """The ledger of a process that was killed a moment ago takes no time."""
    me = own()
    assert me is not None
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    root = written(tmp_path, clock, str(me._replace(pid=child.pid, start="1")))

    assert took(lambda: watch(root)) < 0.5


def test_a_process_that_ends_while_it_is_watched_is_waited_for_no_longer(
    tmp_path: Path, clock: StoppedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As soon as the writer is proven to be gone the watch is over."""
    monkeypatch.setattr(other_servers, "WATCH_SECONDS", 60.0)
    me = own()
    assert me is not None
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        start = poll_until(lambda: start_of(child.pid), "the child has started", 10, 0.01)
        root = written(tmp_path, clock, str(me._replace(pid=child.pid, start=str(start))))
        timer = threading.Timer(0.2, child.kill)
        timer.start()

        assert took(lambda: watch(root)) < 30
    timer.join()


def test_own_ledgers_are_no_other_servers(tmp_path: Path, clock: StoppedClock) -> None:
    """A process that opens one run after the other is one server."""
    run = new_run(tmp_path, clock)
    with touched(run.ledger.path):
        watch(run.ledger.path.parent.parent)


def test_a_server_that_was_stopping_is_not_watched(tmp_path: Path, clock: StoppedClock) -> None:
    """A ledger in which nothing but a receipt follows a goodbye for draining is of a server that was stopped."""
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
    """A killed server's ledger, untouched since a later server opened its own, needs no watching; touched, it does."""
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


def test_watching_can_be_given_up(root: Path) -> None:
    """A process that is asked to stop does not watch to the end."""
    asked: list[bool] = []

    def after_two() -> bool:
        asked.append(True)
        return len(asked) > 2

    with pytest.raises(StoppedWhileWatching):
        watch(root, after_two)


def test_nothing_is_left_behind(root: Path) -> None:
    """Watching changes neither the folder nor what is in it."""

    def tree() -> dict[str, object]:
        return {
            str(path): (path.stat().st_size, path.read_bytes() if path.is_file() else b"") for path in root.rglob("*")
        }

    before = tree()
    watch(root)

    assert before == tree()


def test_an_empty_folder_takes_no_time(tmp_path: Path) -> None:
    """Where there is no run, or not even a folder, there is nothing to watch."""
    assert FolderLook("", {}) == watch(tmp_path) == watch(tmp_path / "none")


def test_only_runs_are_looked_at(tmp_path: Path) -> None:
    """What is no run's folder is passed over, and runs of one second are in the order of their numbers."""
    for name in ("20261122T073000Z-2", "20261122T073000Z-10", "lost+found", "zzz"):
        (tmp_path / name).mkdir()

    assert "20261122T073000Z-10" == newest_run(tmp_path)


def test_what_is_no_file_is_passed_over(root: Path) -> None:
    """A pipe or a folder among the ledgers is not opened, and does not hold up a start."""
    folder = the_ledger(root).parent
    os.mkfifo(folder / "pipe.jsonl")
    (folder / "folder.jsonl").mkdir()

    assert ["a.jsonl"] == list(look(root).ledgers)
    assert took(lambda: watch(root)) < 3


@pytest.mark.parametrize(
    ("now", "changed"),
    [
        (FolderLook("20261122T073000Z", {"a": (1, 1)}), False),
        (FolderLook("20261122T073000Z", {"a": (2, 1)}), True),
        (FolderLook("20261122T073000Z", {"a": (1, 2)}), True),
        (FolderLook("20261122T073000Z", {"a": (1, 1), "b": (0, 0)}), True),
        (FolderLook("20261122T073000Z", {}), False),
        (FolderLook("20261122T073000Z-2", {"a": (1, 1)}), True),
        (FolderLook("20261122T072900Z", {"a": (5, 5)}), False),
        (FolderLook("", {}), False),
    ],
)
def test_what_counts_as_a_change(now: FolderLook, *, changed: bool) -> None:
    """A ledger that is new or was changed is a sign of life; one that was removed, with its run or alone, is none."""
    assert changed == now.has_changed_since(FolderLook("20261122T073000Z", {"a": (1, 1)}))


def test_recent_is_by_the_file_systems_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ledgers changed within the time of the watch are recent, and all of them when the time is not known."""
    monkeypatch.setattr(other_servers, "WATCH_SECONDS", 6.0)
    seen = FolderLook(
        "20261122T073000Z", {"old": (93 * SECOND, 1), "new": (95 * SECOND, 1), "later": (200 * SECOND, 1)}
    )

    assert ["new", "later"] == seen.recent(100 * SECOND)
    assert ["old", "new", "later"] == seen.recent(None)


def test_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that opens a run has the folder alone, for as long as that takes, and leaves nothing in it."""
    monkeypatch.setattr(other_servers, "LOCK_SECONDS", 30.0)
    inside, most = 0, 0

    def take() -> None:
        nonlocal inside, most
        for _ in range(20):
            with turn(tmp_path):
                inside += 1
                most = max(most, inside)
                time.sleep(0)
                inside -= 1

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert 1 == most
    assert [] == list(tmp_path.iterdir())


def test_a_file_system_without_locks_is_no_reason_not_to_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the folder cannot be locked, or another process holds it for too long, the server goes on."""

    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", refuse)
    with turn(tmp_path):
        pass
    monkeypatch.undo()
    monkeypatch.setattr(other_servers, "LOCK_SECONDS", 0.05)
    with turn(tmp_path), turn(tmp_path):
        pass
