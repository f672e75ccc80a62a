"""Tests of the server as a whole: its port, its HTTP responses, its stop. Integration tests cover the rest."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
import time
import weakref
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
from services.server.connections.connection import FeedConnection
from services.server.intervals import ServerIntervals
from services.server.runs.other_servers import FolderSnapshot
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
def port() -> int:
    """Return a free port."""
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
    """Wait until the server listens."""
    while True:
        try:
            await get(port, "/healthz")
        except OSError:
            await asyncio.sleep(0.01)
        else:
            return


async def until_closed(client: ClientConnection) -> list[wire.FromServer]:
    """Return all frames that arrive until the connection is closed."""
    frames = []
    with contextlib.suppress(ConnectionClosed):
        while True:
            frames.append(wire.decode_from_server(await client.recv(decode=False))[0])
    return frames


async def test_serves_until_stopped(tmp_path: Path, port: int) -> None:
    """One port answers probes and feeds clients; a stop disconnects them and leaves a paused run."""
    stop = asyncio.Event()
    task = asyncio.create_task(app.main(settings(tmp_path, port=port, rate=1000), stop, feed=feed()))
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


class _HeaderValues(list[str]):
    """The values of a header, which may be referenced weakly."""


async def test_the_credentials_of_an_opening_request_are_released(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a connection lasts, nothing refers to the values by which its peer was authorised."""
    given: list[weakref.ref[_HeaderValues]] = []

    def values(connection: FeedConnection) -> _HeaderValues:
        assert connection.request is not None
        found = _HeaderValues(connection.request.headers.get_all("Authorization"))
        assert ["Bearer secret"] == found
        given.append(weakref.ref(found))
        return found

    monkeypatch.setattr(FeedConnection, "authorization_values", values)
    stop = asyncio.Event()
    task = await serving(stop, tmp_path, port)
    async with connect(
        f"ws://127.0.0.1:{port}", proxy=None, additional_headers={"Authorization": "Bearer secret"}
    ) as client:
        await client.recv()
        assert [None] == [reference() for reference in given]
    stop.set()
    assert 0 == await task


async def serving(
    stop: asyncio.Event, folder: Path, port: int, *, intervals: ServerIntervals | None = None, **changed: Any
) -> asyncio.Task[int]:
    """Return a server that listens."""
    chosen = settings(folder, port=port, **changed)
    task = asyncio.create_task(app.main(chosen, stop, feed=feed(), intervals=intervals))
    async with asyncio.timeout(30):
        await listening(port)
    return task


async def test_a_drawn_token_is_in_a_file_while_the_server_runs(tmp_path: Path, port: int) -> None:
    """Without a token of the operator the server draws one, writes it to a file, and removes the file at its stop."""
    stop = asyncio.Event()
    task = await serving(stop, tmp_path, port)
    drawn = token.read(tmp_path / "ledger" / token.NAME)
    stop.set()
    await task

    assert drawn
    assert not (tmp_path / "ledger" / token.NAME).exists()


async def test_the_token_of_the_operator_is_not_written(tmp_path: Path, port: int) -> None:
    """A token that the operator has set is not written to a file."""
    stop = asyncio.Event()
    task = await serving(stop, tmp_path, port, control_token="sesame")

    assert [] == list((tmp_path / "ledger").glob("*.token"))
    stop.set()
    await task


