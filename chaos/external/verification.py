"""Runs clients against an external server in one condition, and reads what the summary reports."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos.external.conditions import Condition, Faults
from chaos.external.fault_relay import FaultRelay, RecordFaults, fault_relay
from chaos.external.servers import ExternalServer, FeedSize, RunningServer, ServerProcesses
from services.runtime.settings import BY_NAME
from tests.integration.processes import ROOT

_REPETITIONS = 2
_PATIENCE_SECONDS = 90
_NOTHING_LISTENS = "ws://127.0.0.1:9/"


@dataclass(frozen=True)
class VerifiedRun:
    """One run: the faults injected into the feed of one client, and the summary."""

    server: ExternalServer
    injected: Faults
    summary: dict[str, Any]
    version: str = ""
    played_seconds: float | None = 0.0
    """From the moment when every client was sent the whole feed, or the half before the server's fault, to the run's
    end; None if the run ended before."""

    @property
    def verdict(self) -> str:
        """Return the verdict."""
        return str(self.summary["verdict"])

    @property
    def reported(self) -> Faults:
        """Return the faults of the client with the most, from the summary."""
        return self._by_number()[-1]

    @property
    def others(self) -> Faults:
        """Return the sums of the faults of all other clients, from the summary."""
        return Faults(
            *(None if None in values else sum(values) for values in zip(*self._by_number()[:-1], strict=True))
        )

    def _by_number(self) -> list[Faults]:
        found = [self._faults(client) for client in self.summary["clients"]] or [Faults(None, None, None)]
        return sorted(found, key=lambda faults: sum(filter(None, faults)))

    def check(self, name: str) -> bool | None:
        """Return the answer of a check."""
        answers: dict[str, bool | None] = {check["name"]: check["ok"] for check in self.summary["checks"]}
        return answers[name]

    def _faults(self, client: dict[str, Any]) -> Faults:
        missing = client.get("gaps") if self.server.losses == "gaps" else client["missing"]
        return Faults(missing, client["duplicates"], client["reordered"])


def verify_server(server: ExternalServer, condition: Condition, seed: int = 1) -> VerifiedRun:
    """Run clients against a server, and read the summary of ``verify``.

    On a busy machine a run may end before all clients have started and the feed was sent, or the clients may be late by
    their own statement; then the run is made again.

    Args:
        server: to be started for this run.
        condition: what happens to the feed of one client, or to the server.
        seed: chooses the records that are dropped, duplicated and swapped.

    Raises:
        NotAvailable: the server cannot be installed on this machine.
    """
    run = _one_run(server, condition, seed)
    for _ in range(_REPETITIONS):
        if _was_in_time(run, condition):
            break
        run = _one_run(server, condition, seed)
    return run


def _was_in_time(run: VerifiedRun, condition: Condition) -> bool:
    is_played = run.played_seconds is not None and run.played_seconds >= condition.quiet_seconds
    return is_played and run.check("instrument on time") is not False


def _one_run(server: ExternalServer, condition: Condition, seed: int) -> VerifiedRun:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        running = RunningServer(_NOTHING_LISTENS, ServerProcesses())
        if condition.needs_server:
            running = stack.enter_context(server.start(condition.size, folder))
        return asyncio.run(_verify(server, condition, running, folder, seed))


async def _verify(
    server: ExternalServer, condition: Condition, running: RunningServer, folder: Path, seed: int
) -> VerifiedRun:
    size = condition.size
    plan = RecordFaults.choose(size.records, condition.faults, seed)
    async with fault_relay(running.url, server.record, plan, size.clients, condition.refusal) as relay:
        url = relay.url
        if condition.is_refused:
            relay.refuse()
        with _clients(url, server, folder, size, condition):
            events = asyncio.create_task(_play(server, condition, running, relay, size))
            seconds = condition.seconds + _PATIENCE_SECONDS
            try:
                await _until(lambda: _sealed(folder) == size.clients, "all logs are sealed", seconds)
            finally:
                events.cancel()
            ended = asyncio.get_running_loop().time()
            played: float | None = None
            with contextlib.suppress(asyncio.CancelledError, AssertionError):
                played = ended - await events
    verify = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.collector", "verify", "--json", str(folder)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await verify.communicate()
    counts = relay.counts
    injected = Faults(counts.dropped, counts.duplicated, counts.swapped)
    return VerifiedRun(server, injected, json.loads(output), running.version, played)


async def _play(
    server: ExternalServer, condition: Condition, running: RunningServer, relay: FaultRelay, size: FeedSize
) -> float:
    """Begin the feed where the server does not begin by itself, stop the server half way, or wait for the end.

    Returns the time of the event loop when this is done.
    """
    seconds = condition.seconds + _PATIENCE_SECONDS
    clock = asyncio.get_running_loop().time
    if not condition.needs_server:
        return clock()

    def all_streams(least: int) -> bool:
        return sum(stream.place >= least for stream in relay.streams) >= size.clients

    if (pattern := server.subscribed) is not None:
        await _until(lambda: relay.seen(pattern) >= size.clients, "all clients have subscribed", seconds)
        running.subscribed()
    if condition.stop is not None:
        half = size.records // 2
        await _until(lambda: all_streams(half), f"every client got {half} records", seconds)
        running.processes.send(condition.stop)
        if condition.stop is signal.SIGKILL:
            relay.refuse()
    else:
        await _until(lambda: all_streams(size.records), "every client was sent all records", seconds)
    return clock()


async def _until(is_met: Callable[[], bool], description: str, seconds: float) -> None:
    """Wait for a condition; unlike `tests.poll.poll_until` this can be cancelled."""
    clock = asyncio.get_running_loop().time
    until = clock() + seconds
    while not is_met():
        if clock() > until:
            raise AssertionError(f"waited {seconds:g} s in vain until {description}")
        await asyncio.sleep(0.02)


def _sealed(folder: Path) -> int:
    return sum(b'"kind":"end"' in path.read_bytes() for path in folder.glob("logs/2*/client*/*.jsonl"))


@contextlib.contextmanager
def _clients(url: str, server: ExternalServer, folder: Path, size: FeedSize, condition: Condition) -> Iterator[None]:
    """Run all clients in one process, so that they begin together however busy the machine is."""
    inherited = {name: value for name, value in os.environ.items() if name not in BY_NAME}
    environment = {
        **inherited,
        **server.settings,
        "SERVER_URL": url,
        "FEED_SECONDS": f"{condition.seconds:g}",
        "CLIENT_ID": "client",
        "CONNECTIONS": str(size.clients),
        "VOLUMES": str(folder),
        "PYTHONUNBUFFERED": "1",
    }
    with (folder / "client.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.client"], env=environment, cwd=ROOT, stdout=log, stderr=log
        )
    try:
        yield
    finally:
        process.terminate()
        process.wait()
