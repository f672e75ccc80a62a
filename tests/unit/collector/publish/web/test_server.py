"""Tests of services/collector/publish/web/server.py."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.collector.publish.files import html_page
from services.collector.publish.web.events import SnapshotBoard
from services.collector.publish.web.server import PageServer, make_app
from services.runtime.errors import BadSettings
from tests.builders.runs import RUN, good_run, write
from tests.builders.snapshots import example
from tests.unit.collector.publish.asgi_client import ask

MADE = example()
NOWHERE = Path("nowhere")


@pytest.fixture
async def board() -> AsyncIterator[SnapshotBoard]:
    """Return a board that shows a run."""
    made = SnapshotBoard()
    made.show(MADE)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("path", "kind", "holds"),
    [
        ("/", "text/html", b"<title>Streamgauge</title>"),
        ("/dom.js", "text/javascript", b"textContent"),
        ("/page.css", "text/css", b"light-dark("),
        ("/summary.json", "application/json", b'"verdict": "FAIL"'),
        ("/report.html", "text/html", b'id="data">{"view":'),
        ("/healthz", "application/json", b'"ok": true'),
        ("/metrics", "text/plain", b"streamgauge_received_messages_total 29986.0"),
    ],
)
async def test_each_address_answers(board: SnapshotBoard, path: str, kind: str, holds: bytes) -> None:
    """Every address answers with its content type and the security headers."""
    status, headers, body = await ask(make_app(board, NOWHERE), path)

    assert 200 == status
    assert headers["content-type"].startswith(kind)
    assert holds in body
    assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")


async def test_before_the_first_run_there_is_no_summary() -> None:
    """Before the first run the page answers, and summary and report are not found."""
    app = make_app(SnapshotBoard(), NOWHERE)

    assert 404 == (await ask(app, "/summary.json")).status
    assert 404 == (await ask(app, "/report.html")).status
    assert {"ok": True, "run": None} == json.loads((await ask(app, "/healthz")).body)


async def test_the_configured_address_is_an_allowed_host(board: SnapshotBoard) -> None:
    """The value of PAGE_HOST is an allowed host name, and other names are not."""
    app = make_app(board, NOWHERE, "192.0.2.1")

    assert 200 == (await ask(app, "/healthz", "192.0.2.1:1")).status
    assert 421 == (await ask(app, "/healthz", "192.0.2.2:1")).status


async def test_the_page_loads_nothing_from_elsewhere() -> None:
    """The page has no inline style and no address of another host."""
    html = (await ask(make_app(SnapshotBoard(), NOWHERE), "/")).body

    assert b"://" not in html
    assert b"<style" not in html


async def test_the_chart_script_is_cached_and_compressed() -> None:
    """The script is immutable, and compressed for a browser that accepts gzip."""
    app = make_app(SnapshotBoard(), NOWHERE)
    packed = await ask(app, html_page.chart_script().path, accept_encoding="gzip, br")
    plain = await ask(app, html_page.chart_script().path)

    assert "gzip" == packed.headers["content-encoding"]
    assert plain.body == gzip.decompress(packed.body) == html_page.chart_script().script
    assert "public, max-age=31536000, immutable" == packed.headers["cache-control"] == plain.headers["cache-control"]


async def test_a_block_is_read_from_the_log(board: SnapshotBoard, tmp_path: Path) -> None:
    """The messages of a block are returned, or 404."""
    write(good_run(), tmp_path)
    app = make_app(board, tmp_path)
    query = f"/messages?run={RUN}&client=client-1&session=1&block="

    assert 10 == len(json.loads((await ask(app, query + "1")).body)["messages"])
    assert 404 == (await ask(app, query + "99")).status


async def test_an_address_of_another_machine_is_a_settings_error() -> None:
    """Listening on an address that this machine does not have is a settings error."""
    with pytest.raises(BadSettings, match="PAGE_HOST"):
        PageServer("192.0.2.1", 0, SnapshotBoard(), NOWHERE)


async def test_a_listener_does_not_delay_the_stop() -> None:
    """The server stops within a second, with a browser still connected."""
    board = SnapshotBoard()
    board.show(MADE)
    served = PageServer("127.0.0.1", 0, board, NOWHERE)
    serving = asyncio.create_task(served.serve())
    port = int(served.address.rsplit(":", 1)[1].rstrip("/"))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    await reader.readuntil(b"data: ")
    before = asyncio.get_running_loop().time()
    await served.stop()

    assert asyncio.get_running_loop().time() - before < 1.2
    writer.close()
    await asyncio.wait_for(serving, 2)
