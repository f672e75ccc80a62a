"""Tests of the server as a whole, lightly: its port, its answers, its stop. The rest is for the integration tests."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from services.contract import wire
from services.runtime.clock import Clock
from services.runtime.control import token
from services.runtime.errors import PortInUse
from services.server import app
from services.server.runs.other_servers import FolderLook
from services.server.runs.run import Run
from tests.unit.server.fakes import feed, new_run, settings

_OPENING = b"""\
GET / HTTP/1.1
Host: localhost
Upgrade: websocket
Connection: Upgrade
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
Sec-WebSocket-Version: 13

"""


@pytest.fixture
def port(monkeypatch: pytest.MonkeyPatch) -> int:
    """Return a free port; the pools are those that other tests made."""
    monkeypatch.setattr(app, "FeedGenerator", lambda *_: feed())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


async def get(port: int, path: str) -> tuple[bytes, bytes]:
    """Return the status line and the body of a plain request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()
    return head.partition(b"\r\n")[0], body


async def listening(port: int) -> None:
    """Wait until somebody listens."""
    while True:
        try:
            await get(port, "/healthz")
        except OSError:
            await asyncio.sleep(0.01)
        else:
            return


async def until_closed(client: ClientConnection) -> list[wire.FromServer]:
    """Return all frames that come before the connection is closed."""
    found = []
    with contextlib.suppress(ConnectionClosed):
        while True:
            found.append(wire.decode_from_server(await client.recv(decode=False))[0])
    return found


async def test_serves_until_stopped(tmp_path: Path, port: int) -> None:
    """The one port answers probes and feeds clients; a stop drains them and leaves a paused run."""
    stop = asyncio.Event()
    task = asyncio.create_task(app.main(settings(tmp_path, port=port, rate=1000), stop))
    async with asyncio.timeout(30):
        await listening(port)
        assert (b"HTTP/1.1 200 OK", b"waiting\n") == await get(port, "/healthz")
        assert b"streamgauge_clients 0.0" in (await get(port, "/metrics"))[1]
        with pytest.raises(InvalidStatus):
            await connect(f"ws://127.0.0.1:{port}", origin="http://evil.example", proxy=None)  # type: ignore[arg-type]
        async with connect(f"ws://127.0.0.1:{port}", proxy=None, compression=None) as client:
            await client.send('{"type":"subscribe","client":"curl","instance":"i"}')
            kinds = [type(wire.decode_from_server(await client.recv(decode=False))[0]).__name__ for _ in range(3)]
            stop.set()
            last = (await until_closed(client))[-1]
        assert 0 == await task

    assert ["Welcome", "Subscribed"] == kinds[:2]
    assert wire.Bye(reason="draining", retry_ms=500) == last
    assert wire.CLOSE_DRAINING == client.close_code
    (ledger,) = (tmp_path / "ledger").glob("*/*.jsonl")
    assert b'"kind":"leave"' in ledger.read_bytes().splitlines()[-1]


async def serving(stop: asyncio.Event, folder: Path, port: int, **changed: Any) -> asyncio.Task[int]:
    """Return a server that listens."""
    task = asyncio.create_task(app.main(settings(folder, port=port, **changed), stop))
    async with asyncio.timeout(30):
        await listening(port)
    return task


async def test_a_token_is_handed_on_while_it_serves(tmp_path: Path, port: int) -> None:
    """A server that was given no token draws one, hands it on by a file, and removes it when it stops."""
    stop = asyncio.Event()
    task = await serving(stop, tmp_path, port)
    drawn = token.read(tmp_path / "ledger" / token.NAME)
    stop.set()
    await task

    assert drawn
    assert not (tmp_path / "ledger" / token.NAME).exists()


async def test_the_operators_own_token_is_written_nowhere(tmp_path: Path, port: int) -> None:
    """A token that the operator set stays where the operator has it."""
    stop = asyncio.Event()
    task = await serving(stop, tmp_path, port, control_token="sesame")

    assert [] == list((tmp_path / "ledger").glob("*.token"))
    stop.set()
    await task


