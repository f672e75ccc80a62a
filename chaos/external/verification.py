"""Runs clients against an external server, and compares the reported faults with the injected ones."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from chaos.external.fault_proxy import FAULTY_MARK, InjectedCounts, RecordFaults, fault_proxy
from chaos.external.servers import ExternalServer, FeedSize, RunningServer
from services.runtime import invocation
from services.runtime.settings import BY_NAME
from tests.integration.processes import ROOT
from tests.poll import poll_until

SIZE = FeedSize(3, 300, 100)
"""Three clients, and three hundred records in three seconds."""
FEED_SECONDS = 7
FAULTS_OF_EACH_KIND = 4
"""Number of drops, duplicates and swaps."""
FAULTY_CLIENT = "client-3"


@dataclass(frozen=True)
class VerifiedRun:
    """One run: the faults injected into the feed of one client, and the summary."""

    server: str
    counts: InjectedCounts
    summary: dict[str, Any]

    @property
    def reported(self) -> tuple[int, int, int]:
        """Missing, duplicated and reordered messages of all clients, from the summary."""
        totals = self.summary["totals"]
        return totals["missing"], totals["duplicates"], totals["reordered"]

    @property
    def injected(self) -> tuple[int, int, int]:
        """Dropped, duplicated and swapped messages."""
        return self.counts.dropped, self.counts.duplicated, self.counts.swapped

    @property
    def others(self) -> tuple[int, int, int]:
        """Missing, duplicated and reordered messages of the clients without faults, from the summary."""
        clients = [client for client in self.summary["clients"] if client["client"] != FAULTY_CLIENT]
        missing, duplicated, reordered = (
            sum(client[name] for client in clients) for name in ("missing", "duplicates", "reordered")
        )
        return missing, duplicated, reordered


def verify_server(server: ExternalServer, *, inject: bool, seed: int = 1) -> VerifiedRun:
    """Run clients against a server, with faults if ``inject``, and read the summary of ``verify``.

    Raises:
        NotAvailable: the server cannot be installed on this machine.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with server.start(SIZE, folder) as running:
            return asyncio.run(_verify(server.name, running, folder, inject=inject, seed=seed))


async def _verify(name: str, running: RunningServer, folder: Path, *, inject: bool, seed: int) -> VerifiedRun:
    plan = RecordFaults.choose(SIZE.records, FAULTS_OF_EACH_KIND if inject else 0, seed)
    async with fault_proxy(running.url, plan) as (url, counts):
        with _clients(url, running.settings, folder):
            await asyncio.to_thread(
                poll_until, lambda: _sealed(folder) == SIZE.clients, "all logs are sealed", FEED_SECONDS + 30
            )
    verify = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.collector", "verify", "--json", str(folder)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    output, _ = await verify.communicate()
    return VerifiedRun(name, counts, json.loads(output))


def _sealed(folder: Path) -> int:
    return sum(b'"kind":"end"' in path.read_bytes() for path in folder.glob("logs/*/*/*.jsonl"))


@contextlib.contextmanager
def _clients(url: str, settings: dict[str, str], folder: Path) -> Iterator[None]:
    inherited = {name: value for name, value in os.environ.items() if name not in BY_NAME}
    # The URLs differ by the mark, and clients with different settings share a run only within one invocation.
    inherited[invocation.VARIABLE] = invocation.draw(time.time_ns() // 1000)
    started = []
    for number in range(1, SIZE.clients + 1):
        name = f"client-{number}"
        mark = FAULTY_MARK if name == FAULTY_CLIENT else ""
        environment = {
            **inherited,
            **settings,
            "SERVER_URL": url + ("&" if "?" in url else "?") + mark if mark else url,
            "FEED_SECONDS": str(FEED_SECONDS),
            "CLIENT_ID": name,
            "VOLUMES": str(folder),
            "PYTHONUNBUFFERED": "1",
        }
        log = (folder / f"{name}.log").open("wb")
        started.append(
            subprocess.Popen(
                [sys.executable, "-m", "services.client"], env=environment, cwd=ROOT, stdout=log, stderr=log
            )
        )
        log.close()
    try:
        yield
    finally:
        for process in started:
            process.terminate()
            process.wait()
