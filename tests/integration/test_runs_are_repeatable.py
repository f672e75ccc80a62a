"""The feed is a pure function: the same settings give the same records, on any server and at any time."""

from __future__ import annotations

from pathlib import Path

from websockets.sync.client import connect

from services.contract import wire
from tests.integration.conftest import CLIENTS, RECORDS, GoodRun
from tests.integration.processes import System, play
from tests.readers import record_of


def watched(url: str, after: int, count: int) -> bytes:
    """Return records as an observer receives them, each followed by a newline."""
    with connect(url, proxy=None, compression=None) as socket:
        socket.send(wire.encode(wire.Subscribe(client="observer", observe=True, after=after)).decode())
        body = b""
        while body.count(b"\n") < count:
            frame, lines = wire.decode_from_server(socket.recv(timeout=10, decode=False))
            body += lines if isinstance(frame, wire.Records) else b""
    return body


def test_two_runs_have_the_same_records(good_run: GoodRun, tmp_path: Path) -> None:
    """A second run with the same settings logs byte-identical records, with another number of clients."""
    code, run = play(tmp_path, CLIENTS=1, RECORDS=RECORDS, RATE=0)
    assert 0 == code, run.text
    again = [record_of(message) for message in run.volumes.messages("client-1")]
    for client in good_run.volumes.clients(good_run.name):
        assert again == [record_of(message) for message in good_run.volumes.messages(client, good_run.name)]
    assert CLIENTS == len(good_run.volumes.clients(good_run.name))


def test_two_servers_have_the_same_records(good_run: GoodRun, tmp_path: Path) -> None:
    """Other servers with the same settings send the same records, also to an observer that starts in the middle."""
    logged = [record_of(message) for message in good_run.volumes.messages("client-1", good_run.name)]
    for name, after in (("one", 0), ("two", 1234)):
        with System(tmp_path / name, RATE=0, RECORDS=RECORDS) as system:
            system.server()
            # An observer does not count as a client, so one has to start the run.
            system.client("client-1")
            assert logged[after:] == watched(system.url, after, RECORDS - after).splitlines()
