"""Measures the whole system as processes, with ``python -m services``; figures come from its ledger and logs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.measure import Figures, InvalidRun, Metric, children, cpu_seconds, environment, free_port
from services.contract import ledger, summary
from services.contract.errors import LineError
from services.contract.scalars import utc_us

CLIENTS = 5
LOAD = f"{CLIENTS} clients, RATE=0 BLOCK_SIZES=1000 FSYNC=block"
VERIFIED = Metric(f"end to end, {LOAD}: synced and receipted", "deliveries/s", "more", 600_000)
RECEIVED = Metric(f"end to end, {LOAD}: received", "deliveries/s", "more")
LOGGED = Metric(f"end to end, {LOAD}: written to the logs", "MB/s", "more")
SERVER = Metric(f"end to end, {LOAD}: per server CPU second", "deliveries", "more")
CLIENT = Metric(f"end to end, {LOAD}: per client CPU second", "deliveries", "more")
FOLLOWED = Metric(f"end to end, {LOAD}: per collector CPU second, as it follows", "deliveries", "more")
COLLECTOR = Metric("collector, `verify` of that run, start included", "MB/s", "more", 250)
FIXED_RATE = f"latency from due, 1,000 records/s × {CLIENTS} clients"
P50 = Metric(f"{FIXED_RATE}: p50", "ms", "less")
P99 = Metric(f"{FIXED_RATE}: p99", "ms", "less", 2)
P99_9 = Metric(f"{FIXED_RATE}: p99.9", "ms", "less", 10)

_DEADLINE_SECONDS = 300


class FinishedRun(NamedTuple):
    """A run that has ended: its summary, the CPU time of its processes by module, and its folder."""

    summary: summary.Summary
    cpu_seconds: dict[str, float]
    folder: Path


def full_speed(figures: Figures, folder: Path, records: int) -> None:
    """Run at full speed, then verify the files."""
    run = _run(folder, RATE=0, RECORDS=records, BLOCK_SIZES=1000, FSYNC="block")
    entries = list(_ledger(run))
    began = min(entry.due_us for entry in entries if isinstance(entry, ledger.PaceEntry))
    receipted = max(utc_us(entry.at) for entry in entries if isinstance(entry, ledger.ReceiptEntry))
    received = max(_last_received_us(path) for path in (folder / "logs").glob("*/*/*.jsonl"))
    deliveries, logged = run.summary.totals.received, _size(folder / "logs")
    figures.add(VERIFIED, deliveries / (receipted - began) * 1e6)
    figures.add(RECEIVED, deliveries / (received - began) * 1e6)
    figures.add(LOGGED, logged / (receipted - began))
    figures.add(SERVER, deliveries / run.cpu_seconds["services.server"])
    figures.add(CLIENT, deliveries / run.cpu_seconds["services.client"])
    figures.add(FOLLOWED, deliveries / run.cpu_seconds["services.collector"])
    _verify(figures, folder)
    shutil.rmtree(folder)


def fixed_rate(figures: Figures, folder: Path, records: int) -> None:
    """Run at 1,000 records per second, and read the latency from the due time."""
    found = latencies(folder, rate=1000, records=records)
    for metric, value in ((P50, found.p50_ms), (P99, found.p99_ms), (P99_9, found.p99_9_ms)):
        figures.add(metric, value)


class Latencies(NamedTuple):
    """Percentiles of the latency from the due time, and of the server's lateness, which is a part of it."""

    p50_ms: float
    p99_ms: float
    p99_9_ms: float
    server_late_p99_ms: float


def latencies(folder: Path, *, rate: int, records: int, may_be_late: bool = False) -> Latencies:
    """Run at a rate, and return the latencies of the run's summary.

    Args:
        folder: for the run, which is removed.
        rate: records per second.
        records: number of records.
        may_be_late: the verdict may be that the instrument was late, as on a busy machine.
    """
    # Sync first, or the kernel would write the previous benchmark's data between the blocks of this one.
    os.sync()
    run = _run(folder, may_be_late=may_be_late, RATE=rate, RECORDS=records)
    late = [entry.late_p99_ns or 0 for entry in _ledger(run) if isinstance(entry, ledger.EndEntry)]
    shutil.rmtree(folder)
    latency = run.summary.latency_ns
    values = (latency.p50, latency.p99, latency.p99_9, max(late, default=0))
    return Latencies(*((value or 0) / 1e6 for value in values))


def _run(folder: Path, *, may_be_late: bool = False, **settings: object) -> FinishedRun:
    folder.mkdir()
    output = folder / "output"
    variables = environment(
        CLIENTS=CLIENTS, VOLUMES=folder, PORT=free_port(), PAGE_PORT=free_port(), PYTHONUNBUFFERED=1, **settings
    )
    with output.open("wb") as file:
        process = subprocess.Popen([sys.executable, "-m", "services"], env=variables, stdout=file, stderr=file)
        cpu_by_process = _watch(process)
    files = sorted((folder / "summary").glob("*/summary.json"))
    result = summary.decode(files[-1].read_bytes()) if files else None
    failed = process.returncode or result is None or result.verdict != "PASS"
    if result is None or result.totals.residual or result.totals.missing or (failed and not may_be_late):
        tail = "\n".join(output.read_text(errors="replace").splitlines()[-40:])
        raise InvalidRun(f"a run of {settings} ended with code {process.returncode}:\n{tail}")
    return FinishedRun(result, cpu_by_process, folder)


def _watch(process: subprocess.Popen[bytes]) -> dict[str, float]:
    """Wait for the end; return the last measured CPU time of the children, by module."""
    cpu_by_process: dict[tuple[int, str], float] = {}
    deadline = time.monotonic() + _DEADLINE_SECONDS
    modules: dict[int, str] = {}
    while process.poll() is None:
        if len(modules) < CLIENTS + 2:
            modules = children(process.pid)
        for pid, module in modules.items():
            cpu_by_process[pid, module] = cpu_seconds(pid) or cpu_by_process.get((pid, module), 0.0)
        if time.monotonic() > deadline:
            process.terminate()
            process.wait(30)
            raise InvalidRun(f"a run took longer than {_DEADLINE_SECONDS} s")
        time.sleep(0.1)
    totals: dict[str, float] = {}
    for (_, module), seconds in cpu_by_process.items():
        totals[module] = totals.get(module, 0.0) + seconds
    return totals


def _ledger(run: FinishedRun) -> Iterator[ledger.Entry]:
    for path in (run.folder / "ledger").glob("*/*.jsonl"):
        for line in path.read_bytes().splitlines(keepends=True):
            try:
                yield ledger.codec.decode(line)[1]
            except LineError as problem:
                raise InvalidRun(f"{path}: {problem}") from problem


def _last_received_us(path: Path) -> int:
    """Return when the last block of a log was received (epoch microseconds), from the block's fields."""
    for line in reversed(path.read_bytes().splitlines()[-3:]):
        content = json.loads(line)
        if content["kind"] == "block":
            return utc_us(content["ended_at"])
    return 0


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _verify(figures: Figures, folder: Path) -> None:
    size = _size(folder / "logs") + _size(folder / "ledger")
    began = time.perf_counter()
    verifying = subprocess.run(
        [sys.executable, "-m", "services.collector", "verify", str(folder)],
        env=environment(VOLUMES=folder),
        capture_output=True,
        check=False,
        timeout=_DEADLINE_SECONDS,
    )
    figures.add(COLLECTOR, size / (time.perf_counter() - began) / 1e6)
    if verifying.returncode:
        raise InvalidRun(f"verify ended with code {verifying.returncode}:\n{verifying.stdout.decode()[-2000:]}")
