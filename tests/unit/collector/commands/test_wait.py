"""Tests of services/collector/commands/wait.py."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from services.collector.commands.wait import (
    DEFAULT_INTERVALS,
    ObservedRun,
    RunWatcher,
    StallDetector,
    WaitIntervals,
    refuse_feed_settings,
    wait,
)
from services.collector.publish.files import run_files
from services.collector.publish.terminal.printer import TerminalPrinter
from services.collector.verdict.snapshot import Snapshot, empty
from services.contract.summary import RunState, Summary, Verdict
from services.runtime.errors import BadSettings
from tests.builders.runs import RUN, good_run, judged, ledger_source, write

MADE = judged(good_run())
STALL_SECONDS = DEFAULT_INTERVALS.stall


def publish(volumes: Path, made: Summary) -> None:
    """Publish a summary."""
    (volumes / "summary").mkdir(exist_ok=True)
    run_files.store(volumes, Snapshot(made, empty(made.run)), newest=True)


class FakeWait:
    """A wait with a fake clock, which advances a second each time it is read."""

    def __init__(self, volumes: Path) -> None:
        self.volumes, self.printed, self.reported, self.seconds = volumes, list[str](), list[str](), 0.0
        self.stop = asyncio.Event()

    def now(self) -> float:
        """Return a time a second after the last one."""
        self.seconds += 1.0
        return self.seconds

    async def code(self) -> int:
        """Wait, and return the exit code."""
        printer = TerminalPrinter(self.volumes, self.printed.append)
        intervals = WaitIntervals(poll=0)
        return await wait(
            self.volumes, self.stop, printer, report=self.reported.append, now=self.now, intervals=intervals
        )


@pytest.mark.parametrize(("verdict", "code"), [("PASS", 0), ("FAIL", 99), ("INVALID", 98)])
async def test_the_verdict_is_the_exit_code(tmp_path: Path, verdict: Verdict, code: int) -> None:
    """The summary of a closed run is printed, and the code of its verdict returned."""
    write(good_run(), tmp_path)
    publish(tmp_path, msgspec.structs.replace(MADE, verdict=verdict))
    waiting = FakeWait(tmp_path)

    assert code == await waiting.code()
    assert waiting.printed[0].splitlines()[1].startswith(f"  {verdict}   ")


async def test_a_link_to_itself_among_the_logs_does_not_end_the_wait(tmp_path: Path) -> None:
    """A client may put anything into its folder: what cannot be measured is passed over."""
    write(good_run(), tmp_path)
    publish(tmp_path, MADE)
    link = tmp_path / "logs" / RUN / "client-1" / "link.jsonl"
    link.symlink_to(link)
    (tmp_path / "ledger" / RUN / "link.jsonl").symlink_to(link)

    assert 0 == await FakeWait(tmp_path).code()


async def test_an_earlier_verdict_is_not_returned_for_a_newer_run(tmp_path: Path) -> None:
    """The verdict of a closed run is not returned while a newer run is open."""
    write(good_run(), tmp_path)
    publish(tmp_path, MADE)
    newer = tmp_path / "ledger" / "20271122T073000Z"
    newer.mkdir()
    waiting = FakeWait(tmp_path)

    assert 105 == await waiting.code()
    assert [] == waiting.printed
    assert "collector: it does not keep up the summary of run 20271122T073000Z" in waiting.reported[-1]


async def test_an_interrupted_wait_is_aborted(tmp_path: Path) -> None:
    """An interrupted wait returns 105."""
    waiting = FakeWait(tmp_path)
    waiting.stop.set()

    assert 105 == await waiting.code()


async def test_a_wait_without_a_run_is_aborted(tmp_path: Path) -> None:
    """Progress is reported during the wait, and after a minute the reason for the abort."""
    waiting = FakeWait(tmp_path)

    assert 105 == await waiting.code()
    assert "waiting for a run to be opened" == waiting.reported[0]
    assert "no progress for 60 s, waiting for a run: none has been opened" == waiting.reported[-1]
    assert len(waiting.reported) <= 1 + STALL_SECONDS / 5


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
    """The reason names the service or the operator that has to act next."""
    made = msgspec.structs.replace(MADE, state=state, headline=headline)
    detector, status = StallDetector(0), ObservedRun(RUN, made, 10, 10)

    assert detector.add_status(status, 0) is None
    assert detector.add_status(status, STALL_SECONDS - 1) is None
    assert (detector.add_status(status, STALL_SECONDS) or "").startswith(named)


def test_growing_logs_without_a_summary_name_the_collector() -> None:
    """If the logs grow and the summary does not change, the reason names the collector."""
    detector = StallDetector(0)
    detector.add_status(ObservedRun(RUN, MADE, 10, 10), 0)

    assert "collector" in (detector.add_status(ObservedRun(RUN, MADE, 10, 99), STALL_SECONDS) or "")


def test_progress_restarts_the_interval() -> None:
    """A changed summary or a larger ledger restarts the interval."""
    detector = StallDetector(0)
    detector.add_status(ObservedRun(RUN, MADE, 10, 10), 0)
    changed = msgspec.structs.replace(MADE, headline="news")

    assert detector.add_status(ObservedRun(RUN, changed, 10, 10), 59) is None
    assert detector.add_status(ObservedRun(RUN, changed, 20, 10), 118) is None
    assert detector.add_status(ObservedRun(RUN, changed, 20, 10), 177) is None
    assert detector.add_status(ObservedRun(RUN, changed, 20, 10), 178) is not None


def test_an_external_feed_may_be_silent() -> None:
    """A silent external feed is no stall; a collector that does not update the summary is."""
    made = msgspec.structs.replace(MADE, books="one-sided", state="running")
    detector = StallDetector(0)

    assert [None] * 5 == [
        detector.add_status(ObservedRun(RUN, made, 0, 10), minute * STALL_SECONDS) for minute in range(5)
    ]
    assert detector.add_status(ObservedRun(RUN, made, 0, 99), 4 * STALL_SECONDS + 1) is None
    assert "collector" in (detector.add_status(ObservedRun(RUN, made, 0, 99), 6 * STALL_SECONDS) or "")


def test_the_first_run_is_waited_for(tmp_path: Path) -> None:
    """A run that is opened during the wait does not replace the one that is waited for."""
    write({ledger_source(): good_run()[ledger_source()]}, tmp_path)
    watcher = RunWatcher(tmp_path)
    first = watcher.status(0)
    (tmp_path / "ledger" / "20271122T073000Z").mkdir()

    assert (RUN, RUN) == (first.run, watcher.status(1).run)
    assert first.ledger_bytes > 0


def test_a_named_run_is_waited_for(tmp_path: Path) -> None:
    """A named run is waited for even if there is a newer one, and its verdict counts immediately."""
    for run in (RUN, "20271122T073000Z"):
        (tmp_path / "ledger" / run).mkdir(parents=True)
    watcher = RunWatcher(tmp_path, RUN)

    assert RUN == watcher.status(0).run
    assert watcher.is_decided(0)


def test_settings_that_the_clients_do_not_get_are_refused() -> None:
    """A setting of a feed beside a wait for clients elsewhere is refused; the fixed ones of the service are not."""
    refuse_feed_settings({"FEED": "foreign", "THRESHOLDS": "missing==0", "FEED_SEQ": " "})

    with pytest.raises(BadSettings) as refused:
        refuse_feed_settings({"FEED": "kraken", "FEED_SEQ": "$.a", "SERVER_URL": "ws://a", "VOLUMES": "/volumes"})
    assert ["SERVER_URL", "FEED", "FEED_SEQ"] == [problem.partition(":")[0] for problem in refused.value.problems]
    assert all("run -e" in problem for problem in refused.value.problems)
