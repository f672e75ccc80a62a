"""Measures speed and memory of the collector's ``verify`` on large volumes folders.

Another process writes the folder: complete logs of five clients in blocks of 1,000 records of the real feed, in
segments of 64 MiB, and the ledger.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import Figures, InvalidRun, Metric, children, cpu_seconds, environment
from benchmarks.scale.run_files import Ledger, Log, batch
from services.collector.commands.parallel_reading import cores
from services.contract import blocklog
from services.server.feed.generator import FeedGenerator

CLIENTS = 5
BLOCK = 1000
_BATCH = 100
_MEASURABLE = 1_000
"""Smallest size in MB at which the start of the interpreter does not affect the speed."""
_EVERY_ROUND = 2_000
"""Largest size in MB that is verified in every round."""
_ROOM = 2.0
"""Free disk space required, as a multiple of the size."""
_POLL_SECONDS = 0.02
_DEADLINE_SECONDS = 600.0
_COLD = 20
"""Size in MB for which the start of the process counts: that of a run of a minute."""


class VerifyCost(NamedTuple):
    """Time and memory of one `verify`."""

    seconds: float
    cpu_seconds: float
    peak_bytes: int


class Metrics(NamedTuple):
    """The metrics of one size."""

    speed: Metric
    per_core: Metric
    memory: Metric
    seconds: Metric
    gain: Metric

    @classmethod
    def of(cls, megabytes: int) -> Metrics:
        """Return the metrics of a folder with this size."""
        what = f"collector, `verify` of {megabytes:,} MB"
        return cls(
            speed=Metric(f"{what}", "MB/s", "more"),
            per_core=Metric(f"{what}: per CPU second", "MB", "more", 250 if megabytes >= _MEASURABLE else None),
            memory=Metric(f"{what}: peak memory", "MiB", "less", 64),
            seconds=Metric(f"{what}: from the start of the process to its end", "s", "less", 0.12),
            gain=Metric(f"{what}: time of one process ÷ time of two", "times", "more", 1.8),
        )


def measure(figures: Figures, folder: Path, sizes: tuple[int, ...]) -> None:
    """Write and verify a folder of every size; sizes that take minutes only in the first round."""
    for megabytes in sizes:
        if megabytes > _EVERY_ROUND and Metrics.of(megabytes).speed in figures.values:
            continue
        size_folder = folder / f"{megabytes}"
        size_folder.mkdir(parents=True, exist_ok=True)
        if shutil.disk_usage(size_folder).free < megabytes * 1e6 * _ROOM:
            print(f"verify of {megabytes:,} MB skipped: not enough disk space", file=sys.stderr, flush=True)
            continue
        subprocess.run(
            [sys.executable, "-m", "benchmarks.scale.verifying", str(size_folder), str(megabytes)],
            env=environment(),
            check=True,
            timeout=_DEADLINE_SECONDS,
        )
        size, cost = _size(size_folder), _verify(size_folder)
        metrics = Metrics.of(megabytes)
        figures.add(metrics.speed, size / cost.seconds / 1e6)
        figures.add(metrics.per_core, size / cost.cpu_seconds / 1e6)
        figures.add(metrics.memory, cost.peak_bytes / 2**20)
        if megabytes == _COLD:
            figures.add(metrics.seconds, _seconds(size_folder))
        if _MEASURABLE <= megabytes <= _EVERY_ROUND and cores() > 1:
            figures.add(metrics.gain, _seconds(size_folder, "--jobs", "1") / _seconds(size_folder, "--jobs", "2"))
        shutil.rmtree(size_folder)


def _seconds(folder: Path, *options: str) -> float:
    """Verify a folder without a look at the process meanwhile; return the seconds that it took."""
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "services.collector", "verify", str(folder), *options],
        env=environment(VOLUMES=folder),
        stdout=subprocess.DEVNULL,
        check=True,
        timeout=_DEADLINE_SECONDS,
    )
    return time.perf_counter() - began


def _verify(folder: Path) -> VerifyCost:
    began = time.perf_counter()
    verifying = subprocess.Popen(
        [sys.executable, "-m", "services.collector", "verify", str(folder)],
        env=environment(VOLUMES=folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    peaks: dict[int, int] = {}
    cpu_by_process: dict[int, float] = {}
    while verifying.poll() is None:
        for pid in (verifying.pid, *children(verifying.pid)):
            peaks[pid] = peak_bytes(pid) or peaks.get(pid, 0)
            cpu_by_process[pid] = cpu_seconds(pid) or cpu_by_process.get(pid, 0.0)
        if time.perf_counter() - began > _DEADLINE_SECONDS:
            verifying.kill()
        time.sleep(_POLL_SECONDS)
    seconds = time.perf_counter() - began
    output = verifying.communicate()[0].decode(errors="replace")
    if verifying.returncode or "residual 0" not in output:
        raise InvalidRun(f"verify ended with code {verifying.returncode}:\n{output[-2000:]}")
    # Not from wait4(): its peak includes this process's memory at the time of the fork.
    return VerifyCost(seconds, sum(cpu_by_process.values()), sum(peaks.values()))


def peak_bytes(pid: int) -> int | None:
    """Return the most memory that a process has used, None if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), None)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def write(volumes: Path, size: int) -> None:
    """Write ledger and logs of a run, with about ``size`` bytes of logs."""
    feed = FeedGenerator("person", "en_US", 42)
    logs = [Log(volumes, f"client-{number}", number, BLOCK) for number in range(1, CLIENTS + 1)]
    first = messages_of(feed, 1)
    measured = sum(len(bytes(message.record)) + 110 for message in first)
    blocks = max(1, round(size / CLIENTS / measured))
    ledger = Ledger(volumes, blocks * BLOCK, logs, BLOCK)
    for number in range(blocks):
        messages = messages_of(feed, number * BLOCK + 1) if number else first
        for log in logs:
            ledger.put(log.put(messages))
    for log in logs:
        log.finish()
    ledger.finish()


def messages_of(feed: FeedGenerator, first: int) -> list[blocklog.OwnMessage]:
    """Return the messages of the block that begins at ``first``."""
    records = feed.records(first, BLOCK)
    return [
        message
        for start in range(0, BLOCK, _BATCH)
        for message in batch(records[start : start + _BATCH], first + start)
    ]


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]) * 1_000_000)
