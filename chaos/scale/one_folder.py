"""Part (a): servers with addresses of their own share a folder, and one of them is killed and replaced."""

from __future__ import annotations

import signal
from pathlib import Path

from chaos.scale import run_check
from chaos.scale.part import Part, PartOutcome
from tests.integration.processes import Process, System
from tests.integration.shared_runs import ask
from tests.poll import poll_until

_SERVERS, _PROCESSES, _CONNECTIONS, _RUNS = 3, 4, 5, 2
_CLIENTS = _PROCESSES * _CONNECTIONS
_STEP_SECONDS = 30.0


def _play(folder: Path) -> PartOutcome:
    settings = {"CLIENTS": _CLIENTS, "RUNS": _RUNS, "SERVERS": _SERVERS, "RATE": 100, "RECORDS": 1000}
    with System(folder, **settings) as system:
        system.start("collector")
        servers = [_start(system, number) for number in range(_SERVERS)]
        for server in servers:
            server.wait_for_line('"listening"', _STEP_SECONDS)
        for number in range(1, _PROCESSES + 1):
            system.start("client", CLIENT_ID=f"client-{number}", CONNECTIONS=_CONNECTIONS)
        urls = [f"ws://{_own_address(number)}:{system.port}" for number in range(_SERVERS)]
        _control(urls)
        servers[0].signal(signal.SIGKILL)
        servers[0].wait(_STEP_SECONDS)
        _start(system, 0).wait_for_line('"listening"', _STEP_SECONDS)
        _wait_for_verdicts(system)
    return run_check.judge(folder, runs=_RUNS, servers=_SERVERS + 1)


def _own_address(number: int) -> str:
    return f"127.0.0.{11 + number}"


def _start(system: System, number: int) -> Process:
    """Start a server that clients reach like the others, and control requests alone."""
    return system.start("server", HOST=f"127.0.0.1,{_own_address(number)}")


def _control(urls: list[str]) -> None:
    """Pause the run at one server, set another rate at the second and resume it at the third."""

    def states() -> set[str]:
        return {ask(url, do="status").state for url in urls}

    poll_until(lambda: min(ask(url, do="status").head for url in urls) > 0, "all servers play the run", _STEP_SECONDS)
    ask(urls[1], do="pause")
    poll_until(lambda: states() == {"paused"}, "all servers pause", _STEP_SECONDS)
    ask(urls[2], set={"rate": 150})
    ask(urls[0], do="resume")
    poll_until(lambda: states() == {"running"}, "all servers play on", _STEP_SECONDS)


def _wait_for_verdicts(system: System) -> None:
    def verdicts() -> int:
        return sum(system.volumes.verdict(run) is not None for run in system.volumes.runs())

    poll_until(lambda: verdicts() == _RUNS, f"{_RUNS} runs have a verdict", 3 * _STEP_SECONDS)


ONE_FOLDER = Part(
    letter="a",
    what=f"{_SERVERS} servers in one folder × {_CLIENTS} clients, control at each, one killed -9 and replaced",
    is_short=True,
    play=_play,
)
