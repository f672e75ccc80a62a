"""Tests of services/collector/app.py."""

import asyncio
import errno
import logging
import socket
from pathlib import Path

import pytest

from services.collector import app
from services.collector.publish.files import run_files
from services.collector.settings import CollectorSettings
from services.contract import ledger
from services.runtime.errors import PortInUse, UnwritableFolder
from tests.builders.runs import RUN, Writer, at, good_run, ledger_source, write


async def test_the_service_serves_and_stops(tmp_path: Path) -> None:
    """The page answers until the service is asked to stop, and its port is closed then."""
    write(good_run(), tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = CollectorSettings.read({"VOLUMES": str(tmp_path), "PAGE_PORT": str(port)})
    stop = asyncio.Event()
    service = asyncio.create_task(app.main(settings, stop))
    answer = b""
    while b'"verdict": "PASS"' not in answer:
        await asyncio.sleep(0.05)
        answer = await get(port, "/summary.json")
    stop.set()

    assert 0 == await asyncio.wait_for(service, 3)
    assert b"" == await get(port, "/healthz")


@pytest.mark.parametrize(
    ("published", "expected"),
    [("", "http://localhost:8766/"), ("9000", "http://localhost:9000/"), ("0", "docker compose port collector 8766")],
)
def test_the_address_in_the_log_is_the_hosts(published: str, expected: str) -> None:
    """In a container the log names the port at which the host publishes the page, or how to learn it."""
    settings = CollectorSettings.read({"PAGE_PUBLISHED": published})

    assert expected in app._shown_address("http://localhost:8766/", settings.page_published)


async def test_a_run_that_just_ended_is_followed_until_it_is_closed(tmp_path: Path) -> None:
    """A collector that is stopped right after a run's end still reads late clients, and gives one verdict."""
    files = good_run()
    write(files, tmp_path)
    settings = CollectorSettings.read({"VOLUMES": str(tmp_path), "PAGE_PORT": "0"})
    stop = asyncio.Event()
    service = asyncio.create_task(app.main(settings, stop))
    async with asyncio.timeout(10):
        while (made := run_files.load(tmp_path, RUN)) is None:  # noqa: ASYNC110 - no event is set when a file appears
            await asyncio.sleep(0.01)
    stop.set()
    late = Writer(ledger.codec, ledger.codec.decode(files[ledger_source()][-1])[0].crc)
    late.put(ledger.LateEntry(at=at(1000), client="client-3", instance="i"))
    with (tmp_path / ledger_source().path).open("ab") as file:
        file.writelines(late.lines)

    assert "ended" == made.state
    assert 0 == await asyncio.wait_for(service, 10)
    made = run_files.load(tmp_path, RUN)
    assert made is not None
    assert ("closed", "FAIL", True) == (made.state, made.verdict, "client-3" in made.headline)


async def get(port: int, path: str) -> bytes:
    """Return the response to a request, empty if the port is closed."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return b""
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer


async def test_a_port_in_use_is_an_error(tmp_path: Path) -> None:
    """The error about a port in use names the setting to change."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = CollectorSettings.read({"VOLUMES": str(tmp_path), "PAGE_PORT": str(taken.getsockname()[1])})
        with pytest.raises(PortInUse, match="PAGE_PORT"):
            await app.main(settings, asyncio.Event())


async def test_an_unwritable_folder_is_an_error(tmp_path: Path) -> None:
    """A folder that cannot be written to prevents the start, and the error names the remedy."""
    (tmp_path / "summary").write_text("in the way")
    settings = CollectorSettings.read({"VOLUMES": str(tmp_path), "PAGE_PORT": "0"})
    with pytest.raises(UnwritableFolder, match="fix:"):
        await app.main(settings, asyncio.Event())


async def test_connections_that_cannot_be_accepted_are_logged_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Without free file descriptors the event loop fails again and again: that is logged once."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    settings = CollectorSettings.read({"VOLUMES": str(tmp_path), "PAGE_PORT": str(port)})
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    service = asyncio.create_task(app.main(settings, stop))
    answer = b""
    while b"200 OK" not in answer:
        await asyncio.sleep(0.05)
        answer = await get(port, "/healthz")
    for _ in range(1000):
        loop.call_exception_handler({"message": "refused", "exception": OSError(errno.EMFILE, "too many open files")})
    loop.call_exception_handler({"message": "else", "exception": ValueError("else")})
    stop.set()
    await asyncio.wait_for(service, 5)

    logged = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert ["cannot accept a connection to the page", "else"] == logged
