"""Tests of services/collector/commands/wait.py."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from services.collector.commands.run_watcher import (
    DEFAULT_INTERVALS,
    ObservedRun,
    RunWatcher,
    WaitIntervals,
)
from services.collector.commands.wait import (
    StallDetector,
    refuse_feed_settings,
    wait,
    wait_for_next,
)
from services.collector.publish.files import run_files
from services.collector.publish.terminal.printer import TerminalPrinter
from services.collector.verdict.snapshot import Snapshot, empty
from services.collector.verdict.summary import ABANDONED
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
        watcher = RunWatcher(self.volumes, None, intervals)
        report = self.reported.append
        return await wait(self.volumes, self.stop, printer, watcher, report=report, now=self.now, intervals=intervals)

    async def next_code(self, runs: int = 1) -> int:
        """Wait for runs that are not over yet, and return the exit code."""
        printer, report = TerminalPrinter(self.volumes, self.printed.append), self.reported.append
        intervals = WaitIntervals(poll=0)
        return await wait_for_next(
            self.volumes, self.stop, printer, runs, report=report, now=self.now, intervals=intervals
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
    assert (
        "no progress for 60 s, waiting for a run: none has been opened;"
        " a service that refuses its settings logs the reason" == waiting.reported[-1]
    )
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


def test_a_run_that_begins_later_is_waited_for() -> None:
    """A run of START_AT makes no progress before its time, which is no stall."""
    detector = StallDetector(0)
    made = msgspec.structs.replace(MADE, state="waiting", headline="waiting: 1 client")
    ahead, begun = (ObservedRun(RUN, made, 10, 10, is_ahead=is_ahead) for is_ahead in (True, False))

    assert [None] * 4 == [detector.add_status(ahead, now) for now in (0, 100, 200, 300)]
    assert detector.add_status(begun, 300 + STALL_SECONDS) is not None


def test_the_name_of_a_run_says_whether_it_begins_later(tmp_path: Path) -> None:
    """A run whose name is a time that has not come has not begun."""
    for name, is_ahead in (("20000101T000000Z", False), ("21990101T000000Z", True)):
        (tmp_path / name / "ledger" / name).mkdir(parents=True)

        assert is_ahead is RunWatcher(tmp_path / name).status(0.0).is_ahead


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


LATER, LATEST = "20271122T073000Z", "20271122T074000Z"


def open_run(volumes: Path, run: str) -> None:
    """Open a run: its ledger is there, and no summary."""
    (volumes / "ledger" / run).mkdir(parents=True)


class Publishes(FakeWait):
    """A wait during which runs are opened and closed, one at each report of progress."""

    def __init__(self, volumes: Path, *events: tuple[str, Verdict, list[str]]) -> None:
        super().__init__(volumes)
        self._events = list(events)

    def now(self) -> float:
        """Advance the clock; every tenth second publish the next summary."""
        if int(self.seconds) % 10 == 9 and self._events:
            run, verdict, reasons = self._events.pop(0)
            (self.volumes / "ledger" / run).mkdir(parents=True, exist_ok=True)
            publish(self.volumes, msgspec.structs.replace(MADE, run=run, verdict=verdict, reasons=reasons))
        return super().now()


async def test_a_verdict_from_before_is_never_returned(tmp_path: Path) -> None:
    """A run that was over when the wait for the next one began is no verdict, however long the next one takes."""
    write(good_run(), tmp_path)
    publish(tmp_path, MADE)
    waiting = FakeWait(tmp_path)

    assert 105 == await waiting.next_code()
    assert f"none has been opened since this wait began, and {RUN} was over before;" in waiting.reported[-1]
    assert [] == waiting.printed


async def test_an_ended_run_without_a_summary_is_over(tmp_path: Path) -> None:
    """A run whose ledger has an end is over, even if no collector has closed it."""
    write(good_run(), tmp_path)
    waiting = Publishes(tmp_path, (RUN, "PASS", []), (LATER, "FAIL", []))

    assert 99 == await waiting.next_code()


async def test_the_next_run_is_waited_for(tmp_path: Path) -> None:
    """The verdict of the run that is opened during the wait is returned."""
    write(good_run(), tmp_path)
    publish(tmp_path, MADE)
    waiting = Publishes(tmp_path, (LATER, "INVALID", []))

    assert 98 == await waiting.next_code()
    assert 1 == len(waiting.printed)


async def test_a_continued_run_is_waited_for(tmp_path: Path) -> None:
    """A run that was open when the wait began counts, unless it is abandoned for another one."""
    open_run(tmp_path, RUN)

    assert 0 == await Publishes(tmp_path, (RUN, "PASS", []), (LATER, "FAIL", [])).next_code()


async def test_an_abandoned_run_is_passed_over(tmp_path: Path) -> None:
    """An interrupted run that the server does not continue is not the run of this start."""
    open_run(tmp_path, RUN)
    waiting = Publishes(tmp_path, (RUN, "INVALID", [ABANDONED]), (LATER, "PASS", []))

    assert 0 == await waiting.next_code()


async def test_as_many_runs_as_are_played_are_waited_for(tmp_path: Path) -> None:
    """With several runs the worst verdict is the exit code, and each is printed."""
    waiting = Publishes(tmp_path, (RUN, "PASS", []), (LATER, "INVALID", []), (LATEST, "PASS", []))

    assert 98 == await waiting.next_code(3)
    assert 3 == len(waiting.printed)


def test_settings_that_the_clients_do_not_get_are_refused() -> None:
    """A setting of a feed beside a wait for clients elsewhere is refused; the fixed ones of the service are not."""
    refuse_feed_settings({"FEED": "foreign", "THRESHOLDS": "missing==0", "FEED_SEQ": " "})

    with pytest.raises(BadSettings) as refused:
        refuse_feed_settings({"FEED": "kraken", "FEED_SEQ": "$.a", "SERVER_URL": "ws://a", "VOLUMES": "/volumes"})
    assert ["SERVER_URL", "FEED", "FEED_SEQ"] == [problem.partition(":")[0] for problem in refused.value.problems]
    assert all("run -e" in problem for problem in refused.value.problems)
