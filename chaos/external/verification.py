"""Has clients of ours judge a foreign server, and returns what was reported beside what was injected."""

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

from chaos.external.fault_proxy import MARK, Done, Plan, harmed
from chaos.external.servers import Foreign, Play, Playing
from services.runtime import invocation
from services.runtime.settings import BY_NAME
from tests.integration.processes import ROOT
from tests.poll import poll_until

PLAY = Play(3, 300, 100)
"""To three clients, three hundred records in three seconds."""
SECONDS = 7
EACH = 4
"""So many drops, doubles and swaps each."""
HARMED = "client-3"


@dataclass(frozen=True)
class Judged:
    """One run: what was done to the one client that was harmed, and what the summary reports."""

    server: str
    done: Done
    summary: dict[str, Any]

    @property
    def reported(self) -> tuple[int, int, int]:
        """What is missing, doubled and out of order, all clients together."""
        totals = self.summary["totals"]
        return totals["missing"], totals["duplicates"], totals["reordered"]

    @property
    def injected(self) -> tuple[int, int, int]:
        """What was dropped, doubled and swapped."""
        return self.done.dropped, self.done.doubled, self.done.swapped

    @property
    def others(self) -> tuple[int, int, int]:
        """What is reported of clients that nobody harmed."""
        whole = [one for one in self.summary["clients"] if one["client"] != HARMED]
        missing, doubled, swapped = (sum(one[name] for one in whole) for name in ("missing", "duplicates", "reordered"))
        return missing, doubled, swapped


def judge(server: Foreign, *, harm: bool, seed: int = 1) -> Judged:
    """Have a server judged, as it is or harmed.

    Raises:
        NotHere: the server cannot be had on this machine.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with server.start(PLAY, folder) as playing:
            return asyncio.run(_judge(server.name, playing, folder, harm=harm, seed=seed))


async def _judge(name: str, playing: Playing, folder: Path, *, harm: bool, seed: int) -> Judged:
    plan = Plan.drawn(PLAY.records, EACH if harm else 0, seed)
    async with harmed(playing.url, plan) as (url, done):
        with _clients(url, playing.settings, folder):
            await asyncio.to_thread(
                poll_until, lambda: _sealed(folder) == PLAY.clients, "all logs are sealed", SECONDS + 30
            )
    audit = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.collector", "verify", "--json", str(folder)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await audit.communicate()
    return Judged(name, done, json.loads(told))


def _sealed(folder: Path) -> int:
    return sum(b'"kind":"end"' in path.read_bytes() for path in folder.glob("logs/*/*/*.jsonl"))


@contextlib.contextmanager
def _clients(url: str, settings: dict[str, str], folder: Path) -> Iterator[None]:
    kept = {name: value for name, value in os.environ.items() if name not in BY_NAME}
    # Their addresses differ by the mark, and settings that differ share a run in one invocation alone.
    kept[invocation.VARIABLE] = invocation.draw(time.time_ns() // 1000)
    started = []
    for number in range(1, PLAY.clients + 1):
        name = f"client-{number}"
        mark = MARK if name == HARMED else ""
        given = {
            **kept,
            **settings,
            "SERVER_URL": url + ("&" if "?" in url else "?") + mark if mark else url,
            "FEED_SECONDS": str(SECONDS),
            "CLIENT_ID": name,
            "VOLUMES": str(folder),
            "PYTHONUNBUFFERED": "1",
        }
        said = (folder / f"{name}.log").open("wb")
        started.append(
            subprocess.Popen([sys.executable, "-m", "services.client"], env=given, cwd=ROOT, stdout=said, stderr=said)
        )
        said.close()
    try:
        yield
    finally:
        for one in started:
            one.terminate()
            one.wait()
