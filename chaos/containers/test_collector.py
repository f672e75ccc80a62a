"""A collector that is killed while it writes the summary: a reader never meets a part of one, and the last is right."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chaos.containers.container_lookup import COLLECTOR, Containers
from chaos.containers.fast_forward import hurry
from chaos.containers.invariants import assert_all_held, held
from chaos.containers.trace import attached, need_strace
from chaos.tally import Tally
from services.collector.commands.verify import check
from services.collector.publish.files.run_files import CLIENTS, JUNIT, MARKDOWN, REPORT, SUMMARY, TIMELINE
from services.contract.summary import decode
from tests.integration.stack import Stack
from tests.poll import poll_until
from tests.readers import undated

pytestmark = [pytest.mark.containers, pytest.mark.slow]

TIMES, RATE, RECORDS, HURRIED = 10, 50, 12_000, 2000
NAMES = ["client-1", "client-2"]
MOMENTS = ["close", "rename", "write"]
"""The calls at which it is killed, in turn: before the rename, in it, and while the text is written."""


class Reader:
    """Reads the summaries all the time, as anybody may; ``whole`` of them were, ``broken`` ones say why not."""

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
        """Read for a while."""
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join(10)


def kill_inside(containers: Containers, folder: Path, moment: str, output: Path) -> tuple[list[str], float]:
    """Kill the collector at its next call of this kind on the new summary; return those calls, and when it is back."""
    pid, init = containers.service(COLLECTOR), containers.init(COLLECTOR)
    run = max(path.name for path in (folder / "ledger").iterdir() if path.is_dir())
    place = f"/volumes/summary/{run}/.summary.json.new"
    with attached(pid, output, moment, "signal=SIGKILL", place) as trace:
        poll_until(lambda: not Path(f"/proc/{pid}").exists(), f"the collector was killed in {moment}", 20, 0.02)
        struck = [line for line in trace.lines() if f"{moment}(" in line and ".summary.json.new" in line]
    return struck, containers.back(COLLECTOR, instead_of=init)


def published_again(stack: Stack, since: float) -> float:
    """Wait until the collector has published again since a time (epoch seconds); return how many seconds it took."""
    path = stack.volumes.root / "summary" / stack.volumes.newest() / "summary.json"

    def written() -> float:
        at = path.stat().st_mtime
        return at if at > since else 0.0

    return round(poll_until(written, "the collector has published again", 60) - since, 3)


def test_a_summary_is_whole_or_not_there(
    folder: Path, engine: None, tally: Tally, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Killed ten times inside the write of a summary, the collector leaves whole ones, and the last one is right."""
    need_strace()
    reader = Reader(folder / "summary")
    with Stack(folder, RATE=RATE, RECORDS=RECORDS, CLIENTS=len(NAMES), GRACE_SECONDS=20) as stack, reader.reading():
        stack.up(clients=len(NAMES))
        containers = Containers(stack)
        stack.receipted(10)
        poll_until(lambda: stack.volumes.summary() is not None, "there is a summary", 20)
        for number in range(TIMES):
            moment = MOMENTS[number % len(MOMENTS)]
            struck, since = kill_inside(containers, folder, moment, tmp_path / "strace")
            assert struck, moment
            back = published_again(stack, since)
            with capsys.disabled():
                print(f"killed in {moment}, published again after {back} s")
            tally.fault("kill-collector-writing", str(COLLECTOR))
        hurry(stack, HURRIED)
        stack.wait(timeout=120)
        counted = held(stack.volumes, RECORDS, NAMES)
        tally.held(counted.checked, lost=counted.lost, duplicated=counted.duplicated, undetected=counted.undetected)
        found = assert_all_held(stack.volumes, RECORDS, NAMES)
        verified, *others = check(folder)
    assert [] == others
    assert undated(verified.summary) == undated(found)
    assert [] == reader.broken
    assert {"summary.json", "of the run"} == set(reader.whole)
    files = {CLIENTS, JUNIT, MARKDOWN, REPORT, SUMMARY, TIMELINE}
    assert files == set(os.listdir(folder / "summary" / found.run)) - {".summary.json.new"}