async def test_the_server_runs_without_its_token_file(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the token file cannot be written the server runs, and accepts control requests from loopback alone."""

    def refuse(_folder: Path) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(token, "draw", refuse)
    stop = asyncio.Event()
    task = await serving(stop, tmp_path, port)
    stop.set()

    assert 0 == await task


async def test_a_port_in_use_is_reported(tmp_path: Path, port: int) -> None:
    """A port in use is an error of the operator that names the port."""
    with socket.socket() as other:
        other.bind(("0.0.0.0", port))
        other.listen()
        with pytest.raises(PortInUse, match=f"port {port} is in use"):
            await app.main(settings(tmp_path, port=port), asyncio.Event(), feed=feed())


def tree(folder: Path) -> dict[str, tuple[float, bytes]]:
    """Return the files of a folder with their modification times and contents."""
    return {
        str(path): (path.stat().st_mtime, path.read_bytes() if path.is_file() else b"")
        for path in sorted([folder, *folder.rglob("*")])
    }


@pytest.mark.parametrize("has_run", [False, True])
async def test_a_refused_start_changes_nothing(tmp_path: Path, port: int, *, has_run: bool) -> None:
    """If the port is in use no file changes: no run is opened, and no interrupted run is ended."""
    if has_run:
        new_run(tmp_path, Clock(), records=5).ledger.close()
    before = tree(tmp_path)
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        with pytest.raises(PortInUse):
            await app.main(settings(tmp_path, port=port), asyncio.Event(), feed=feed())

    assert before == tree(tmp_path)


async def test_connections_are_refused_until_the_run_is_open(tmp_path: Path, port: int) -> None:
    """While the server watches for another one, connections are refused and nothing is written."""
    looking, go_on = threading.Event(), threading.Event()

    def ensure_alone(*_: object) -> FolderSnapshot:
        looking.set()
        assert go_on.wait(20)
        return FolderSnapshot("", {})

    stop = asyncio.Event()
    chosen = settings(tmp_path, port=port)
    task = asyncio.create_task(app.main(chosen, stop, feed=feed(), ensure_alone=ensure_alone))
    async with asyncio.timeout(30):
        assert await asyncio.to_thread(looking.wait, 20)
        with pytest.raises(OSError, match="Connect call failed"):
            await asyncio.open_connection("127.0.0.1", port)
        assert not (tmp_path / "ledger").exists()
        go_on.set()
        await listening(port)
        stop.set()

        assert 0 == await task


async def test_a_stop_ends_the_watch_for_another_server(tmp_path: Path, port: int) -> None:
    """A server that is stopped while it watches another one's ledger exits at once and opens no run."""
    new_run(tmp_path, Clock(), rate=7).ledger.close()
    ledger = next((tmp_path / "ledger").glob("*/*.jsonl"))
    line = ledger.read_bytes()
    ledger.write_bytes(line.replace(b'"process":"', b'"process":"elsewhere '))
    stop = asyncio.Event()
    task = asyncio.create_task(app.main(settings(tmp_path, port=port), stop, feed=feed()))
    await asyncio.sleep(0.2)
    assert not task.done()
    stop.set()
    async with asyncio.timeout(3):
        assert 0 == await task

    assert [ledger] == list((tmp_path / "ledger").glob("*/*.jsonl"))


async def test_the_ledger_is_touched_after_the_end_of_the_run(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The ledger is touched while the server lives, even after the end of the run and while the disk refuses."""
    intervals = ServerIntervals(sync=0.01, touch=0.01)
    made = app.ServerApp(settings(tmp_path, port=port), feed(), intervals=intervals)
    run = made.stream.run
    run.finish("complete")

    def refuse() -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(run.ledger, "sync", refuse)
    os.utime(run.ledger.path, (1, 1))
    task = asyncio.create_task(made.sync_ledger())
    async with asyncio.timeout(10):
        while run.ledger.path.stat().st_mtime == 1:
            assert not task.done()
            await asyncio.sleep(0.01)
    task.cancel()
    monkeypatch.undo()
    run.ledger.close()


async def test_client_containers_are_counted_while_a_run_waits(tmp_path: Path, port: int) -> None:
    """The server counts its clients' containers until the run starts, and never if ``CLIENTS`` is set."""
    calls: list[int] = []
    twice = threading.Event()

    def count() -> int:
        calls.append(3)
        if len(calls) == 2:
            twice.set()
        return 3

    intervals = ServerIntervals(count=0.01)
    waiting = settings(tmp_path, port=port, client_service="client")
    made = app.ServerApp(waiting, feed(), intervals=intervals, count_containers=count)
    task = asyncio.create_task(made.count_containers())
    async with asyncio.timeout(10):
        assert await asyncio.to_thread(twice.wait, 9)
        assert (3, True) == (made.expected.clients, made.expected.is_known(asyncio.get_running_loop().time()))
        made.stream.run.start()
        await asyncio.sleep(0.05)
        calls.clear()
        await asyncio.sleep(0.05)
        assert [] == calls
    task.cancel()
    start_at = int(time.time() + 3600) * 1_000_000
    for changed in ({"clients": 1}, {"start_at": start_at}):
        chosen = settings(tmp_path / "other", port=port, client_service="client", **changed)
        other = app.ServerApp(chosen, feed(), intervals=intervals, count_containers=count)
        await other.count_containers()
        other.stream.run.ledger.close()

    assert [] == calls
    made.stream.run.ledger.close()


async def test_a_peer_that_vanished_is_disconnected(tmp_path: Path, port: int) -> None:
    """A quiet peer is sent a ping and disconnected if it does not answer."""
    stop = asyncio.Event()
    task = await serving(stop, tmp_path, port, intervals=ServerIntervals(keep_alive=0.02, quiet=0.4))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(_OPENING.replace(b"\n", b"\r\n"))
    received = b""
    async with asyncio.timeout(10):
        with contextlib.suppress(ConnectionResetError):
            while data := await reader.read(1 << 16):
                received += data
        writer.close()
        stop.set()
        await task

    assert received.endswith(b"\x89\x00")


async def test_a_refused_next_run_is_tried_again(tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the disk refuses the next run the server tries again, and counts the run once it is open."""
    intervals = ServerIntervals(between_runs=0)
    made = app.ServerApp(settings(tmp_path, port=port, runs=2), feed(), intervals=intervals)
    first, open_run = made.stream.run, made.runs.open_new
    refusals = [OSError(28, "No space left on device")]
    first.finish("complete")

    def refuse_once(before: Run) -> Run:
        if refusals:
            assert first.ledger._file.is_open
            raise refusals.pop()
        return open_run(before)

    monkeypatch.setattr(made.runs, "open_new", refuse_once)
    task = asyncio.create_task(made.keep_time())
    async with asyncio.timeout(10):
        while made.stream.run is first:
            assert not task.done()
            await asyncio.sleep(0.01)
    task.cancel()

    assert [] == refusals
    assert first.name != made.stream.run.name
    made.stream.run.ledger.close()


async def test_a_fault_in_a_plain_request_is_logged(
    tmp_path: Path, port: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """An error while answering a plain request gives status 500 and a log line with a traceback."""
    monkeypatch.setattr("services.server.metrics.ServerMetrics.text", lambda _: 1 // 0)
    stop = asyncio.Event()
    task = await serving(stop, tmp_path, port)
    response = await get(port, "/metrics")
    stop.set()
    await task

    assert (b"HTTP/1.1 500 Internal Server Error", b"internal error\n") == response
    assert "ZeroDivisionError" in caplog.text


async def test_probe_and_scrape_change_nothing(tmp_path: Path, port: int) -> None:
    """A probe and a scrape show a stage of the rate plan that is due, and leave it to the send loop to record it."""
    made = app.ServerApp(settings(tmp_path, port=port, rate="1000:20ms,pause:1h,1"), feed())
    run, loop = made.stream.run, asyncio.get_running_loop()
    run.start()
    listener = socket.create_server(("127.0.0.1", port))
    server = await made.accept(listener)
    until = loop.time() + 10
    while run.status().state != "paused" and loop.time() < until:  # noqa: ASYNC110 - the wall clock decides
        await asyncio.sleep(0.01)
    before, schedule = run.ledger.path.read_bytes(), list(run.schedule.segments)
    async with asyncio.timeout(10):
        health, metrics = await get(port, "/healthz"), await get(port, "/metrics")

    assert b"paused\n" == health[1]
    assert b'streamgauge_run_state{state="paused"} 1.0' in metrics[1]
    assert b"streamgauge_due_records_total 20.0" in metrics[1]
    assert (before, schedule) == (run.ledger.path.read_bytes(), run.schedule.segments)
    made.stream.serve_all(loop.time())
    assert (1, None) == (run.ledger.path.read_bytes().count(b'"stage":2'), run.schedule.segments[-1].rate)
    server.close()
    await server.wait_closed()
    run.ledger.close()
