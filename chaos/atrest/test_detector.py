"""The summary reports exactly the damage to a client's blocks at rest, with its lines and cause."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import pytest

from chaos.atrest import reference
from chaos.tally import Tally
from services.contract.summary import Causes, Summary
from tests.integration.processes import Process, System
from tests.poll import poll_until
from tests.readers import Volumes, is_sealed

pytestmark = pytest.mark.slow

DAMAGE_KINDS = ("damaged", "removed", "of another client", "of another run")
TIMES = (1, 3)
SIZE, RECORDS, RATE = 10, 2000, 200
REPORT_SECONDS = 5.0
CAUSES = {"damaged": "corrupt_block", "removed": "receipted_not_logged"}


@dataclass(frozen=True)
class DamagedClient:
    """A client with ``times`` damaged blocks, in the middle of its log (apart) or at its end (in a row)."""

    client: str
    kind: str
    times: int
    at_end: bool

    @property
    def causes(self) -> Causes:
        """The causes that the summary has to report."""
        return Causes(**{CAUSES.get(self.kind, "foreign"): self.times * SIZE})

    def damage(self, volumes: Volumes, other_client: str) -> list[int]:
        """Damage the log, some kinds with blocks of another client or run; return the line indices of the blocks."""
        path = volumes.files(self.client)[-1]
        data = path.read_bytes()
        lines, tail = reference.split(data)
        # The last line of a sealed file is its end line, the first its open line.
        last = len(lines) - 1
        positions = [last - 1 - n for n in range(self.times)] if self.at_end else [last // 2 - 2 * n for n in range(3)]
        for position in sorted(positions[: self.times], reverse=True):
            lines[position : position + 1] = self._replacement(lines[position], position, volumes, other_client)
        # Keep the same file, since the client has it open.
        path.write_bytes(b"".join(lines) + data[len(data) - tail :])
        return sorted(positions[: self.times])

    def _replacement(self, line: bytes, position: int, volumes: Volumes, other_client: str) -> list[bytes]:
        if self.kind == "removed":
            return []
        if self.kind == "damaged":
            middle = len(line) // 2
            return [line[:middle] + bytes([line[middle] ^ 1]) + line[middle + 1 :]]
        is_client = self.kind == "of another client"
        source_files = volumes.files(other_client) if is_client else volumes.files(self.client, volumes.runs()[0])
        return [source_files[0].read_bytes().splitlines(keepends=True)[position]]


@contextmanager
def stopped(*processes: Process) -> Iterator[None]:
    """Stop processes with SIGSTOP inside a ``with`` block."""
    for process in processes:
        process.signal(signal.SIGSTOP)
    try:
        # A thread in disk I/O stops only when the I/O is done.
        poll_until(lambda: all(map(is_stopped, processes)), "all threads are stopped", 30, 0.01)
        yield
    finally:
        for process in processes:
            process.signal(signal.SIGCONT)


def is_stopped(process: Process) -> bool:
    """Return whether every thread of a process is stopped."""
    tasks = list(Path(f"/proc/{process.pid}/task").iterdir())
    return all((task / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "T" for task in tasks)


def is_reported(damaged_client: DamagedClient, positions: list[int], summary: Summary) -> bool:
    """Return whether a summary reports exactly the damage of a client: number, lines and cause."""
    client_summary = next((client for client in summary.clients if client.client == damaged_client.client), None)
    faults = [fault for fault in summary.faults if fault.client == damaged_client.client]
    lines = {fault.line for fault in faults}
    if damaged_client.kind == "removed":
        # A removed line is noticed at the line after it, and only once for several in a row.
        expected = (
            {positions[0] + 1} if damaged_client.at_end else {position + 1 - n for n, position in enumerate(positions)}
        )
        kind = "line_missing"
    else:
        kind = "corrupt_block" if damaged_client.kind == "damaged" else "foreign"
        in_a_row = damaged_client.at_end and kind == "foreign"
        expected = {positions[0] + 1} if in_a_row else {position + 1 for position in positions}
    return client_summary is not None and (damaged_client.causes, expected, {kind}, damaged_client.times * SIZE) == (
        client_summary.missing_by_cause,
        lines,
        {fault.kind for fault in faults},
        client_summary.missing,
    )


def test_so_many_injured_blocks_are_so_many_in_the_summary(folder: Path, tally: Tally) -> None:
    """Blocks damaged, removed or replaced in an open log, and at the end of a sealed one, are reported within 5 s."""
    cases = list(product(DAMAGE_KINDS, TIMES, (False, True)))
    damaged_clients = [DamagedClient(f"client.{n}", *case) for n, case in enumerate(cases, 1)]
    other_client = f"client.{len(cases) + 1}"
    settings = {"CLIENTS": len(cases) + 1, "RECORDS": RECORDS, "RATE": RATE, "RUNS": 2, "BLOCK_SIZES": SIZE}
    with System(folder, **settings) as system:
        collector, volumes = system.start("collector"), system.volumes
        system.server()
        client = system.client("client", CONNECTIONS=len(cases) + 1)
        poll_until(lambda: len(volumes.runs()) == 2, "the second run has begun", 60)
        poll_until(lambda: volumes.head(other_client) > RECORDS // 3, "a third of it is logged", 60)
        # The collector reads the whole run again when a file has become shorter.
        summary = damage_and_wait(
            tally, volumes, [one for one in damaged_clients if not one.at_end], other_client, collector, client
        )
        assert "running" == summary.state
        with stopped(collector):
            # The stopped collector has not read the end of the logs yet.
            poll_until(lambda: all_sealed(volumes, damaged_clients, other_client), "all logs are sealed", 60)
            positions_by_client = {one: one.damage(volumes, other_client) for one in damaged_clients if one.at_end}
        wait_until_reported(tally, volumes, positions_by_client)
        final = poll_until(volumes.verdict, "the verdict is there", 10)
    assert final is not None
    assert ("FAIL", 0) == (final.verdict, final.totals.residual)
    assert sum(one.times * SIZE for one in damaged_clients) == final.totals.missing
    (whole,) = [one for one in final.clients if one.client == other_client]
    assert (RECORDS, 0) == (whole.received, whole.missing)


@pytest.mark.parametrize("kind", ["damaged", "of another client"])
def test_what_was_injured_after_it_had_been_read_is_told_too(folder: Path, tally: Tally, kind: str) -> None:
    """Damage to a block of an open log is reported even if the collector has read the block before."""
    damaged_client, other_client = DamagedClient("client.1", kind, 1, at_end=False), "client.2"
    with System(folder, CLIENTS=2, RECORDS=1200, RATE=RATE, BLOCK_SIZES=SIZE) as system:
        collector, volumes = system.start("collector"), system.volumes
        system.server()
        client = system.client("client", CONNECTIONS=2)

        def is_read() -> bool:
            summary = volumes.summary()
            return summary is not None and summary.totals.received > RECORDS // 2

        poll_until(is_read, "the collector has read some of it", 30)
        summary = damage_and_wait(tally, volumes, [damaged_client], other_client, collector, client)
        assert "running" == summary.state
        final = poll_until(volumes.verdict, "the verdict is there", 30)
    assert final is not None
    assert "FAIL" == final.verdict


def all_sealed(volumes: Volumes, damaged_clients: list[DamagedClient], other_client: str) -> bool:
    """Return whether every client has sealed its log."""
    names = [*(one.client for one in damaged_clients), other_client]
    return all(is_sealed(volumes.files(name)[-1]) for name in names)


def damage_and_wait(
    tally: Tally,
    volumes: Volumes,
    damaged_clients: list[DamagedClient],
    other_client: str,
    collector: Process,
    client: Process,
) -> Summary:
    """Damage the logs of clients while these and the collector are stopped; return the summary that reports it."""
    with stopped(collector, client):
        positions_by_client = {one: one.damage(volumes, other_client) for one in damaged_clients}
    return wait_until_reported(tally, volumes, positions_by_client)


def wait_until_reported(tally: Tally, volumes: Volumes, positions_by_client: dict[DamagedClient, list[int]]) -> Summary:
    """Wait up to 5 s until the summary reports all damage; return it."""
    began = time.monotonic()
    unreported = dict(positions_by_client)

    def all_reported() -> Summary | None:
        summary = volumes.summary()
        for one, positions in list(unreported.items()):
            if summary is not None and is_reported(one, positions, summary):
                tally.add_fault(
                    f"block {one.kind}", f"{one.client} x {one.times}", time.monotonic() - began, beside=True
                )
                del unreported[one]
        return None if unreported else summary

    try:
        summary = poll_until(all_reported, "the summary reports all damaged blocks", REPORT_SECONDS, 0.05)
    except AssertionError as problem:
        latest = volumes.summary()
        problem.add_note(f"not reported: {unreported}; reported: {latest and latest.faults}")
        raise
    finally:
        tally.add_checks(len(positions_by_client), undetected=len(unreported))
    assert summary is not None
    return summary
