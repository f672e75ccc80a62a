"""Tests of services/collector/commands/wait.py."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from services.collector.commands.wait import PATIENCE_SECONDS, RunStatus, RunWatcher, StallDetector, wait
from services.collector.publish.files import run_files
from services.collector.publish.terminal.printer import TerminalPrinter
from services.collector.verdict.snapshot import Snapshot, empty
from services.contract.summary import RunState, Summary, Verdict
from tests.builders.runs import RUN, good_run, judged, ledger_source, write

MADE = judged(good_run())


def stored(volumes: Path, made: Summary) -> None:
    """Publish a summary."""
    (volumes / "summary").mkdir(exist_ok=True)
    run_files.store(volumes, Snapshot(made, empty(made.run)), newest=True)


class Waiting:
    """A wait with a clock of its own: each look takes a second."""

    def __init__(self, volumes: Path) -> None:
        self.volumes, self.said, self.told, self.seconds = volumes, list[str](), list[str](), 0.0
        self.stop = asyncio.Event()

    def now(self) -> float:
        """Return a time that flies."""
        self.seconds += 1.0
        return self.seconds

    async def code(self) -> int:
        """Wait, and return the exit code."""
        speaker = TerminalPrinter(self.volumes, self.said.append)
        return await wait(self.volumes, self.stop, speaker, tell=self.told.append, now=self.now)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look without pausing."""
    monkeypatch.setattr("services.collector.commands.wait.POLL_SECONDS", 0)


@pytest.mark.parametrize(("verdict", "code"), [("PASS", 0), ("FAIL", 99), ("INVALID", 98)])
async def test_the_verdict_is_the_exit_code(tmp_path: Path, verdict: Verdict, code: int) -> None:
    """A closed run is shown and its verdict's code returned."""
    write(good_run(), tmp_path)
    stored(tmp_path, msgspec.structs.replace(MADE, verdict=verdict))
    waiting = Waiting(tmp_path)

    assert code == await waiting.code()
    assert waiting.said[0].splitlines()[1].startswith(f"  {verdict}   ")


async def test_an_earlier_verdict_is_not_returned_for_a_newer_run(tmp_path: Path) -> None:
    """While a newer run is open the verdict of a closed one says nothing."""
    write(good_run(), tmp_path)
    stored(tmp_path, MADE)
    newer = tmp_path / "ledger" / "20271122T073000Z"
    newer.mkdir()
    waiting = Waiting(tmp_path)

    assert 105 == await waiting.code()
    assert [] == waiting.said
    assert "collector: it does not keep up the summary of run 20271122T073000Z" in waiting.told[-1]


async def test_an_interrupted_wait_is_aborted(tmp_path: Path) -> None:
    """Ctrl-C gives 105."""
    waiting = Waiting(tmp_path)
    waiting.stop.set()

    assert 105 == await waiting.code()


async def test_no_run_at_all_is_given_up(tmp_path: Path) -> None:
    """Progress is told while waiting; after a minute it is said that none came."""
    waiting = Waiting(tmp_path)

    assert 105 == await waiting.code()
    assert "waiting for a run to be opened" == waiting.told[0]
    assert "no progress for 60 s, waiting for a run: none has been opened" == waiting.told[-1]
    assert len(waiting.told) <= 1 + PATIENCE_SECONDS / 5


@pytest.mark.parametrize(
    ("state", "headline", "named"),
    [
        ("waiting", "waiting: 2 of 5 clients", "client: 2 of 5 clients subscribed"),
        ("running", "", "client: run"),
        ("paused", "", "nothing: run"),
        ("ended", "", "collector: run"),
    ],
)
def test_the_missing_service_is_named(state: RunState, headline: str, named: str) -> None:
    """Who has to move next is who is waited for."""
    made = msgspec.structs.replace(MADE, state=state, headline=headline)
    patience, sight = StallDetector(0), RunStatus(RUN, made, 10, 10)

    assert patience.look(sight, 0) is None
    assert patience.look(sight, PATIENCE_SECONDS - 1) is None
    assert (patience.look(sight, PATIENCE_SECONDS) or "").startswith(named)


def test_growing_logs_without_a_summary_are_the_collectors_fault() -> None:
    """Clients write and nobody sums up."""
    patience = StallDetector(0)
    patience.look(RunStatus(RUN, MADE, 10, 10), 0)

    assert "collector" in (patience.look(RunStatus(RUN, MADE, 10, 99), PATIENCE_SECONDS) or "")


def test_any_progress_gives_new_patience() -> None:
    """A changed summary or a grown ledger is progress."""
    patience = StallDetector(0)
    patience.look(RunStatus(RUN, MADE, 10, 10), 0)
    changed = msgspec.structs.replace(MADE, headline="news")

    assert patience.look(RunStatus(RUN, changed, 10, 10), 59) is None
    assert patience.look(RunStatus(RUN, changed, 20, 10), 118) is None
    assert patience.look(RunStatus(RUN, changed, 20, 10), 177) is None
    assert patience.look(RunStatus(RUN, changed, 20, 10), 178) is not None


def test_a_foreign_feed_may_be_silent() -> None:
    """While clients listen to a feed that is not ours nobody has to move; a collector that stands still still has."""
    made = msgspec.structs.replace(MADE, books="one-sided", state="running")
    patience = StallDetector(0)

    assert [None] * 5 == [patience.look(RunStatus(RUN, made, 0, 10), minute * PATIENCE_SECONDS) for minute in range(5)]
    assert patience.look(RunStatus(RUN, made, 0, 99), 4 * PATIENCE_SECONDS + 1) is None
    assert "collector" in (patience.look(RunStatus(RUN, made, 0, 99), 6 * PATIENCE_SECONDS) or "")


def test_the_first_run_seen_is_the_one(tmp_path: Path) -> None:
    """A run that is opened while waiting does not take the place of the one waited for."""
    write({ledger_source(): good_run()[ledger_source()]}, tmp_path)
    eyes = RunWatcher(tmp_path)
    first = eyes.look(0)
    (tmp_path / "ledger" / "20271122T073000Z").mkdir()

    assert (RUN, RUN) == (first.run, eyes.look(1).run)
    assert first.ledger_bytes > 0


def test_a_named_run_is_the_one(tmp_path: Path) -> None:
    """A run that is named is waited for though there is a newer one, and its verdict counts at once."""
    for run in (RUN, "20271122T073000Z"):
        (tmp_path / "ledger" / run).mkdir(parents=True)
    eyes = RunWatcher(tmp_path, RUN)

    assert RUN == eyes.look(0).run
    assert eyes.is_settled(0)
