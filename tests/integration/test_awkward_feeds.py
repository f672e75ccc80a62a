"""Faulty external feeds, received by real clients: each fault is one log line, is counted, and loses no record."""

from __future__ import annotations

import asyncio
import json
import ssl
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
from websockets.asyncio.server import ServerConnection

from services.contract.blocklog import ExternalMessage
from services.contract.summary import Summary, decode
from tests.integration.processes import Process
from tests.poll import poll_until
from tests.readers import Volumes
from tests.repo.markdown import plain, rows, sections
from tests.repo.repository import text
from tests.unit.client.external.fakes import Script, external_server

DOCUMENT = rows(sections(text("docs/guides/external-feeds.md"))["When a feed is awkward"])
"""Rows of the document: the faulty feed, the one line that the client logs, and verdict and text of the summary."""


def sends(*frames: Any, then_goes: bool = False) -> Script:
    """Return a script that sends these messages, other types as JSON, and then waits or closes the connection."""

    async def script(connection: ServerConnection) -> None:
        for frame in frames:
            await connection.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))
        if not then_goes:
            await connection.wait_closed()

    return script


def numbered(*seqs: Any, **more: Any) -> list[dict[str, Any]]:
    """Return records with these numbers."""
    return [{"seq": seq, **more} for seq in seqs]


class Case(NamedTuple):
    """A server's script per connection, the number of messages to log, and the expected log lines.

    ``said`` is a line that every client logs before it is stopped.
    """

    scripts: tuple[Script, ...]
    logged: int
    settings: Mapping[str, object] = MappingProxyType({})
    said: str = '"listening"'


class Judged(NamedTuple):
    """Log lines and blocks of the clients, and the summary."""

    said: list[dict[str, Any]]
    messages: list[ExternalMessage]
    summary: Summary

    @property
    def troubles(self) -> list[str]:
        """The reason of every warning."""
        return [line["why"] for line in self.said if line["level"] == "WARNING"]

    def answer(self, name: str) -> tuple[bool | None, str]:
        """Return the result and the detail of a check."""
        check = next(check for check in self.summary.checks if check.name == name)
        return check.ok, check.detail

    @property
    def summary_text(self) -> str:
        """Return all sentences of the summary."""
        return " | ".join([self.summary.headline, *(check.detail for check in self.summary.checks)])


async def judged(case: Case, folder: Path, clients: int = 1, **served: Any) -> Judged:
    """Have a feed judged; with several clients each plays the first script."""
    async with external_server(*case.scripts, **served) as url:
        return await asyncio.to_thread(_judged, url, case, folder, clients)


def _judged(url: str, case: Case, folder: Path, clients: int) -> Judged:
    given = {
        "SERVER_URL": url, "FEED_SEQ": "$.seq", "FEED_SECONDS": 0, "BLOCK_SECONDS": 0.1, "VOLUMES": folder,
        # A few records are not enough to derive a limit for silence.
        "FEED_SILENCE": 30,
    }  # fmt: skip
    names, volumes = [f"client-{number}" for number in range(1, clients + 1)], Volumes(folder)
    started = [Process("services.client", CLIENT_ID=name, **{**given, **case.settings}) for name in names]
    try:
        for one in started:
            one.says(case.said)

        def all_logged() -> bool:
            return all(sum(block.count for block in volumes.heard(name)) >= case.logged for name in names)

        poll_until(all_logged, f"{case.logged} messages are logged; said: {started[0].text}", 20)
        codes = [one.stop() for one in started]
        assert [0] * clients == codes, started[0].text
    finally:
        for one in started:
            one.close()
    with Process("services.collector", "verify", "--json", str(folder)) as audit:
        audit.wait()
        summary = decode(audit.lines[-1].encode())
    said = [json.loads(line) for one in started for line in one.lines]
    return Judged(said, [message for block in volumes.heard("client-1") for message in block.messages], summary)


def _soon(after_s: float) -> list[dict[str, Any]]:
    return numbered(*range(1, 6), ts=time.time() + after_s)


