"""Floods of the default containers, as long as ``LONG=1`` asks for: no container may end, and the honest run passes.

The floods of the feed come from a container in the network of the clients. All of them but the last are tried during
one run of three honest clients. The last one takes part in the next run under ever new names: these clients log
nothing, which the verdict of that run says, but the honest ones receive everything.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

from chaos.containers.fast_forward import set_rate
from chaos.security import flood, page_cases
from chaos.security.case import CaseResult
from services.contract.summary import Summary
from tests.integration.processes import ROOT
from tests.integration.stack import Stack, docker, engine_answers
from tests.poll import poll_until

_HONEST, _RATE, _RECORDS, _LAST_RATE = 3, 50, 50_000, 20_000
_FEED = {"fat handshakes": "T3", "WebSocket pings": "T9", "pings": "T9", "subscriptions to another run": "T10"}
"""The threat of each flood during the first run."""
_SPARSE_BYTES, _SPARSE_PAUSE = 3 * 2**30, 0.5
_SERVICES = [("server", 1), ("collector", 1), *(("client", number) for number in range(1, _HONEST + 1))]
_START_SECONDS, _VERDICT_SECONDS = 60.0, 180.0


def lacking() -> str:
    """Return what this machine lacks for containers; empty if it lacks nothing."""
    return "" if engine_answers() else "no Docker engine with Compose answers"


def attempt_all(folder: Path, seconds: float) -> Iterator[CaseResult]:
    """Yield what came of each flood, and of the honest run.

    Args:
        folder: for the volumes of the containers.
        seconds: how long each flood lasts.
    """
    # The services run under another uid.
    folder.chmod(0o777)
    settings = {"RATE": _RATE, "RECORDS": _RECORDS, "RUNS": 2, "SCHEMA": "sensor", "CLIENTS": _HONEST}
    with Stack(folder, **settings) as stack:
        stack.up(clients=_HONEST)
        stack.subscribed()
        started = _started(stack)
        for kind, threat in _FEED.items():
            _flood(stack, kind, seconds)
            yield _still_runs(stack, started, threat, kind)
        _fill_with_sparse_files(stack, seconds)
        yield _still_runs(stack, started, "T17", "sparse files of 3 GB")
        answers = _ask_for_reports(stack, seconds)
        yield CaseResult("T3", "containers: answers to requests for the report", "answered", "; ".join(answers))
        yield _still_runs(stack, started, "T3", "requests for the report")
        run = stack.volumes.newest()
        set_rate(stack, _LAST_RATE)
        summary = _verdict(stack, run)
        yield CaseResult("all", "containers: verdict of the honest run", "PASS", str(summary.verdict))

        poll_until(lambda: stack.volumes.newest() > run, "the next run begins", _START_SECONDS)
        _flood(stack, flood.NEW_NAMES, seconds)
        yield _still_runs(stack, started, "T10", flood.NEW_NAMES)
        set_rate(stack, _LAST_RATE)
        summary = _verdict(stack, stack.volumes.newest())
        whole = sum(client.received == _RECORDS for client in summary.clients if client.client.startswith("client-"))
        yield CaseResult("T10", "containers: honest clients that are whole beside new names", str(_HONEST), str(whole))


def _flood(stack: Stack, kind: str, seconds: float) -> None:
    """Let a container in the network of the clients flood the server."""
    options = ["--rm", "--network", f"{stack.project}_wire", "--entrypoint", "python", "--env", "PYTHONPATH=/attacker"]
    volume = f"{ROOT / 'chaos'}:/attacker/chaos:ro"
    command = ["-m", "chaos.security.flood", "server", "8765", kind, str(seconds)]
    run = ["run", *options, "--volume", volume, "streamgauge-client", *command]
    # A flood that does not reach the server would leave it unharmed, too.
    connections, size = map(int, docker(*run, timeout=seconds + _START_SECONDS).split())
    assert size > 0, f"{kind}: nothing was sent in {connections} attempts to connect"


def _fill_with_sparse_files(stack: Stack, seconds: float) -> None:
    """Make runs and clients with huge files in the folder of the logs, as any client can."""
    logs, until, number = stack.volumes.root / "logs", time.monotonic() + seconds, 0
    while time.monotonic() < until:
        number += 1
        place = logs / f"20200101T{number // 3600:02}{number // 60 % 60:02}{number % 60:02}Z" / "client-1"
        place.mkdir(parents=True)
        (place / "0001-0001.jsonl").touch()
        os.truncate(place / "0001-0001.jsonl", _SPARSE_BYTES)
        time.sleep(_SPARSE_PAUSE)


def _ask_for_reports(stack: Stack, seconds: float) -> list[str]:
    """Ask again and again; return the different answers."""
    port = int(stack.page().rsplit(":", 1)[1])
    until = time.monotonic() + seconds
    found = set[str]()
    while time.monotonic() < until:
        found.add(page_cases.ask_for_reports(port))
    return sorted(found)


def _started(stack: Stack) -> list[tuple[int, str]]:
    """Return how often each container was restarted, and when its process was started."""
    described = [stack.inspect(*service) for service in _SERVICES]
    return [(container["RestartCount"], container["State"]["StartedAt"]) for container in described]


def _still_runs(stack: Stack, started: list[tuple[int, str]], threat: str, what: str) -> CaseResult:
    restarted = [service for service, was, now in zip(_SERVICES, started, _started(stack), strict=True) if was != now]
    traces = [name for name, number in _SERVICES if "Traceback" in stack.logs(name, number)]
    problems = [f"restarted: {restarted}"] * bool(restarted) + [f"traceback: {traces}"] * bool(traces)
    return CaseResult(threat, f"containers: {what}", "run on", "; ".join(problems) or "run on")


def _verdict(stack: Stack, run: str) -> Summary:
    found = poll_until(lambda: stack.volumes.verdict(run), f"{run} has a verdict", _VERDICT_SECONDS)
    assert found is not None
    return found
