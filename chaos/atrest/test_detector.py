"""Exactly what was done to the blocks of a client at rest stands in the summary, with its place and cause."""

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

KINDS = ("damaged", "removed", "of another client", "of another run")
TIMES = (1, 3)
SIZE, RECORDS, RATE = 10, 2000, 200
HONEST_SECONDS = 5.0
CAUSES = {"damaged": "corrupt_block", "removed": "receipted_not_logged"}


@dataclass(frozen=True)
class Victim:
    """A client of which so many blocks are injured, in the middle (apart) or at the end (in a row)."""

    client: str
    kind: str
    times: int
    at_end: bool

    @property
    def causes(self) -> Causes:
        """What the summary is to say of it."""
        return Causes(**{CAUSES.get(self.kind, "foreign"): self.times * SIZE})

    def injure(self, volumes: Volumes, stranger: str) -> list[int]:
        """Injure its log, with blocks of ``stranger`` or of the first run; return the blocks' places in the file."""
        path = volumes.files(self.client)[-1]
        data = path.read_bytes()
        lines, tail = reference.split(data)
        # The last line of a sealed file is its end, the first its beginning.
        last = len(lines) - 1
        places = [last - 1 - n for n in range(self.times)] if self.at_end else [last // 2 - 2 * n for n in range(3)]
        for place in sorted(places[: self.times], reverse=True):
            lines[place : place + 1] = self._instead(lines[place], place, volumes, stranger)
        # Into the same file: the client has it open.
        path.write_bytes(b"".join(lines) + data[len(data) - tail :])
        return sorted(places[: self.times])

    def _instead(self, line: bytes, place: int, volumes: Volumes, stranger: str) -> list[bytes]:
        if self.kind == "removed":
            return []
        if self.kind == "damaged":
            middle = len(line) // 2
            return [line[:middle] + bytes([line[middle] ^ 1]) + line[middle + 1 :]]
        is_client = self.kind == "of another client"
        of = volumes.files(stranger) if is_client else volumes.files(self.client, volumes.runs()[0])
        return [of[0].read_bytes().splitlines(keepends=True)[place]]


@contextmanager
def held_still(*processes: Process) -> Iterator[None]:
    """Stop processes where they are, and let them go on."""
    for process in processes:
        process.signal(signal.SIGSTOP)
    try:
        # A thread that waits for the disk stops when that has answered.
        poll_until(lambda: all(map(stands_still, processes)), "all threads stand still", 30, 0.01)
        yield
    finally:
        for process in processes:
            process.signal(signal.SIGCONT)


def stands_still(process: Process) -> bool:
    """Tell whether every thread of a process is stopped."""
    tasks = list(Path(f"/proc/{process.pid}/task").iterdir())
    return all((task / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "T" for task in tasks)


def is_told(victim: Victim, places: list[int], found: Summary) -> bool:
    """Tell whether a summary says of a client exactly what was done to it: how many, where, and why."""
    said = next((client for client in found.clients if client.client == victim.client), None)
    faults = [fault for fault in found.faults if fault.client == victim.client]
    lines = {fault.line for fault in faults}
    if victim.kind == "removed":
        # What is gone has no line; the one after it tells, once for a row.
        expected = {places[0] + 1} if victim.at_end else {place + 1 - n for n, place in enumerate(places)}
        kind = "line_missing"
    else:
        kind = "corrupt_block" if victim.kind == "damaged" else "foreign"
        in_a_row = victim.at_end and kind == "foreign"
        expected = {places[0] + 1} if in_a_row else {place + 1 for place in places}
    return said is not None and (victim.causes, expected, {kind}, victim.times * SIZE) == (
        said.missing_by_cause,
        lines,
        {fault.kind for fault in faults},
        said.missing,
    )


def test_so_many_injured_blocks_are_so_many_in_the_summary(folder: Path, tally: Tally) -> None:
    """Blocks damaged, removed or replaced in an open log, and at the end of a sealed one, are told within 5 s."""
    cases = list(product(KINDS, TIMES, (False, True)))
    victims = [Victim(f"client.{n}", *case) for n, case in enumerate(cases, 1)]
    stranger = f"client.{len(cases) + 1}"
    settings = {"CLIENTS": len(cases) + 1, "RECORDS": RECORDS, "RATE": RATE, "RUNS": 2, "BLOCK_SIZES": SIZE}
    with System(folder, **settings) as system:
        collector, volumes = system.start("collector"), system.volumes
        system.server()
        client = system.client("client", CONNECTIONS=len(cases) + 1)
        poll_until(lambda: len(volumes.runs()) == 2, "the second run has begun", 60)
        poll_until(lambda: volumes.head(stranger) > RECORDS // 3, "a third of it is logged", 60)
        # A file that has become shorter makes the collector read all of the run again.
        found = told(tally, volumes, [one for one in victims if not one.at_end], stranger, collector, client)
        assert "running" == found.state
        with held_still(collector):
            # Nobody has read the end of the logs when it is injured.
            poll_until(lambda: all_sealed(volumes, victims, stranger), "all logs are sealed", 60)
            injured = {one: one.injure(volumes, stranger) for one in victims if one.at_end}
        await_told(tally, volumes, injured)
        final = poll_until(volumes.verdict, "the verdict is there", 10)
    assert final is not None
    assert ("FAIL", 0) == (final.verdict, final.totals.residual)
    assert sum(one.times * SIZE for one in victims) == final.totals.missing
    (whole,) = [one for one in final.clients if one.client == stranger]
    assert (RECORDS, 0) == (whole.received, whole.missing)


@pytest.mark.parametrize("kind", ["damaged", "of another client"])
def test_what_was_injured_after_it_had_been_read_is_told_too(folder: Path, tally: Tally, kind: str) -> None:
    """A block of an open log that changes after the collector has read it is in the summary, as any other."""
    victim, stranger = Victim("client.1", kind, 1, at_end=False), "client.2"
    with System(folder, CLIENTS=2, RECORDS=1200, RATE=RATE, BLOCK_SIZES=SIZE) as system:
        collector, volumes = system.start("collector"), system.volumes
        system.server()
        client = system.client("client", CONNECTIONS=2)

        def is_read() -> bool:
            found = volumes.summary()
            return found is not None and found.totals.received > RECORDS // 2

        poll_until(is_read, "the collector has read some of it", 30)
        found = told(tally, volumes, [victim], stranger, collector, client)
        assert "running" == found.state
        final = poll_until(volumes.verdict, "the verdict is there", 30)
    assert final is not None
    assert "FAIL" == final.verdict


def all_sealed(volumes: Volumes, victims: list[Victim], stranger: str) -> bool:
    """Tell whether every client has ended its log."""
    names = [*(one.client for one in victims), stranger]
    return all(is_sealed(volumes.files(name)[-1]) for name in names)


def told(
    tally: Tally, volumes: Volumes, victims: list[Victim], stranger: str, collector: Process, client: Process
) -> Summary:
    """Injure the logs of clients while these and the collector stand still; return the summary that tells it."""
    with held_still(collector, client):
        injured = {one: one.injure(volumes, stranger) for one in victims}
    return await_told(tally, volumes, injured)


def await_told(tally: Tally, volumes: Volumes, injured: dict[Victim, list[int]]) -> Summary:
    """Wait until the summary tells all that was injured just now, for 5 s at most."""
    began = time.monotonic()
    untold = dict(injured)

    def all_told() -> Summary | None:
        found = volumes.summary()
        for one, places in list(untold.items()):
            if found is not None and is_told(one, places, found):
                tally.fault(f"block {one.kind}", f"{one.client} x {one.times}", time.monotonic() - began, beside=True)
                del untold[one]
        return None if untold else found

    try:
        found = poll_until(all_told, "the summary tells of all injured blocks", HONEST_SECONDS, 0.05)
    except AssertionError as problem:
        problem.add_note(f"untold: {untold}; told: {(said := volumes.summary()) and said.faults}")
        raise
    finally:
        tally.held(len(injured), undetected=len(untold))
    assert found is not None
    return found
