"""Tests of the exchange of decisions and ledgers between servers that have a folder each."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from services.contract import ledger
from services.runtime.saturation import SaturationMonitor
from services.server.jetstream import exchange
from services.server.jetstream.exchange import JetStreamExchange
from services.server.runs.run import Run
from services.server.runs.run_store import RunStore
from tests.poll import poll_until
from tests.unit.server.fakes import START_US, StoppedClock, feed, settings
from tests.unit.server.jetstream.fakes import FakeClient, FakeStream

RUN, OTHER = "20261122T073000Z", "0123456789ab"

MakeServer = Callable[[str], RunStore]


@pytest.fixture
def stream() -> FakeStream:
    """A stream that all servers of a test use."""
    return FakeStream()


@pytest.fixture
def server(stream: FakeStream, tmp_path: Path) -> Iterator[MakeServer]:
    """Return a function that starts the store of a server with a folder of its own."""
    exchanges = []

    def start(name: str) -> RunStore:
        volumes = tmp_path / name
        started = JetStreamExchange(FakeClient(stream), volumes / "ledger", name * 12)
        started.start()
        exchanges.append(started)
        store = RunStore(
            volumes / "ledger", feed(), settings(volumes), StoppedClock(START_US), SaturationMonitor(),
            boot="boot", instance=name * 12, exchange=started,
        )  # fmt: skip
        store._process = None
        return store

    yield start
    for started in exchanges:
        started.close(0.1)


def copies_are_equal(*stores: RunStore) -> bool:
    """Return whether every folder has the same ledgers, one for each server."""
    contents = [{path.name: path.read_bytes() for path in store.root.glob("*/*.jsonl")} for store in stores]
    return len(contents[0]) == len(stores) and all(one == contents[0] for one in contents)


def test_servers_play_one_run(server: MakeServer) -> None:
    """A second server joins the run of the first, both enter a decision once, and their folders become equal."""
    one, other = server("a"), server("b")
    first = one.open_or_continue()
    second = other.open_or_continue()
    assert first.name == second.name
    assert first.start()
    poll_until(lambda: _state_after_looking(second) == "running", "the other starts too", 5, 0.01)
    for run in (first, second):
        run.ledger.sync()
    poll_until(lambda: copies_are_equal(one, other), "both folders have both ledgers", 5, 0.01)

    paces = [[entry for entry in _entries(one, run) if isinstance(entry, ledger.PaceEntry)] for run in ("a", "b")]
    assert 1 == len(paces[0])
    assert [(pace.first, pace.due_us, pace.rate) for pace in paces[0]] == [
        (pace.first, pace.due_us, pace.rate) for pace in paces[1]
    ]


def _state_after_looking(run: Run) -> str:
    run.follow()
    return run.recorded.state


def _entries(store: RunStore, name: str) -> list[ledger.Entry]:
    (path,) = store.root.glob(f"*/{name * 12}.jsonl")
    return [ledger.codec.decode(line)[1] for line in path.read_bytes().splitlines(keepends=True)]


def test_one_of_two_servers_opens_a_run(server: MakeServer, stream: FakeStream) -> None:
    """Of two servers that find no run, one claims it and the other joins, though its claim was sent first."""
    one, other = server("a"), server("b")
    seen = other.survey()
    first = one.open_or_continue()

    assert first.name == other.open_or_continue(seen).name
    assert 1 == sum(message.subject == "test.run" for message in stream.messages)


def test_a_run_that_was_decided_long_ago_is_played_though_its_folder_is_missing(server: MakeServer) -> None:
    """A server that was held up while the next run was decided makes its own folder, and opens no other run."""
    one, other = server("a"), server("b")
    first, second = one.open_or_continue(), other.open_or_continue()
    following = one.open_new(first)
    poll_until(lambda: _next_after_looking(second), "the decision is read", 5, 0.01)
    poll_until(lambda: len(list(other.root.glob(f"{following.name}/*.jsonl"))) == 1, "the ledger is copied", 5, 0.01)
    shutil.rmtree(other.root / following.name)
    other.clock.not_before(first.clock.now_us() + 60_000_000)

    assert following.name == other.open_new(second).name


def _next_after_looking(run: Run) -> str:
    run.follow()
    return run.agreement.next_run


def test_a_claim_without_an_answer_counts(server: MakeServer, stream: FakeStream) -> None:
    """A server whose claim was stored without an answer opens that run, and no second one."""
    stream.lost_answers = 1
    run = server("a").open_or_continue()

    assert [run.name.encode()] == [message.data for message in stream.messages if message.subject == "test.run"]


def test_a_server_that_starts_again_sends_what_is_left(server: MakeServer, stream: FakeStream, tmp_path: Path) -> None:
    """Synced lines that a crash kept from the stream are sent when a server starts in the same folder."""
    stream.store("test.run", RUN.encode())
    folder = tmp_path / "a" / "ledger" / RUN
    folder.mkdir(parents=True)
    (folder / f"{OTHER}.jsonl").write_bytes(b"one\ntwo\ntorn")
    stream.store(f"test.ledger.{RUN}.{OTHER}", b"one\n", {"Streamgauge-Offset": "0"})
    server("a")
    copy = server("b").root / RUN / f"{OTHER}.jsonl"

    poll_until(lambda: copy.exists() and copy.read_bytes() == b"one\ntwo\n", "the copy is complete", 5, 0.01)
    assert b"one\ntwo\ntorn" == (folder / f"{OTHER}.jsonl").read_bytes()


def test_a_sign_of_life_touches_the_copy(server: MakeServer) -> None:
    """When a server touches its ledger, its copies are touched; nothing else is stored for it."""
    one, other = server("a"), server("b")
    run = one.open_or_continue()
    copy = other.root / run.name / f"{'a' * 12}.jsonl"
    poll_until(copy.exists, "the ledger is copied", 5, 0.01)
    os.utime(copy, (1, 1))
    run.ledger.touch()

    poll_until(lambda: copy.stat().st_mtime > time.time() - 60, "the copy is touched", 5, 0.01)


@pytest.mark.parametrize(
    ("subject", "headers"),
    [
        (f"test.ledger.{RUN}.{OTHER}", {}),
        (f"test.ledger.{RUN}.{OTHER}", {"Streamgauge-Offset": "-1"}),
        (f"test.ledger.{RUN}.{OTHER}", {"Streamgauge-Offset": "7"}),
        (f"test.ledger.{RUN}.../x", {"Streamgauge-Offset": "0"}),
        ("test.ledger.../..", {"Streamgauge-Offset": "0"}),
        (f"test.ledger.{RUN}.{OTHER}x", {"Streamgauge-Offset": "0"}),
        (f"test.ledger.{RUN}", {"Streamgauge-Offset": "0"}),
        ("test.decided", {}),
        ("test.run", {}),
        ("test.decided.x", {}),
    ],
)
def test_what_others_publish_changes_nothing(
    server: MakeServer, stream: FakeStream, tmp_path: Path, subject: str, headers: dict[str, str]
) -> None:
    """A message that no server of this project has published makes no file, and the server reads on."""
    stream.store(subject, b"../../x", headers)
    store = server("a")
    before = sorted(tmp_path.rglob("*.jsonl"))
    run = store.open_or_continue()

    assert [] == before
    assert [f"{'a' * 12}.jsonl"] == [path.name for path in (store.root / run.name).glob("*.jsonl")]
    assert not list(tmp_path.glob("*x"))


def test_a_server_without_an_answer_does_not_decide(server: MakeServer, stream: FakeStream) -> None:
    """While no node answers nothing is decided, though no other server is there, and later it is."""
    run = server("a").open_or_continue()
    stream.is_down = True
    assert not run.start()
    assert "waiting" == _state_after_looking(run)
    stream.is_down = False

    poll_until(run.start, "the start is decided", 5, 0.05)
    assert "running" == _state_after_looking(run)


def test_a_stream_may_remove_old_claims(
    server: MakeServer, stream: FakeStream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run is opened although the stream has removed the claims that this server has read."""
    monkeypatch.setattr(exchange, "OPENED_SECONDS", 0.0)
    stream.store("test.run", RUN.encode())
    store = server("a")
    stream.messages[0] = stream.messages[0]._replace(subject="test.removed")

    assert RUN != store.open_or_continue().name
