"""Any WebSocket client may observe the feed without appearing in ledger and summary."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest
from websockets.sync.client import connect

from services.contract import wire
from tests.integration.processes import LocalRun, Process

WATCH = '{"type":"subscribe","client":"watcher","observe":true}'


@dataclass
class Watched:
    """A run of two clients, and the messages that three observers received."""

    code: int
    run: LocalRun
    terminal: list[str]
    last: int | None = None
    seqs: list[int] = field(default_factory=list)
    refusal: str = ""


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """Return a run with three observers: the command-line client, a library, and one that sends a receipt."""
    with LocalRun(tmp_path_factory.mktemp("watched"), CLIENTS=2, RECORDS=1200, RATE=600) as run:
        run.wait_for_line('"listening"')
        with Process("websockets", run.url) as terminal, connect(run.url, proxy=None, compression=None) as watcher:
            seen = Watched(-1, run, terminal.lines)
            terminal.wait_for_line("Connected")
            terminal.enter(WATCH)
            watcher.send(WATCH)
            seen.refusal = try_a_receipt(run.url)
            while seen.last is None:
                take(str(watcher.recv(timeout=15)), seen)
            seen.code = run.wait()
            seen.terminal = terminal.lines
        return seen


def take(message: str, seen: Watched) -> None:
    """Record the contents of a message."""
    head, *lines = message.splitlines()
    frame = json.loads(head)
    if frame["type"] == "records":
        # The numbers in the records equal those of the header.
        assert [json.loads(line)["id"] for line in lines] == list(
            range(frame["first"], frame["first"] + frame["count"])
        )
        seen.seqs += [json.loads(line)["id"] for line in lines]
    elif frame["type"] == "end":
        seen.last = frame["last"]


def try_a_receipt(url: str) -> str:
    """Observe, and send a receipt; return the code of the error in reply."""
    with connect(url, proxy=None) as watcher:
        watcher.recv(timeout=5)
        watcher.send(WATCH)
        watcher.recv(timeout=5)
        receipt = wire.Receipt(session=1, block=1, first=1, last=1, count=1, digest="x00000000", took_ns=1)
        watcher.send(wire.encode(receipt).decode())
        return str(json.loads(watcher.recv(timeout=5))["code"])


def test_the_command_line_client_watches(watched: Watched) -> None:
    """``python -m websockets`` and one typed line print the records as they are sent."""
    assert 10 < len([line for line in watched.terminal if '"type":"records"' in line])


def test_a_library_without_the_subprotocol_watches(watched: Watched) -> None:
    """A connection without a subprotocol receives every record from first to last, then the end."""
    assert (1200, list(range(1, 1201))) == (watched.last, watched.seqs)


def test_an_observer_may_send_no_receipt(watched: Watched) -> None:
    """A receipt of an observer is refused, so that it cannot change the ledger."""
    assert "not_subscribed" == watched.refusal


def test_observers_are_in_no_file(watched: Watched) -> None:
    """Summary, logs and ledger name the two clients only, and the run passes."""
    assert 0 == watched.code, watched.run.text
    summary = watched.run.volumes.summary()
    assert summary is not None
    assert ["client-1", "client-2"] == [client.client for client in summary.clients]
    assert (2400, 2400) == (summary.totals.expected, summary.totals.received)
    assert ["client-1", "client-2"] == watched.run.volumes.clients()
    assert b"watcher" not in b"".join(path.read_bytes() for path in watched.run.volumes.ledger_files())
