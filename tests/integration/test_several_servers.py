"""Several servers on one volumes folder play one run together, also when one of them is killed."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from websockets.sync.client import connect

from services.contract import ledger, wire
from tests.integration.processes import LocalRun, Process, System, verify
from tests.poll import poll_until
from tests.readers import Volumes


def ledgers(volumes: Volumes, run: str) -> list[list[ledger.Entry]]:
    """Return the entries of each ledger of a run."""
    files = (volumes.root / "ledger" / run).glob("*.jsonl")
    return [[ledger.codec.decode(line)[1] for line in file.read_bytes().splitlines(keepends=True)] for file in files]


def schedules(volumes: Volumes, run: str) -> set[tuple[tuple[int, int, float | None], ...]]:
    """Return the different schedules that the ledgers of a run have."""
    return {
        tuple((entry.first, entry.due_us, entry.rate) for entry in entries if isinstance(entry, ledger.PaceEntry))
        for entries in ledgers(volumes, run)
    }


def ask(url: str, **request: object) -> wire.Controlled:
    """Send a control request over a new connection, which any of the servers may accept; return the reply."""
    with connect(url, proxy=None) as connection:
        connection.recv()
        connection.send(json.dumps({"type": "control", **request}))
        while True:
            frame, _ = wire.decode_from_server(connection.recv(decode=False))
            assert not isinstance(frame, wire.Error), frame
            if isinstance(frame, wire.Controlled):
                return frame


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
    complete = max(schedules(system.volumes, name), key=len)
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
