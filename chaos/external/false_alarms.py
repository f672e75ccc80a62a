"""Healthy feeds of each kind of decoding, many times over: every alarm is a false one."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import NamedTuple

from chaos.external.conditions import HEALTHY, SIZE, Faults
from chaos.external.decodings import DECODINGS
from chaos.external.servers import SCRIPTS, ExternalServer, FeedSize, RunningServer, Start, processes, wait_for_port
from chaos.external.verification import verify_server
from tests.integration.processes import free_port

RUNS = 20
_GAP_KINDS = ("ranges", "links")


class Tally(NamedTuple):
    """The runs of one kind: their number, and what was wrong in some."""

    kind: str
    runs: int
    alarms: list[str]


def tallies(kinds: Sequence[str], runs: int, pool: Executor) -> Iterator[Tally]:
    """Judge each kind of decoding this many times; yield the tally of each kind."""
    planned = [(kind, seed) for kind in kinds for seed in range(runs)]
    answers = pool.map(lambda each: _alarm(*each), planned)
    for kind in kinds:
        found = [next(answers) for _ in range(runs)]
        yield Tally(kind, runs, [alarm for alarm in found if alarm])


def _alarm(kind: str, seed: int) -> str:
    """Return what a run of a healthy feed reports, empty if it passes and everything was received."""
    losses = "gaps" if kind in _GAP_KINDS else "numbers"
    server = ExternalServer(kind, _start(kind, seed), DECODINGS[kind].settings, losses=losses)
    try:
        run = verify_server(server, HEALTHY)
    except AssertionError as problem:
        return f"{kind}, seed {seed}: {problem}"
    received = run.summary["totals"]["received"]
    # Both clients get the whole feed, since it begins when both are connected.
    is_right = (run.verdict, run.reported, run.others, received) == (
        "PASS",
        Faults(),
        Faults(),
        SIZE.clients * SIZE.records,
    )
    return "" if is_right else f"{kind}, seed {seed}: {run.verdict}, {received} received: {run.summary['headline']}"


def _start(kind: str, seed: int) -> Start:
    @contextlib.contextmanager
    def start(size: FeedSize, _folder: Path) -> Iterator[RunningServer]:
        port = free_port()
        with processes() as started:
            script = str(SCRIPTS / "serve_decoding.py")
            started.start([sys.executable, script, kind, str(seed), str(port), *map(str, size)])
            wait_for_port(port)
            yield RunningServer(f"ws://127.0.0.1:{port}/", started)

    return start