async def test_a_token_that_cannot_be_handed_on_is_no_reason_to_stop(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the file cannot be written the server serves all the same, with control from loopback alone."""

    def refuse(_folder: Path) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(token, "draw", refuse)
    stop = asyncio.Event()
    task = await serving(stop, tmp_path, port)
    stop.set()

    assert 0 == await task


async def test_a_port_in_use_is_said(tmp_path: Path, port: int) -> None:
    """A port that another process has is the operator's to mend."""
    with socket.socket() as other:
        other.bind(("0.0.0.0", port))
        other.listen()
        with pytest.raises(PortInUse, match=f"port {port} is in use"):
            await app.main(settings(tmp_path, port=port), asyncio.Event())


def tree(folder: Path) -> dict[str, tuple[float, bytes]]:
    """Return everything in a folder, with the time of its last change and its content."""
    return {
        str(path): (path.stat().st_mtime, path.read_bytes() if path.is_file() else b"")
        for path in sorted([folder, *folder.rglob("*")])
    }


@pytest.mark.parametrize("has_run", [False, True])
async def test_a_refused_start_changes_nothing(tmp_path: Path, port: int, *, has_run: bool) -> None:
    """When the port is in use the volumes stay as they were: no run is opened, and none that was interrupted ended."""
    if has_run:
        new_run(tmp_path, Clock(), records=5).ledger.close()
    before = tree(tmp_path)
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        with pytest.raises(PortInUse):
            await app.main(settings(tmp_path, port=port), asyncio.Event())

    assert before == tree(tmp_path)


async def test_nothing_is_said_before_the_run_is_open(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While the server looks for another one connections are refused: no client waits for one that may not come."""
    looking, go_on = threading.Event(), threading.Event()

    def watch(*_: object) -> FolderLook:
        looking.set()
        assert go_on.wait(20)
        return FolderLook("", {})

    monkeypatch.setattr("services.server.runs.other_servers.watch", watch)
    stop = asyncio.Event()
    task = asyncio.create_task(app.main(settings(tmp_path, port=port), stop))
    async with asyncio.timeout(30):
        assert await asyncio.to_thread(looking.wait, 20)
        with pytest.raises(OSError, match="Connect call failed"):
            await asyncio.open_connection("127.0.0.1", port)
        assert not (tmp_path / "ledger").exists()
        go_on.set()
        await listening(port)
        stop.set()

        assert 0 == await task


async def test_a_stop_ends_the_watching(tmp_path: Path, port: int) -> None:
    """A server that is asked to stop while it watches another one's ledger ends at once, and opens nothing."""
    new_run(tmp_path, Clock()).ledger.close()
    ledger = next((tmp_path / "ledger").glob("*/*.jsonl"))
    line = ledger.read_bytes()
    ledger.write_bytes(line.replace(b'"process":"', b'"process":"elsewhere '))
    stop = asyncio.Event()
    task = asyncio.create_task(app.main(settings(tmp_path, port=port), stop))
    await asyncio.sleep(0.2)
    assert not task.done()
    stop.set()
    async with asyncio.timeout(3):
        assert 0 == await task

    assert [ledger] == list((tmp_path / "ledger").glob("*/*"))


async def test_it_shows_that_it_lives_when_the_run_has_ended_and_the_disk_refuses(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger is touched as long as the server lives, whatever becomes of the run and of what is written."""
    monkeypatch.setattr(app, "_TOUCH_SECONDS", 0.01)
    monkeypatch.setattr(app, "_SYNC_SECONDS", 0.01)
    made = app.ServerApp(settings(tmp_path, port=port))
    run = made.stream.run
    run.finish("complete")

    def refuse() -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(run.ledger, "sync", refuse)
    os.utime(run.ledger.path, (1, 1))
    task = asyncio.create_task(made.keep_ledger())
    async with asyncio.timeout(10):
        while run.ledger.path.stat().st_mtime == 1:
            assert not task.done()
            await asyncio.sleep(0.01)
    task.cancel()
    monkeypatch.undo()
    run.ledger.close()


async def test_it_asks_for_its_clients_while_a_run_waits(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a name for its clients the server counts their containers until the run begins; with ``CLIENTS`` never."""
    asked: list[str] = []
    twice = threading.Event()

    def count(service: str) -> int:
        asked.append(service)
        if len(asked) == 2:
            twice.set()
        return 3

    monkeypatch.setattr("services.server.runs.expected_clients.count", count)
    monkeypatch.setattr(app, "_COUNT_SECONDS", 0.01)
    made = app.ServerApp(settings(tmp_path, port=port, client_service="client"))
    task = asyncio.create_task(made.keep_count())
    async with asyncio.timeout(10):
        assert await asyncio.to_thread(twice.wait, 9)
        assert (3, True) == (made.expected.clients, made.expected.is_known(asyncio.get_running_loop().time()))
        made.stream.run.start()
        await asyncio.sleep(0.05)
        asked.clear()
        await asyncio.sleep(0.05)
        assert [] == asked
    task.cancel()
    chosen = settings(tmp_path, port=port, client_service="client", clients=1)
    await app.ServerApp(chosen).keep_count()

    assert [] == asked
    made.stream.run.ledger.close()


async def test_a_peer_that_is_gone_without_a_word_is_found(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A peer that says nothing is asked whether it is there, and cut off when it does not answer."""
    monkeypatch.setattr(app, "_ALIVE_SECONDS", 0.02)
    monkeypatch.setattr("services.server.connections.connection.QUIET_SECONDS", 0.1)
    stop = asyncio.Event()
    task = await serving(stop, tmp_path, port)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(_OPENING.replace(b"\n", b"\r\n"))
    said = b""
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionResetError):
            while data := await reader.read(1 << 16):
                said += data
        writer.close()
        stop.set()
        await task

    assert said.endswith(b"\x89\x00")


async def test_a_disk_that_refuses_the_next_run_is_asked_again(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that cannot be opened ends nothing: it is tried again, and counts once it is open."""
    monkeypatch.setattr(app, "_BETWEEN_RUNS_SECONDS", 0)
    made = app.ServerApp(settings(tmp_path, port=port, runs=2))
    first, open_run = made.stream.run, made.runs.open
    refusals = [OSError(28, "No space left on device")]
    first.finish("complete")

    def refuse_once() -> Run:
        if refusals:
            assert first.ledger._file.is_open
            raise refusals.pop()
        return open_run()

    monkeypatch.setattr(made.runs, "open", refuse_once)
    task = asyncio.create_task(made.keep_time())
    async with asyncio.timeout(10):
        while made.played < 2:
            assert not task.done()
            await asyncio.sleep(0.01)
    task.cancel()

    assert [] == refusals
    assert first.name != made.stream.run.name
    made.stream.run.ledger.close()


async def test_a_fault_in_a_plain_request_is_logged(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What this server fails on in a plain request is answered with 500 and logged with its traceback."""
    monkeypatch.setattr("services.server.metrics.ServerMetrics.text", lambda _: 1 // 0)
    stop = asyncio.Event()
    task = await serving(stop, tmp_path, port)
    answered = await get(port, "/metrics")
    stop.set()
    await task

    assert (b"HTTP/1.1 500 Internal Server Error", b"internal error\n") == answered
    assert "ZeroDivisionError" in caplog.text
