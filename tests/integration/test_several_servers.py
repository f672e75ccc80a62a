"""Several servers on one volumes folder play one run together, also when one of them is killed."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest

from services.contract import ledger
from tests.integration.processes import LocalRun, Process, System, free_port, verify
from tests.integration.shared_runs import ask, ledgers, schedules
from tests.poll import poll_until
from tests.readers import Volumes


def test_servers_on_one_port_play_one_run(tmp_path: Path) -> None:
    """With ``SERVERS`` a local run has several server processes with one port, one schedule and one verdict."""
    with LocalRun(tmp_path, SERVERS=3, CLIENTS=8, RECORDS=600, RATE=200, RUNS=2) as run:
        assert 0 == run.wait(60), run.text
        first, second = run.volumes.runs()

    for name in (first, second):
        assert 3 == len(ledgers(run.volumes, name))
        assert 1 == len(schedules(run.volumes, name))
    assert (0, 2) == (verify(tmp_path)[0], len(run.volumes.runs()))


def _killed_and_replaced(system: System, servers: list[Process]) -> None:
    servers[0].signal(signal.SIGKILL)
    servers[0].wait(10)
    servers[0] = system.server()


def test_a_run_survives_one_of_its_servers(tmp_path: Path) -> None:
    """Control at any server changes the run of all; one that is killed and replaced costs no record."""
    with System(tmp_path, RECORDS=1200, RATE=200, CLIENTS=8, SERVERS=3, KEEP_RUNS=5) as system:
        collector = system.start("collector")
        servers = [system.start("server") for _ in range(3)]
        for server in servers:
            server.wait_for_line('"listening"', 30)
        system.start("client", CLIENT_ID="client-1", CONNECTIONS=8)
        name = system.volumes.newest()
        poll_until(lambda: ask(system.url, do="status").head > 0, "the run goes", 30)
        ask(system.url, do="pause")
        poll_until(lambda: {"paused"} == {ask(system.url, do="status").state for _ in range(6)}, "all pause", 10)
        poll_until(lambda: len({ask(system.url, do="status").head for _ in range(6)}) == 1, "the pause has begun", 10)
        ask(system.url, set={"rate": 150})
        ask(system.url, do="resume")
        _killed_and_replaced(system, servers)
        collector.wait_for_line("PASS", 60)

    assert 4 == len(ledgers(system.volumes, name))
    (complete,) = schedules(system.volumes, name)
    assert [200, None, 150] == [rate for _, _, rate in complete]
    assert 0 == verify(tmp_path)[0]


def test_a_second_server_joins_a_run_and_stops_without_it(tmp_path: Path) -> None:
    """A server that stops beside another one neither pauses nor ends the run, and the token stays."""
    with System(tmp_path, RECORDS=100_000, RATE=100, SERVERS=2) as system:
        system.server()
        system.client("client-1")
        poll_until(lambda: system.volumes.head("client-1") > 0, "the run goes", 20)
        token = (tmp_path / "ledger" / "control.token").read_text()
        second = system.server()
        assert "run continued" in second.text
        poll_until(lambda: len(ledgers(system.volumes, system.volumes.newest())) == 2, "both have a ledger", 5)
        assert 0 == second.stop()
        assert token == (tmp_path / "ledger" / "control.token").read_text()
        at_stop = system.volumes.head("client-1")
        poll_until(lambda: system.volumes.head("client-1") > at_stop + 100, "the run goes on", 20)
        paces = {pace for schedule in schedules(system.volumes, system.volumes.newest()) for pace in schedule}
        assert [(1, 100)] == [(first, rate) for first, _, rate in paces]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_server_that_is_gone_need_not_be_replaced(how: signal.Signals, tmp_path: Path) -> None:
    """A run passes if one of its servers is stopped or killed and the others serve its clients to the end."""
    with System(tmp_path, RECORDS=1200, RATE=200, CLIENTS=8, SERVERS=2) as system:
        collector = system.start("collector")
        servers = [system.start("server") for _ in range(2)]
        for server in servers:
            server.wait_for_line('"listening"', 30)
        system.start("client", CLIENT_ID="client-1", CONNECTIONS=8)
        poll_until(lambda: len(_measured(system.volumes)) > 1, "both servers have measured themselves", 30)
        servers[0].signal(how)
        servers[0].wait(20)
        collector.wait_for_line("PASS", 60)

    ended = [[entry for entry in entries if isinstance(entry, ledger.EndEntry)] for entries in _newest(system.volumes)]
    assert [0, 1] == sorted(map(len, ended))
    code, text = verify(tmp_path)
    assert 0 == code, text


def _newest(volumes: Volumes) -> list[list[ledger.Entry]]:
    return ledgers(volumes, volumes.newest()) if volumes.runs() else []


def _measured(volumes: Volumes) -> list[list[ledger.Entry]]:
    """Return the ledgers of the newest run in which a server has measured how late it was, after it had sent."""
    return [
        entries
        for entries in _newest(volumes)
        if any(isinstance(entry, ledger.MeasuredEntry) and entry.late_p99_ns is not None for entry in entries)
    ]


def test_a_frozen_server_finds_the_run_that_the_others_play(tmp_path: Path) -> None:
    """A server that was frozen while its run ended, and was removed, plays the newest run with the others."""
    with System(tmp_path, RECORDS=200, RATE=200, CLIENTS=2, SERVERS=2, RUNS=0, KEEP_RUNS=1) as system:
        system.start("collector")
        # Clients do not know the port of the server that is frozen: connections to it would wait.
        frozen = system.server(PORT=free_port())
        system.server()
        first = system.volumes.newest()
        frozen.signal(signal.SIGSTOP)
        system.start("client", CLIENT_ID="client-1", CONNECTIONS=2)
        poll_until(lambda: not (tmp_path / "ledger" / first).exists(), "the first run is over and removed", 60)
        frozen.signal(signal.SIGCONT)
        assert poll_until(lambda: _joined(frozen), "it joins a later run", 20) > first
        poll_until(lambda: len(system.volumes.ledger_files()) == 2, "both servers have a ledger", 20)
        assert frozen.code is None


def _joined(server: Process) -> str:
    """Return the run that a server has continued last, empty before."""
    events = [json.loads(line) for line in server.lines if '"run continued"' in line]
    return str(events[-1]["run"]) if events else ""


def test_a_client_that_is_frozen_at_the_end_is_waited_for(tmp_path: Path) -> None:
    """The run ends when the clients of all servers are done, so a client that thaws in the grace period is whole."""
    with System(tmp_path, RECORDS=400, RATE=200, CLIENTS=2, SERVERS=2, GRACE_SECONDS=30) as system:
        collector = system.start("collector")
        # Each server has its own port, so that each has one client.
        ports = [free_port() for _ in range(2)]
        for port in ports:
            system.server(PORT=port)
        clients = [
            system.client(f"client-{number}", SERVER_URL=f"ws://127.0.0.1:{port}")
            for number, port in enumerate(ports, 1)
        ]
        poll_until(lambda: system.volumes.head("client-1") > 0, "the run goes", 30)
        clients[0].signal(signal.SIGSTOP)
        poll_until(lambda: system.volumes.head("client-2") == 400, "the other client has everything", 30)
        since = time.monotonic()
        # A run is published 1.5 s after its end, and clients have 5 s to seal their logs.
        poll_until(lambda: time.monotonic() - since > 7, "a run that had ended would be closed", 10)
        assert system.volumes.verdict() is None
        clients[0].signal(signal.SIGCONT)
        collector.wait_for_line("PASS", 60)
    assert 0 == verify(tmp_path)[0]


def test_a_second_server_without_links_is_refused(tmp_path: Path) -> None:
    """Where the file system has no hard links, one server plays, and a second one exits 104 with one line."""
    with System(tmp_path, RECORDS=400, RATE=100, SERVERS=2) as system:
        system.modules["server"] = "tests.integration.server_without_links"
        system.server()
        system.client("client-1")
        poll_until(lambda: system.volumes.head("client-1") > 0, "the run goes", 30)
        second = system.start("server")
        assert 104 == second.wait(30)
        assert (
            f"error: another server is playing run {system.volumes.newest()} in {tmp_path}/ledger:"
            " several servers need hard links, which this folder or that server does not support;"
            " stop it, or give this one another VOLUMES"
        ) == second.text
        assert 1 == len(system.volumes.ledger_files())
