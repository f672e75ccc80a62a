"""Kills the collector while it writes the summary: readers never see a partial file, and the final one is right."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chaos.containers.container_lookup import COLLECTOR, Containers
from chaos.containers.trace import attached, require_strace
from chaos.containers.two_clients import NAMES, assert_run_is_whole
from chaos.tally import Tally
from services.collector.commands.verify import check
from services.collector.publish.files.run_files import CLIENTS, JUNIT, MARKDOWN, REPORT, SUMMARY, TIMELINE
from services.contract.summary import decode
from tests.integration.stack import Stack
from tests.poll import poll_until
from tests.readers import undated

pytestmark = [pytest.mark.containers, pytest.mark.slow]

TIMES, RATE, RECORDS, FINAL_RATE = 10, 50, 12_000, 2000
CALLS = ["close", "rename", "write"]
"""The system calls at which it is killed, in turn: before the rename, in it, and while the text is written."""


class Reader:
    """Reads the summaries in a loop, as any other program may.

    Attributes:
        whole: how many reads gave a complete summary, by file.
        broken: description of every read that did not.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self.whole: Counter[str] = Counter()
        self.broken: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)

    def _read(self) -> None:
        while not self._stop.wait(0.005):
            for path in [self._root / "summary.json", *self._root.glob("*/summary.json")]:
                try:
                    text = path.read_bytes()
                except FileNotFoundError:
                    continue
                try:
                    decode(text)
                    self.whole[path.name if path.parent == self._root else "of the run"] += 1
                except ValueError as problem:
                    self.broken.append(f"{path}: {problem}: {text[-80:]!r}")

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Read in the background inside a ``with`` block."""
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join(10)


def kill_in_call(containers: Containers, folder: Path, call: str, output: Path) -> tuple[list[str], float]:
    """Kill the collector at its next ``call`` on the new summary file.

    Returns strace's lines about the call, and when the collector was started again (epoch seconds).
    """
    pid, init = containers.service_pid(COLLECTOR), containers.init_pid(COLLECTOR)
    run = max(path.name for path in (folder / "ledger").iterdir() if path.is_dir())
    place = f"/volumes/summary/{run}/.summary.json.new"
    with attached(pid, output, call, "signal=SIGKILL", place) as trace:
        poll_until(lambda: not Path(f"/proc/{pid}").exists(), f"the collector was killed in {call}", 20, 0.02)
        calls = [line for line in trace.lines() if f"{call}(" in line and ".summary.json.new" in line]
    return calls, containers.wait_running(COLLECTOR, instead_of=init)


def published_again(stack: Stack, since: float) -> float:
    """Wait until the collector has written a summary after ``since`` (epoch seconds); return the seconds it took."""
    path = stack.volumes.root / "summary" / stack.volumes.newest() / "summary.json"

    def written() -> float:
        at = path.stat().st_mtime
        return at if at > since else 0.0

    return round(poll_until(written, "the collector has published again", 60) - since, 3)


def test_a_summary_is_whole_or_not_there(
    folder: Path, engine: None, tally: Tally, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A collector killed ten times inside the write of a summary leaves only whole ones, and the last one is right."""
    require_strace()
    reader = Reader(folder / "summary")
    with Stack(folder, RATE=RATE, RECORDS=RECORDS, CLIENTS=len(NAMES), GRACE_SECONDS=20) as stack, reader.reading():
        stack.up(clients=len(NAMES))
        containers = Containers(stack)
        stack.receipted(10)
        poll_until(lambda: stack.volumes.summary() is not None, "there is a summary", 20)
        for number in range(TIMES):
            call = CALLS[number % len(CALLS)]
            calls, since = kill_in_call(containers, folder, call, tmp_path / "strace")
            assert calls, call
            recovery_s = published_again(stack, since)
            with capsys.disabled():
                print(f"killed in {call}, published again after {recovery_s} s")
            tally.add_fault("kill-collector-writing", str(COLLECTOR))
        summary = assert_run_is_whole(stack, tally, RECORDS, FINAL_RATE)
        verified, *others = check(folder)
    assert [] == others
    assert undated(verified.summary) == undated(summary)
    assert [] == reader.broken
    assert {"summary.json", "of the run"} == set(reader.whole)
    files = {CLIENTS, JUNIT, MARKDOWN, REPORT, SUMMARY, TIMELINE}
    assert files == set(os.listdir(folder / "summary" / summary.run)) - {".summary.json.new"}
