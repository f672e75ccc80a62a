"""Measures thousands of connections, each cut repeatedly: share delivered, delay of missed records, CPU and memory.

The profile is that of a published benchmark (anycable/nodejs-websocket-bench): 2 records per second for a minute, each
client cut about every 15 s for 2 s. There one server's default delivered 84.55 %, and the best 99th percentile of a
server with replay was 4.58 s. Here the percentile includes only records that were missed and replayed, from due time to
arrival.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks.measure import Figures, InvalidRun, Metric, environment
from benchmarks.scale.driver import DriverResult, first_half
from benchmarks.scale.serving import ServerProcess, kernel_bytes, open_file_limit, run_server
from benchmarks.scale.sizes import Profile
from services.contract import ledger
from services.contract.rangeset import RangeSet

SEED = 42
_SETTLE_SECONDS = 1.0
_GRACE_SECONDS = 60
_MEASURABLE = 1000
"""Smallest number of additional connections for the memory figures: fewer fit into memory that the start has freed."""
_ENDED_SECONDS = 10.0
_OTHER_FILES = 100
"""Files that a process opens in addition to its connections."""


class Metrics(NamedTuple):
    """The metrics of one profile."""

    delivered: Metric
    replay: Metric
    live: Metric
    memory: Metric
    kernel: Metric
    server: Metric

    @classmethod
    def of(cls, profile: Profile) -> Metrics:
        """Return the metrics of a profile."""
        what = _name(profile)
        return cls(
            delivered=Metric(f"{what}: delivered once, residual 0", "%", "more", 100),
            replay=Metric(f"{what}: p99 from due, missed records alone", "s", "less", 4.58),
            live=Metric(f"{what}: p99 from due, the others", "s", "less"),
            memory=Metric(f"{what}: server memory of one more", "kB", "less", 20),
            kernel=Metric(f"{what}: kernel memory, one end", "kB", "less"),
            server=Metric(f"{what}: server CPU, connecting included", "s", "less"),
        )


class Memory(NamedTuple):
    """Bytes used by the server's process, and by the machine's sockets (None if the kernel does not report it)."""

    process: int
    kernel: int | None

    @classmethod
    def of(cls, server: ServerProcess) -> Memory:
        """Return the memory in use now."""
        return cls(server.resident_bytes(), kernel_bytes())


def measure(figures: Figures, folder: Path, profiles: tuple[Profile, ...]) -> None:
    """Make one run of every size for which the system allows enough open files."""
    for profile in profiles:
        if (most := open_file_limit()) < profile.clients + _OTHER_FILES:
            figures.skip(_name(profile), f"a process may open {most:,} files")
        else:
            _measure(figures, folder / f"{profile.clients}", profile)


def _name(profile: Profile) -> str:
    return (
        f"{profile.clients:,} connections, {profile.records} records each at {profile.rate:g}/s, "
        f"cut every {profile.every:g} s for {profile.away:g} s"
    )


def _measure(figures: Figures, folder: Path, profile: Profile) -> None:
    """Make one run with cuts, check the clients' counts against the ledger, and add the figures."""
    settings = {"CLIENTS": profile.clients, "RATE": profile.rate, "RECORDS": profile.records}
    with run_server(folder, GRACE_SECONDS=_GRACE_SECONDS, **settings) as server:
        driver = subprocess.Popen(
            [
                *(sys.executable, "-m", "benchmarks.scale.driver", str(server.port), str(SEED)),
                msgspec.json.encode(profile).decode(),
            ],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            half_memory, full_memory = _memory_use(driver, server, profile)
            result = _driver_result(driver)
        finally:
            driver.kill()
            driver.wait()
        cpu_seconds_ = server.cpu_seconds()
        server.wait_for(("ended",), _ENDED_SECONDS)
        _check_against_ledger(folder, result, profile)
    metrics, classes = Metrics.of(profile), result.classes
    figures.add(metrics.delivered, 100 * classes.received / classes.expected)
    figures.add(metrics.replay, result.replay_p99)
    figures.add(metrics.live, result.live_p99)
    figures.add(metrics.server, cpu_seconds_)
    if (more := profile.clients - first_half(profile.clients)) >= _MEASURABLE:
        figures.add(metrics.memory, (full_memory.process - half_memory.process) / more / 1000)
        if half_memory.kernel is not None and full_memory.kernel is not None:
            figures.add(metrics.kernel, (full_memory.kernel - half_memory.kernel) / more / 2000)


def _memory_use(driver: subprocess.Popen[bytes], server: ServerProcess, profile: Profile) -> tuple[Memory, Memory]:
    """Connect the clients and begin the run; return the memory with half of the clients, and with all receiving."""
    if driver.stdin is None or driver.stdout is None:
        raise TypeError("the driver has no pipes")
    samples = []
    for _ in range(2):
        if not driver.stdout.readline():
            raise _failed(driver, server)
        time.sleep(_SETTLE_SECONDS)
        samples.append(Memory.of(server))
        driver.stdin.write(b"\n")
        driver.stdin.flush()
    # Now the first records have passed through every connection, and no client has been cut yet.
    time.sleep(min(4.0, profile.every / 2))
    return samples[0], max(samples[1], Memory.of(server))


def _driver_result(driver: subprocess.Popen[bytes]) -> DriverResult:
    log_tail, problem = driver.communicate()
    if driver.returncode or not log_tail:
        raise InvalidRun(f"the clients ended with code {driver.returncode}:\n{problem.decode()[-2000:]}")
    result = msgspec.json.decode(log_tail, type=DriverResult)
    print(f"cuts: {result}", file=sys.stderr, flush=True)
    return result


def _failed(driver: subprocess.Popen[bytes], server: ServerProcess) -> InvalidRun:
    driver.kill()
    _, problem = driver.communicate()
    return InvalidRun(f"the clients do not get subscribed:\n{problem.decode()[-2000:]}\n{server.log_tail()}")


def _check_against_ledger(folder: Path, result: DriverResult, profile: Profile) -> None:
    """Check the clients' counts against the server's ledger.

    Raises:
        InvalidRun: a delivery is in no class or in two, or the ledger does not end with receipts for all.
    """
    if result.classes.residual or result.classes.expected != profile.clients * profile.records:
        raise InvalidRun(f"the clients' counts do not add up: {result.classes}")
    receipted: dict[str, RangeSet] = {}
    ended, mismatches = "no end", 0
    for path in (folder / "ledger").glob("*/*.jsonl"):
        for line in path.read_bytes().splitlines(keepends=True):
            match ledger.codec.decode(line)[1]:
                case ledger.ReceiptEntry() as entry:
                    receipted.setdefault(entry.client, RangeSet()).add(entry.first, entry.last)
                    mismatches += not entry.match
                case ledger.EndEntry() as entry:
                    ended = entry.reason
                case _:
                    pass
    total = sum(numbers.count for numbers in receipted.values())
    if ended != "complete" or mismatches or total != result.classes.received:
        raise InvalidRun(
            f"the ledger ended as {ended}, with receipts for {total} records, {mismatches} of them wrong; "
            f"the clients received {result.classes.received}"
        )