AWKWARD: dict[str, Case] = {
    "a number written as a text": Case((sends(*numbered("1", "2", "3")),), 3),
    "a number that is none": Case((sends(*numbered(1, 2, 3.5, 4)),), 4),
    "a number out of bounds": Case((sends(*numbered(-1, 1, 2)),), 3),
    "a number beyond 2^53": Case((sends(*numbered(2**53, 2**53 + 1, 2**53 + 2)),), 3),
    "a record that is no strict JSON": Case((sends(*numbered(1), '{"seq":2,"mean":NaN}', *numbered(3)),), 3),
    "a record without a number": Case((sends(*numbered(1, 2), {"status": "ok"}, *numbered(3)),), 4),
    "no record has a number": Case((sends({"n": 1}, {"n": 2}),), 2),
    "a text that is no JSON": Case((sends(*numbered(1, 2), "hello, world", *numbered(3)),), 4),
    "bytes that are no JSON": Case((sends(*numbered(1, 2), b"\x00\xff", *numbered(3)),), 4),
    "an empty list of records": Case((sends({"data": numbered(1, 2)}, {"data": []}),), 3, {"FEED_RECORDS": "$.data"}),
    "a message that is too long": Case(
        (sends(*numbered(1, 2), "x" * 300), sends(*numbered(4))), 3, {"FEED_MAX_BYTES": 200}
    ),
    "numbers that begin again with a new connection": Case(
        (sends(*numbered(*range(50)), then_goes=True), sends(*numbered(*range(20), other="content"))), 70
    ),
    "a sender's clock that is ahead": Case((sends(*_soon(3600)),), 5, {"FEED_TIME": "$.ts"}),
    "numbers that rise by more than one": Case((sends(*numbered(*range(10, 200, 10))),), 19),
    "two sequences without a key": Case(
        (sends(*({"seq": seq + of, "of": of} for seq in range(20) for of in (0, 9000))),), 40
    ),
    "a key that is nowhere": Case((sends(*numbered(1, 2, 3)),), 3, {"FEED_KEY": "$.topic"}),
    "records that name the number before": Case(
        (sends(*({"seq": seq, "of": of} for of, seq in ((-1, 10), (10, 12), (20, 25), (25, 25)))),),
        4,
        {"FEED_PREVIOUS": "$.of"},
    ),
    "records that cover ranges of numbers": Case(
        (sends(*({"seq": seq, "from": first} for first, seq in ((10, 12), (13, 20), (18, 25)))),),
        3,
        {"FEED_FIRST": "$.from"},
    ),
    "records again after a reconnect": Case(
        (sends(*numbered(*range(100, 150)), then_goes=True), sends(*numbered(*range(130, 170)))),
        90,
        {"FEED_REPEATS": "reconnect"},
    ),
    "silence": Case((sends(),), 0),
    "no numbers at all": Case((sends("tick", "tock"),), 2, {"FEED_SEQ": "", "FEED": "foreign"}),
}
"""Keys are the first column of the document's table."""


def test_every_row_is_played() -> None:
    """The document's table lists exactly the feeds of this test."""
    assert [row[0] for row in DOCUMENT] == list(AWKWARD)


@pytest.mark.parametrize("row", DOCUMENT, ids=lambda row: row[0])
async def test_one_clear_line_and_nothing_lost(row: list[str], tmp_path: Path) -> None:
    """A faulty feed is reported as documented, in one line and in the summary; every message is logged."""
    what, line, expected = row
    found = await judged(AWKWARD[what], tmp_path)
    # A server that closes the connection is reported as well.
    troubles = [why for why in found.troubles if "received 1000 (OK)" not in why]

    assert ([plain(line)] if plain(line) != "-" else []) == troubles
    assert AWKWARD[what].logged == len(found.messages)
    assert f"{found.summary.verdict}: " == expected[: len(f"{found.summary.verdict}: ")]
    assert plain(expected.partition(": ")[2]) in found.summary_text


async def test_what_is_no_json_is_kept(tmp_path: Path) -> None:
    """Text is logged as a JSON string and bytes as base64; a gap among them is not counted as a loss."""
    found = await judged(Case((sends(*numbered(1), "é", b"\x00\xff", *numbered(3)),), 4), tmp_path)

    assert [(None, b'{"seq": 1}'), ("text", '"é"'.encode()), ("binary", b'"AP8="'), (None, b'{"seq": 3}')] == [
        (message.form, bytes(message.record)) for message in found.messages
    ]
    totals = found.summary.totals
    assert ("INVALID", 0, 1, 2) == (found.summary.verdict, totals.missing, totals.unreadable, totals.unsequenced)


