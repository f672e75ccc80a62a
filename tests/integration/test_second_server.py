"""A second server with other settings is refused; the run of a crashed server is continued at once."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import time
from pathlib import Path

import pytest
from websockets.sync.client import connect

from services.contract import ledger, wire
from tests.integration.processes import LocalRun, Process, System, free_port
from tests.poll import poll_until

BAD = 104
AT_ONCE_SECONDS = 5.0
"""Seconds: less than the other server is watched, and enough for a process to start on a busy machine."""


def ended(system: System) -> list[ledger.EndEntry]:
    """Return the end of the newest run, if it has ended."""
    return [entry for entry in system.volumes.ledger() if isinstance(entry, ledger.EndEntry)]


def errors(process: Process) -> list[str]:
    """Return the lines that report a refused start."""
    return [line for line in process.lines if line.startswith("error: ")]


@pytest.mark.parametrize(
    ("changed", "why"), [({"RATE": 500}, "RATE 50, here 500"), ({"RECORDS": 5}, "RECORDS 400, here 5")]
)
def test_a_server_with_other_settings_is_refused(changed: dict[str, int], why: str, tmp_path: Path) -> None:
    """A server with other settings beside a live one exits 104 with one line; the live run is not affected."""
    with System(tmp_path, RECORDS=400, RATE=50) as system:
        system.server()
        system.client("client-1")
        poll_until(lambda: system.volumes.head("client-1") > 0, "the run goes", 20)
        second = system.start("server", PORT=free_port(), **changed)
        assert BAD == second.wait(20)
        (line,) = errors(second)
        assert line.startswith(f"error: another server is playing run {system.volumes.newest()} in {tmp_path}/ledger: ")
        assert why in line
        assert "Traceback" not in second.text
        assert '"listening"' not in second.text
        assert 1 == len(system.volumes.runs())
        assert 1 == len(system.volumes.ledger_files())
        entries = system.volumes.ledger()
        assert [50] == [entry.rate for entry in entries if isinstance(entry, ledger.PaceEntry)]
        assert not [entry for entry in entries if isinstance(entry, ledger.EndEntry)]


def test_a_server_whose_run_has_ended_lives_too(tmp_path: Path) -> None:
    """Beside a server that has played its runs another one opens none: it waits until that one is gone."""
    with System(tmp_path, RECORDS=20, RATE=0) as system:
        first = system.server()
        system.client("client-1")
        poll_until(lambda: ended(system), "the run ends", 20)
        since = time.monotonic()
        poll_until(lambda: time.monotonic() - since > 7, "its last line is old", 10)
        assert BAD == system.start("server", PORT=free_port(), RATE=5).wait(20)
        beat = tmp_path / "beat"
        second = system.start("server", PORT=free_port(), HEARTBEAT=beat)
        poll_until(beat.exists, "it is healthy while it waits", 20)
        since = time.monotonic()
        poll_until(lambda: time.monotonic() - since > 7, "it waits", 10)
        assert (None, 1) == (second.code, len(system.volumes.runs()))
        first.stop()
        second.wait_for_line("run opened", 20)


def test_a_killed_server_is_followed_at_once(tmp_path: Path) -> None:
    """The run of a killed server is continued by the same settings without waiting."""
    with System(tmp_path, RECORDS=10_000, RATE=50) as system:
        first = system.server()
        system.client("client-1")
        poll_until(lambda: system.volumes.head("client-1") > 0, "the run goes", 20)
        first.signal(signal.SIGKILL)
        first.wait(10)
        began = time.monotonic()
        second = system.server()
        assert time.monotonic() - began < AT_ONCE_SECONDS
        assert "run continued" in second.text
        assert 1 == len(system.volumes.runs())


def test_a_stopped_server_is_followed_at_once(tmp_path: Path) -> None:
    """A server that was asked to stop has ended once its process has."""
    with System(tmp_path, RECORDS=10_000, RATE=50) as system:
        system.server().stop()
        began = time.monotonic()
        assert "run continued" in system.server().text
        assert time.monotonic() - began < AT_ONCE_SECONDS


def test_a_server_that_stands_still_is_followed_after_the_watch(tmp_path: Path) -> None:
    """A server process that shows no activity for six seconds does not block the next one."""
    with System(tmp_path, RECORDS=10_000, RATE=50) as system:
        first = system.server()
        first.signal(signal.SIGSTOP)
        second = system.start("server", PORT=free_port())
        second.wait_for_line("run continued", 25)
        first.signal(signal.SIGKILL)
        first.signal(signal.SIGCONT)


def test_three_that_start_together_play_one_run(tmp_path: Path) -> None:
    """Of servers that start at the same time on an empty folder one opens a run, and the others join it."""
    with System(tmp_path) as system:
        servers = [system.start("server", PORT=free_port()) for _ in range(3)]
        for server in servers:
            server.wait_for_line('"listening"', 40)
        assert 1 == len(system.volumes.runs())
        assert 3 == len(system.volumes.ledger_files())
        assert 1 == sum("run opened" in server.text for server in servers)


@pytest.mark.parametrize("taken", ["port", "host", "setting"])
def test_a_refused_start_leaves_the_volumes_as_they_were(taken: str, tmp_path: Path) -> None:
    """A port in use, a foreign address and a malformed one are reported in one line each; nothing is written."""
    volumes = tmp_path / "volumes"
    volumes.mkdir()
    with socket.create_server(("127.0.0.1", 0)) as other:
        wrong: dict[str, object] = {
            "port": {"PORT": other.getsockname()[1]},
            "host": {"HOST": "192.0.2.1", "EXPOSURE": "INSECURE"},
            "setting": {"HOST": "here"},
        }[taken]
        with Process("services.server", VOLUMES=volumes, **{"PORT": free_port(), **wrong}) as server:
            assert BAD == server.wait()
    assert 1 == len(errors(server)) == len(server.lines), server.text
    assert [] == list(volumes.iterdir())


def answers(host: str, port: int) -> bool:
    """Return whether a server can be reached at an address."""
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize(("host", "others"), [(None, False), ("*", True), ("127.0.0.1,127.0.0.2", True)])
def test_a_server_listens_on_its_host_only(host: str | None, others: bool, tmp_path: Path) -> None:
    """Outside containers the server listens on loopback only, unless ``HOST`` is set."""
    with System(tmp_path, EXPOSURE="INSECURE", **({"HOST": host} if host else {})) as system:
        system.server()

        assert answers("127.0.0.1", system.port)
        assert others == answers("127.0.0.2", system.port)


def late(system: System) -> list[str]:
    """Return the clients that the ledgers call late."""
    return [entry.client for entry in system.volumes.ledger() if isinstance(entry, ledger.LateEntry)]


def test_a_client_that_comes_just_too_late_is_in_the_ledger(tmp_path: Path) -> None:
    """A client that subscribes right after the end is refused and entered once; it has no log."""
    with System(tmp_path, RECORDS=20, RATE=0) as system:
        system.server()
        system.client("client-1")
        poll_until(
            lambda: [entry for entry in system.volumes.ledger() if isinstance(entry, ledger.EndEntry)],
            "it ends",
            20,
            0.02,
        )
        for _ in range(2):
            with connect(system.url, proxy=None) as feed:
                json.loads(feed.recv())
                feed.send(wire.encode(wire.Subscribe(client="client-2", instance="x")).decode())
                assert {"type": "bye", "last": None, "reason": "ended", "retry_ms": 2000} == json.loads(feed.recv())
        poll_until(lambda: late(system), "the late one is in the ledger", 5)
        third = system.client("client-3")
        third.wait_for_line("waiting for the next")
        time_of_refusal = time.monotonic()
        poll_until(lambda: time.monotonic() - time_of_refusal > 2, "it has come back", 5)
        assert third.code is None
        assert 1 == len([line for line in third.lines if "waiting for the next" in line])
        assert "client-2" == late(system)[0]
        assert 1 == late(system).count("client-2")
        assert ["client-1"] == system.volumes.clients()


def test_a_late_client_takes_part_in_the_next_run(tmp_path: Path) -> None:
    """With ``RUNS=2`` a client that connects after the first run receives the whole second one."""
    with System(tmp_path, RECORDS=50, RATE=50, RUNS=2) as system:
        system.server()
        system.client("client-1")
        poll_until(
            lambda: [entry for entry in system.volumes.ledger() if isinstance(entry, ledger.EndEntry)],
            "it ends",
            20,
            0.02,
        )
        system.client("client-2")
        poll_until(lambda: len(system.volumes.runs()) == 2, "the second run is opened", 20)
        first, second = system.volumes.runs()
        poll_until(lambda: ended(system), "the second run ends", 30)
        assert ["client-1"] == system.volumes.clients(first)
        assert ["client-1", "client-2"] == system.volumes.clients(second)
        assert list(range(1, 51)) == [message.seq for message in system.volumes.messages("client-2", second)]


def test_a_local_run_beside_a_local_run_is_refused(tmp_path: Path) -> None:
    """The supervisor ends with the exit code of a refused server."""
    with LocalRun(tmp_path, CLIENTS=1, RECORDS=2000, RATE=100) as first:
        first.wait_for_line("listening", 20)
        with LocalRun(tmp_path, CLIENTS=1, RECORDS=2000, RATE=100) as second:
            assert BAD == second.wait(30), second.text


@pytest.mark.parametrize("is_removed", [False, True])
def test_a_frozen_server_leaves_the_folder_to_one_with_other_settings(is_removed: bool, tmp_path: Path) -> None:
    """A server that was frozen meanwhile exits 104 with one line when it continues, and does not enter the new run."""
    with System(tmp_path, RECORDS=4000, RATE=200, RUNS=2) as system:
        frozen = system.server()
        first = system.volumes.newest()
        system.client("client-1")
        poll_until(lambda: system.volumes.head("client-1") > 0, "the run goes", 30)
        frozen.signal(signal.SIGSTOP)
        # It is refused while the ledger of the first one may be touched.
        second = poll_until(lambda: _other_server(system), "a server with other settings starts", 60)
        if is_removed:
            shutil.rmtree(tmp_path / "ledger" / first)
        frozen.signal(signal.SIGCONT)
        assert BAD == frozen.wait(30)
        (line,) = errors(frozen)
        assert "RATE 100, here 200" in line
        assert "Traceback" not in frozen.text
        assert second.code is None
        assert 1 == len(system.volumes.ledger_files())


def _other_server(system: System) -> Process | None:
    """Start a server with another rate; return it, None if it is refused."""
    server = system.start("server", PORT=free_port(), RECORDS=1000, RATE=100)
    poll_until(lambda: server.code is not None or '"listening"' in server.text, "it starts or is refused", 30)
    return server if server.code is None else None
