"""External feeds that are cut once, and whose numbers go on in various ways over the next connection."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.http11 import Request, Response

from services.contract.summary import Summary, decode
from tests.integration.processes import Process, free_port
from tests.unit.client.external.fakes import Script, external_server

RATE = 200


def plays(seqs: range, text: str, *, cut: bool = False) -> Script:
    """Return a script that sends these numbers at `RATE`, then cuts the connection or names the last one."""

    async def script(connection: ServerConnection) -> None:
        for seq in seqs[:-1]:
            await connection.send(json.dumps({"seq": seq, "text": f"{text} {seq}"}))
            await asyncio.sleep(1 / RATE)
        await connection.send(json.dumps({"seq": seqs[-1], "text": "cut soon" if cut else "the last"}))
        if cut:
            # A record that the client has not yet read may be lost with the connection, so it has to answer first.
            await (await connection.ping())
            connection.transport.abort()
        await connection.wait_closed()

    return script


class Case(NamedTuple):
    """The numbers of the first and of the second connection, the settings, and what the summary has to say."""

    first: range
    second: range
    verdict: str
    missing: int
    headline: str
    settings: Mapping[str, object] = {}


CASES = {
    "falls elsewhere": Case(
        range(27_000_000, 27_000_200), range(600_000, 600_400), "INVALID", 0, "the feed's numbers begin again"
    ),
    "rises elsewhere": Case(
        range(5_000, 5_200), range(1_005_300, 1_005_700), "INVALID", 0, "were passed over faster than the feed's rate"
    ),
    "begins at two on every connection": Case(
        range(2, 202), range(2, 402), "INVALID", 0, "the feed's numbers begin again"
    ),
    "lacks the first three": Case(range(1, 200), range(4, 400), "FAIL", 3, "3 messages missing, 1–3"),
    "goes on": Case(range(1, 200), range(203, 600), "FAIL", 3, "3 messages missing, 200–202"),
    "is of each connection": Case(
        range(1, 200), range(3000, 3400), "INVALID", 0, "the feed's numbers begin again", {"FEED_SCOPE": "connection"}
    ),
}


def judged(url: str, folder: Path, **settings: object) -> Summary:
    """Have one client judge a feed until its last message; return the summary."""
    given: dict[str, Any] = {
        "FEED_SEQ": "$.seq", "FEED_SECONDS": 60, "FEED_END": "message the last", "FEED_SILENCE": 60, **settings
    }  # fmt: skip
    with Process(
        "services", CLIENTS=1, VOLUMES=folder / "volumes", PAGE_PORT=free_port(), SERVER_URL=url, **given
    ) as run:
        run.wait(90)
    (found,) = (folder / "volumes" / "summary").glob("2*/summary.json")
    return decode(found.read_bytes())


@pytest.mark.parametrize("name", CASES)
async def test_the_numbers_show_what_they_can(name: str, tmp_path: Path) -> None:
    """Losses that the numbers prove are counted; the rest, which they leave open, is neither a loss nor a success."""
    case = CASES[name]
    scripts = plays(case.first, "first", cut=True), plays(case.second, "second")
    async with external_server(*scripts) as url:
        summary = await asyncio.to_thread(judged, url, tmp_path, **case.settings)

    assert (case.verdict, case.missing, 0) == (
        summary.verdict,
        summary.totals.missing,
        summary.totals.duplicates,
    ), summary.reasons
    assert case.headline in summary.headline


def unauthorized(connection: ServerConnection, _request: Request) -> Response:
    """Refuse the upgrade."""
    return connection.respond(HTTPStatus.UNAUTHORIZED, "the key has expired\nask for another\n")


async def closes(connection: ServerConnection) -> None:
    """Close the connection as an exchange does after a token has expired."""
    await connection.close(4401, "token expired")


async def ignores(connection: ServerConnection) -> None:
    """Leave the client's greeting unanswered."""
    await connection.wait_closed()


@pytest.mark.parametrize(
    ("script", "options", "why"),
    [
        (ignores, {"process_request": unauthorized}, "HTTP 401: the key has expired"),
        (closes, {}, "last close 4401 token expired"),
        (ignores, {}, "connected, and no record came"),
    ],
)
async def test_a_run_that_measured_nothing_names_the_reason(
    script: Script, options: Mapping[str, Any], why: str, tmp_path: Path
) -> None:
    """The headline names the last reason: the refusal with the first line of its body, the close, or silence."""
    async with external_server(script, **options) as url:
        summary = await asyncio.to_thread(judged, url, tmp_path, FEED_SECONDS=2, FEED_HELLO='{"op":"subscribe"}')

    assert "INVALID" == summary.verdict
    assert summary.headline.startswith("nothing was measured: no client logged a message; client-1: ")
    assert why in summary.headline


def test_a_run_without_a_server_names_the_refusal(tmp_path: Path) -> None:
    """Where nothing listens, the headline says so."""
    summary = judged(f"ws://127.0.0.1:{free_port()}", tmp_path, FEED_SECONDS=2)

    assert "INVALID" == summary.verdict
    assert "refused" in summary.headline.lower()
