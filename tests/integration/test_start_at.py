"""Servers with START_AT play one run without a common folder, and no client is waited for."""

from __future__ import annotations

import functools
import shutil
import signal
import time
from pathlib import Path

import pytest

from services.contract import ledger
from services.contract.scalars import utc_text
from tests.integration.processes import System, play, verify
from tests.poll import poll_until


def start_text(seconds: float) -> str:
    """Return a time some seconds from now, in whole seconds."""
    return utc_text(int(time.time() + seconds) * 1_000_000)[:19] + "Z"


def entries(folder: Path) -> list[ledger.Entry]:
    """Return the entries of all ledgers in a volumes folder."""
    files = sorted(folder.glob("ledger/*/*.jsonl"))
    return [ledger.codec.decode(line)[1] for file in files for line in file.read_bytes().splitlines(keepends=True)]


def has_ended(folder: Path) -> bool:
    """Return whether a ledger in a volumes folder has the end of a run."""
    return any(isinstance(entry, ledger.EndEntry) for entry in entries(folder))


def merged(into: Path, *folders: Path) -> Path:
    """Copy several volumes folders into one."""
    for folder in folders:
        for side in ("logs", "ledger"):
            shutil.copytree(folder / side, into / side, dirs_exist_ok=True)
    return into


def test_two_hosts_play_one_run(tmp_path: Path) -> None:
    """Two servers with two folders and ten clients, one server killed and started again: one schedule, and PASS."""
    settings = {"START_AT": start_text(8), "RATE": 100, "RECORDS": 600, "GRACE_SECONDS": 4, "CLIENTS": 10}
    one, other = tmp_path / "one", tmp_path / "other"
    with System(one, **settings) as first, System(other, **settings) as second:
        first.server()
        server = second.server()
        for system, name in ((first, "a"), (second, "b")):
            system.start("client", CLIENT_ID=name, CONNECTIONS=5)
        poll_until(lambda: second.volumes.head("b.1") > 100, "the run goes", 40)
        server.signal(signal.SIGKILL)
        server.wait(10)
        second.server()
        for folder in (one, other):
            poll_until(functools.partial(has_ended, folder), "the run has ended", 40)
    code, text = verify(merged(tmp_path / "both", one, other))

    assert 0 == code, text
    assert 1 == len(list((tmp_path / "both" / "ledger").iterdir()))
    paces = [entry for entry in entries(tmp_path / "both") if isinstance(entry, ledger.PaceEntry)]
    assert 1 == len({(entry.first, entry.due_us, entry.rate) for entry in paces})
    assert 2 == len(paces)


def test_clients_go_on_at_a_server_with_another_folder(tmp_path: Path) -> None:
    """Clients that lose their server in mid-block have that block's receipt accepted by one that lacks the ledger.

    Without the ledger of the first server the run is INVALID.
    """
    settings = {"START_AT": start_text(8), "RATE": 100, "RECORDS": 600, "GRACE_SECONDS": 4, "BLOCK_SIZES": 7}
    one, other = tmp_path / "one", tmp_path / "other"
    with System(one, **settings) as system:
        first = system.server()
        client = system.start("client", CLIENT_ID="a", CONNECTIONS=5)
        poll_until(lambda: system.volumes.head("a.1") > 100, "the run goes", 40)
        first.signal(signal.SIGKILL)
        first.wait(10)
        system.server(VOLUMES=other)
        poll_until(functools.partial(has_ended, other), "the run has ended", 40)
        client.stop()
        assert "bad_receipt" not in client.text
    (other / "logs").mkdir()
    code, text = verify(merged(tmp_path / "both", one, other))
    assert 0 == code, text

    shutil.rmtree(one / "ledger")
    (one / "ledger").mkdir()
    code, text = verify(merged(tmp_path / "one ledger", one, other))
    assert (98, True) == (code, "the ledger lacks the subscription" in text), text


def test_a_local_run_starts_at_its_time(tmp_path: Path) -> None:
    """``make local`` plays the runs of START_AT, with a second server, and judges each."""
    settings = {"START_AT": start_text(7), "RATE": 200, "RECORDS": 200, "GRACE_SECONDS": 1, "RUNS": 2, "SERVERS": 2}
    code, run = play(tmp_path, CLIENTS=3, **settings)

    assert 0 == code, run.text
    assert 2 == len(run.volumes.runs())
    assert 2 == run.text.count("PASS")


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"START_AT": "tomorrow"}, "START_AT='tomorrow': expected a time in UTC, in whole seconds, like"),
        ({"START_AT": "2026-02-30T00:00:00Z"}, "START_AT='2026-02-30T00:00:00Z': expected a time in UTC"),
        ({"START_AT": "2024-01-01T00:00:00Z"}, "the run is over, it ended at 2024-01-01T00:00:44Z"),
        ({"START_AT": "2099-01-01T00:00:00Z"}, "days ahead; set a time within 31 days"),
        ({"START_AT": "2026-11-29T00:00:00Z", "RATE": 0}, "RATE=0: expected a rate above 0 with START_AT"),
        ({"START_AT": start_text(60), "LEDGER": "nats://127.0.0.1:1"}, "START_AT, LEDGER: expected one of both"),
    ],
)
def test_a_bad_start_is_one_line(tmp_path: Path, settings: dict[str, object], says: str) -> None:
    """A time that is none, is over or is far ahead ends the server with one line and code 104."""
    with System(tmp_path, **settings) as system:
        server = system.start("server")
        assert 104 == server.wait(30)
        assert [True] == ["error: " in line and says in line for line in server.lines]
