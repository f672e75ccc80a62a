"""Thousands of connections, each cut again and again: is all delivered, how late is what was missed, at what cost?

The profile is that of a published benchmark (anycable/nodejs-websocket-bench): 2 records a second for a minute, each
client cut about every 15 s for 2 s. There the default of one server delivered 84.55 %, and of those that replay the
best 99th percentile was 4.58 s. Here the percentile is taken over nothing but records that were missed and replayed:
from the time a record was due until it came.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import msgspec

from benchmarks.measure import BooksOpen, Figures, Metric, environment
from benchmarks.scale.driver import Met, first_half
from benchmarks.scale.serving import Served, kernel_bytes, most_files, served
from benchmarks.scale.sizes import Profile
from services.contract import ledger
from services.contract.rangeset import RangeSet

SEED = 42
_SETTLE_SECONDS = 1.0
_GRACE_SECONDS = 60
_MEASURABLE = 1000
"""What fewer connections take is found in memory that the start left free; the first half counts for none."""
_ENDED_SECONDS = 10.0
_OTHER_FILES = 100
"""What a process opens beside its connections."""


class Metrics(NamedTuple):
    """What is told of one profile."""

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
    """Bytes of the server's process and, None where the kernel does not tell, of the sockets of the machine."""

    process: int
    kernel: int | None

    @classmethod
    def of(cls, server: Served) -> Memory:
        """Return the memory in use now."""
        return cls(server.resident_bytes(), kernel_bytes())


def measure(figures: Figures, folder: Path, profiles: tuple[Profile, ...]) -> None:
    """Play one run of every size that the system has open files for."""
    for profile in profiles:
        if (most := most_files()) < profile.clients + _OTHER_FILES:
            figures.skip(_name(profile), f"a process may open {most:,} files")
        else:
            _measure(figures, folder / f"{profile.clients}", profile)


def _name(profile: Profile) -> str:
    return (
        f"{profile.clients:,} connections, {profile.records} records each at {profile.rate:g}/s, "
        f"cut every {profile.every:g} s for {profile.away:g} s"
    )


def _measure(figures: Figures, folder: Path, profile: Profile) -> None:
    """Play one run under cuts, hold the clients' books to the server's, and note what it took."""
    settings = {"CLIENTS": profile.clients, "RATE": profile.rate, "RECORDS": profile.records}
    with served(folder, GRACE_SECONDS=_GRACE_SECONDS, **settings) as server:
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
            few, full = _gathered(driver, server, profile)
            met = _played(driver)
        finally:
            driver.kill()
            driver.wait()
        used = server.cpu_seconds()
        server.wait_for(("ended",), _ENDED_SECONDS)
        _hold_to_ledger(folder, met, profile)
    metrics, books = Metrics.of(profile), met.books
    figures.add(metrics.delivered, 100 * books.received / books.expected)
    figures.add(metrics.replay, met.replay_p99)
    figures.add(metrics.live, met.live_p99)
    figures.add(metrics.server, used)
    if (more := profile.clients - first_half(profile.clients)) >= _MEASURABLE:
        figures.add(metrics.memory, (full.process - few.process) / more / 1000)
        if few.kernel is not None and full.kernel is not None:
            figures.add(metrics.kernel, (full.kernel - few.kernel) / more / 2000)


def _gathered(driver: subprocess.Popen[bytes], server: Served, profile: Profile) -> tuple[Memory, Memory]:
    """Let the clients come and the run begin; return the memory with half of the clients, and with all in play."""
    if driver.stdin is None or driver.stdout is None:
        raise TypeError("the driver has no pipes")
    found = []
    for _ in range(2):
        if not driver.stdout.readline():
            raise _failed(driver, server)
        time.sleep(_SETTLE_SECONDS)
        found.append(Memory.of(server))
        driver.stdin.write(b"\n")
        driver.stdin.flush()
    # Beyond what was needed to connect: the first records have been through every connection, and nobody was cut yet.
    time.sleep(min(4.0, profile.every / 2))
    return found[0], max(found[1], Memory.of(server))


def _played(driver: subprocess.Popen[bytes]) -> Met:
    said, problem = driver.communicate()
    if driver.returncode or not said:
        raise BooksOpen(f"the clients ended with code {driver.returncode}:\n{problem.decode()[-2000:]}")
    met = msgspec.json.decode(said, type=Met)
    print(f"cuts: {met}", file=sys.stderr, flush=True)
    return met


def _failed(driver: subprocess.Popen[bytes], server: Served) -> BooksOpen:
    driver.kill()
    _, problem = driver.communicate()
    return BooksOpen(f"the clients do not get subscribed:\n{problem.decode()[-2000:]}\n{server.said()}")


def _hold_to_ledger(folder: Path, met: Met, profile: Profile) -> None:
    """Hold what the clients counted to what the server entered.

    Raises:
        BooksOpen: a delivery is in no class or in two, or the server has not ended the run with receipts for all.
    """
    if met.books.residual or met.books.expected != profile.clients * profile.records:
        raise BooksOpen(f"the clients' books do not close: {met.books}")
    receipted: dict[str, RangeSet] = {}
    ended, wrong = "no end", 0
    for path in (folder / "ledger").glob("*/*.jsonl"):
        for line in path.read_bytes().splitlines(keepends=True):
            match ledger.codec.decode(line)[1]:
                case ledger.ReceiptEntry() as entry:
                    receipted.setdefault(entry.client, RangeSet()).add(entry.first, entry.last)
                    wrong += not entry.match
                case ledger.EndEntry() as entry:
                    ended = entry.reason
                case _:
                    pass
    total = sum(map(len, receipted.values()))
    if ended != "complete" or wrong or total != met.books.received:
        raise BooksOpen(
            f"the ledger ended as {ended}, with receipts for {total} records, {wrong} of which do not match; "
            f"the clients received {met.books.received}"
        )