async def test_sequences_are_told_apart_by_key(tmp_path: Path) -> None:
    """Of two sequences on one connection, exactly the number that one of them lacks is missing."""
    frames = [{"seq": seq, "of": key} for seq in range(1, 11) for key in ("a", "b") if (seq, key) != (5, "b")]
    found = await judged(Case((sends(*frames),), 19, {"FEED_KEY": "$.of"}), tmp_path)

    assert ("FAIL", "client-1: 1 message missing, b 5 (1 seen by no client)") == (
        found.summary.verdict,
        found.summary.headline,
    )
    assert (0, 0) == (found.summary.totals.duplicates, found.summary.totals.reordered)


async def test_a_list_is_as_many_records(tmp_path: Path) -> None:
    """A message with a list of records is logged record by record, with the same timestamp."""
    found = await judged(Case((sends(numbered(1, 2, 3), numbered(4)),), 4), tmp_path)

    assert [1, 2, 3, 4] == [message.seq for message in found.messages]
    assert 1 == len({message.received_at for message in found.messages[:3]})
    assert "PASS" == found.summary.verdict


async def test_the_feeds_own_pings_are_answered(tmp_path: Path) -> None:
    """A ping of the server's application is answered; neither the ping nor the answer is logged as a record."""

    async def pings(connection: ServerConnection) -> None:
        for number in (1, 2, 3):
            await connection.send(json.dumps({"op": "ping", "id": number}))
            assert {"op": "pong", "id": number} == json.loads(await asyncio.wait_for(connection.recv(), 10))
            await connection.send(json.dumps({"seq": number}))
        await connection.wait_closed()

    settings: dict[str, object] = {"FEED_PING": r'"op": "ping", "id": (\d+)', "FEED_PONG": r'{"op":"pong","id":\1}'}
    found = await judged(Case((pings,), 3, settings), tmp_path)

    assert ("PASS", 3, 0) == (found.summary.verdict, found.summary.totals.received, found.summary.totals.unsequenced)


async def test_a_feed_is_resumed_where_it_was_left(tmp_path: Path) -> None:
    """After a cut the client sends FEED_RESUME instead of FEED_HELLO and receives everything the feed still has."""
    wishes: list[Any] = []

    async def plays(connection: ServerConnection) -> None:
        wishes.append(json.loads(await connection.recv()))
        first = wishes[-1].get("from", 1)
        await sends(*numbered(*range(first, first + 20)), then_goes=first == 1)(connection)

    settings: dict[str, object] = {
        "FEED_HELLO": '{"op":"subscribe"}',
        "FEED_RESUME": '{"op":"subscribe","from":{next}}',
    }
    found = await judged(Case((plays,), 40, settings), tmp_path)

    assert [{"op": "subscribe"}, {"op": "subscribe", "from": 21}] == wishes
    assert ("PASS", 40, 0) == (found.summary.verdict, found.summary.totals.expected, found.summary.totals.duplicates)


async def test_without_numbers_spread_is_by_content(tmp_path: Path) -> None:
    """Without numbers, records of two clients are matched by content, and completeness is not claimed."""
    frames = [{"text": f"tick {number}"} for number in range(10)]
    found = await judged(Case((sends(*frames),), 10, {"FEED_SEQ": "", "FEED": "foreign"}), tmp_path, clients=2)

    assert "PASS" == found.summary.verdict
    assert found.summary.spread_ns.max is not None
    assert (None, "not claimed: the feed has no sequence numbers") == found.answer("complete")
    assert (20, None, None) == (
        found.summary.totals.received,
        found.summary.totals.missing,
        found.summary.totals.expected,
    )


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for this machine, signed by an authority of the test's own."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", tmp_path / "key.pem", "-days", "2",
         "-out", tmp_path / "ca.pem", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return tmp_path


async def test_tls_is_verified(certificate: Path) -> None:
    """A server is trusted with the authority's certificate; without it the connection fails with one line."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate / "ca.pem", certificate / "key.pem")
    known = Case((sends(*numbered(1, 2)),), 2, {"FEED_CA_FILE": certificate / "ca.pem"})
    found = await judged(known, certificate / "known", ssl=tls)
    stranger = await judged(
        Case((sends(*numbered(1, 2)),), 0, said="certificate verify failed"), certificate / "stranger", ssl=tls
    )

    assert ("PASS", 2) == (found.summary.verdict, found.summary.totals.received)
    assert ("INVALID", 0) == (stranger.summary.verdict, len(stranger.messages))
