"""Healthy feeds of each kind of decoding, many times over: every alarm is a false one.

The runs of a kind have one server and one folder, so that their summaries come from one process; each run is a process
with two clients, to which the server sends a feed of their own.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any, NamedTuple

from chaos.external.conditions import SIZE
from chaos.external.decodings import DECODINGS
from chaos.external.servers import SCRIPTS, processes, wait_for_port
from services.runtime.settings import BY_NAME
from tests.integration.processes import ROOT, free_port
from tests.poll import poll_until

RUNS = 20
_SECONDS = 4
_SPOILED = ("instrument on time", "receiving")
"""Checks that a busy machine fails: the clients were late, or the feed ended too long before the run."""
_MAX_RUNS = 3
"""Most runs, as a multiple of those asked for: a busy machine spoils some, and these are repeated."""


class Tally(NamedTuple):
    """The runs of one kind: their number, and what was wrong in some."""

    kind: str
    runs: int
    alarms: list[str]


def tallies(kinds: Sequence[str], runs: int, pool: Executor) -> Iterator[Tally]:
    """Judge each kind of decoding this many times; yield the tally of each kind."""
    return pool.map(lambda kind: _tally(kind, runs), kinds)


def _tally(kind: str, runs: int) -> Tally:
    summaries: list[dict[str, Any]] = []
    port, begun = free_port(), 0
    with processes() as server, tempfile.TemporaryDirectory() as name:
        script = str(SCRIPTS / "serve_decoding.py")
        server.start([sys.executable, script, kind, str(port), *map(str, SIZE)])
        wait_for_port(port, 60)
        while len(summaries) < runs and begun < _MAX_RUNS * runs:
            folder = Path(name) / str(begun)
            for _ in range(runs - len(summaries)):
                begun += 1
                _run_clients(kind, port, folder)
            summaries += [summary for summary in _summaries(folder) if not _was_spoiled(summary)]
    alarms = [f"{kind}: {one['verdict']}: {one['headline']}" for one in summaries if not _is_whole(one)]
    return Tally(kind, len(summaries), alarms)


def _run_clients(kind: str, port: int, folder: Path) -> None:
    """Make one run with two clients in one process."""
    inherited = {name: value for name, value in os.environ.items() if name not in BY_NAME}
    environment = {
        **inherited,
        **DECODINGS[kind].settings,
        "SERVER_URL": f"ws://127.0.0.1:{port}/",
        "FEED_SECONDS": str(_SECONDS),
        "CLIENT_ID": "client",
        "CONNECTIONS": str(SIZE.clients),
        "VOLUMES": str(folder),
    }
    before = _sealed(folder)
    command = [sys.executable, "-m", "services.client"]
    client = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        poll_until(lambda: _sealed(folder) == before + SIZE.clients, f"the logs of {kind} are sealed", 90)
    finally:
        client.terminate()
        client.wait()


def _sealed(folder: Path) -> int:
    return sum(b'"kind":"end"' in path.read_bytes() for path in folder.glob("logs/2*/client*/*.jsonl"))


def _summaries(folder: Path) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", "services.collector", "verify", "--json", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return [json.loads(line) for line in done.stdout.splitlines()]


def _was_spoiled(summary: dict[str, Any]) -> bool:
    """Return whether the machine was too busy: the clients were late, or the run ended before the feed."""
    late = any(check["name"] in _SPOILED and check["ok"] is False for check in summary["checks"])
    totals = summary["totals"]
    has_faults = any((totals["missing"], totals["duplicates"], totals["reordered"], totals.get("gaps")))
    was_cut = totals["received"] < SIZE.clients * SIZE.records and not has_faults and summary["verdict"] != "FAIL"
    return late or was_cut


def _is_whole(summary: dict[str, Any]) -> bool:
    """Return whether a summary passes, with all records of both clients and no fault."""
    totals = summary["totals"]
    return (
        summary["verdict"] == "PASS"
        and totals["received"] == SIZE.clients * SIZE.records
        and not any((totals["missing"], totals["duplicates"], totals["reordered"], totals.get("gaps")))
    )
