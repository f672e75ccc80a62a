"""Faulty external feeds, received by real clients: each fault is one log line, is counted, and loses no record."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import ssl
import subprocess
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from tests.integration.judged_feeds import Case, judged, numbered, sends
from tests.repo.markdown import plain, rows, sections
from tests.repo.repository import text
from tests.unit.client.external.fakes import Script

DOCUMENT = rows(sections(text("docs/guides/external-feeds.md"))["When a feed is awkward"])
"""Rows of the document: the faulty feed, the one line that the client logs, and verdict and text of the summary."""


def _gzipped(value: object) -> bytes:
    return gzip.compress(json.dumps(value).encode())


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
    "a key that is found in no record": Case(
        (sends(*({"seq": base + seq, "of": key} for seq in range(1, 11) for base, key in ((0, "a"), (10**6, "b")))),),
        20,
        {"FEED_KEY": "$.off"},
    ),
    "a time that is found in no record": Case((sends(*numbered(1, 2, 3, ts=1)),), 3, {"FEED_TIME": "$.time"}),
    "compressed frames without FEED_ENCODING": Case((sends(*map(_gzipped, numbered(1, 2, 3))),), 3),
    "numbers that rise by more than one": Case((sends(*numbered(*range(10, 200, 10))),), 19),
    "two sequences without a key": Case(
        (sends(*({"seq": seq + of, "of": of} for seq in range(20) for of in (0, 9000))),), 40
    ),
    "a key with a part that is nowhere": Case(
        (sends(*({"seq": seq, "of": key} for seq in range(1, 11) for key in "ab")),), 20, {"FEED_KEY": "$.of,$.off"}
    ),
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
    warnings = [why for why in found.warnings if "received 1000 (OK)" not in why]

    assert ([plain(line)] if plain(line) != "-" else []) == warnings
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


async def test_sequences_are_distinguished_by_key(tmp_path: Path) -> None:
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


def _stream(*records: object) -> Script:
    """Return a script that sends all records of a connection in one zlib stream, each in two frames."""

    async def script(connection: ServerConnection) -> None:
        packer = zlib.compressobj()
        for record in records:
            packed = packer.compress(json.dumps(record).encode()) + packer.flush(zlib.Z_SYNC_FLUSH)
            await connection.send(packed[:5])
            await connection.send(packed[5:])
        await connection.wait_closed()

    return script


def _mqtt(*seqs: int, **more: Any) -> bytes:
    packets = [b"\x00\x05ticks" + json.dumps({"seq": seq, **more}).encode() for seq in seqs]
    return b"".join(bytes([0x30, len(packet)]) + packet for packet in packets)


_LISTS = [[11, [100.5, 2, 0.25], seq, time.time_ns() // 10**6] for seq in (1, 2, 3)]
_STREAM = _mqtt(*range(1, 8))
DECODED: dict[str, Case] = {
    "messages that are lists": Case(
        (sends({"event": "info"}, *_LISTS),), 3,
        {"FEED_SEQ": "$[-2]", "FEED_TIME": "$[-1] ms", "FEED_LIST": "record", "FEED_IGNORE": '^{"event"'},
    ),
    "values beside the list of records": Case(
        (sends(*({"arg": {"id": key}, "ts": time.time(), "data": numbered(base, base + 1)}
                 for base in (1, 3) for key in ("a", "b"))),), 8,
        {"FEED_RECORDS": "$.data", "FEED_KEY": "$$.arg.id", "FEED_TIME": "$$.ts"},
    ),
    "a key of two parts": Case(
        (sends(*({"feed": feed, "id": name, "seq": seq} for seq in (1, 2, 3) for feed in "xy" for name in "ab")),), 12,
        {"FEED_KEY": "$.feed,$.id"},
    ),
    "JSON in a JSON text": Case(
        (sends(*({"data": json.dumps({"seq": seq})} for seq in (1, 2, 3))),), 3, {"FEED_SEQ": "$.data.seq"}
    ),
    "gzip": Case((sends(*map(_gzipped, numbered(1, 2, 3))),), 3, {"FEED_ENCODING": "gzip"}),
    "records and acknowledgements in one frame": Case(
        (sends('{"id":1}\x1e{"seq":1}\x1e', '{"type":6}\x1e{"seq":2}\x1e{"seq":3}\x1e'),), 3,
        {"FEED_SPLIT": r"\x1e", "FEED_IGNORE": '"type":6|"id"'},
    ),
    "packets that go on in the next frame": Case(
        (sends(*(_STREAM[at : at + 25] for at in range(0, len(_STREAM), 25))),), 7, {"FEED_MATCH": r"ticks(\{[^}]*\})"}
    ),
    "packets of MQTT with nested values": Case(
        (sends(b"\x20\x02\x00\x00" + _mqtt(1, 2, a={"b": {}})[:-9], _mqtt(2, a={"b": {}})[-9:] + _mqtt(3)),), 3,
        {"FEED_SPLIT": "mqtt", "FEED_MATCH": r"^\x30.*?(\{.*)$", "FEED_IGNORE": r"^\x20"},
    ),
    "one zlib stream for a connection": Case((_stream(*numbered(1, 2, 3)),), 3, {"FEED_ENCODING": "zlib-stream"}),
    "numbers in several notations": Case(
        (sends(*({"of": form, "seq": form.format(seq)} for seq in (2**64 - 2, 2**64 - 1)
                 for form in ("{:#x}", "{}", "{:024d}"))),), 6,
        {"FEED_KEY": "$.of"},
    ),
    "long keys that differ at the end": Case(
        (sends(*({"seq": base + seq, "of": "x" * 900 + key}
                 for seq in (1, 2, 3) for base, key in ((0, "a"), (5000, "b")))),), 6,
        {"FEED_KEY": "$.of"},
    ),
}  # fmt: skip
"""Feeds that only have to be described."""


@pytest.mark.parametrize("name", DECODED)
async def test_a_feed_that_is_described_is_complete(name: str, tmp_path: Path) -> None:
    """A feed that loses nothing passes with every record, and nothing is unreadable or without a number."""
    case = DECODED[name]
    found = await judged(case, tmp_path)
    totals = found.summary.totals

    assert ("PASS", case.logged, 0, 0, 0) == (
        found.summary.verdict, totals.received, totals.missing, totals.unsequenced, totals.unreadable
    ), found.summary.headline  # fmt: skip


async def test_records_in_the_frame_of_a_ping_are_kept(tmp_path: Path) -> None:
    """A ping between records is answered and counted, and named beside a gap; no record is dropped with it."""

    async def plays(connection: ServerConnection) -> None:
        await connection.send('{"seq":1}\n{}\n{"seq":2}')
        assert "{}" == await asyncio.wait_for(connection.recv(), 10)
        await connection.send('{"seq":4}')
        await connection.wait_closed()

    found = await judged(Case((plays,), 3, {"FEED_SPLIT": r"\n", "FEED_PING": r"^\{\}$", "FEED_PONG": "{}"}), tmp_path)

    assert (3, 1, 1) == (found.summary.totals.received, found.summary.totals.missing, found.summary.totals.pings)
    assert (
        "client-1: 1 message missing, 3 (1 seen by no client);"
        " passed over beside these: 1 message that FEED_PING matches" == found.summary.headline
    )


async def test_a_frame_that_decompresses_to_too_much_is_one_unreadable_record(tmp_path: Path) -> None:
    """A small frame of very much data is logged as it came, and the connection goes on."""
    bomb = gzip.compress(b"\0" * 2**22)
    frames = [_gzipped({"seq": 1}), bomb, _gzipped({"seq": 3})]
    found = await judged(Case((sends(*frames),), 3, {"FEED_ENCODING": "gzip", "FEED_MAX_BYTES": 2**20}), tmp_path)

    assert ["longer than FEED_MAX_BYTES=1048576 when it is decompressed"] == found.warnings
    assert ("INVALID", 0, 1) == (found.summary.verdict, found.summary.totals.missing, found.summary.totals.unreadable)
    assert base64.b64encode(bomb) in bytes(found.messages[1].record)


async def test_a_feed_is_resumed_where_it_was_left(tmp_path: Path) -> None:
    """After a cut the client sends FEED_RESUME instead of FEED_HELLO and receives everything the feed still has."""
    subscriptions: list[Any] = []

    async def plays(connection: ServerConnection) -> None:
        subscriptions.append(json.loads(await connection.recv()))
        first = subscriptions[-1].get("from", 1)
        await sends(*numbered(*range(first, first + 20)), then_goes=first == 1)(connection)

    settings: dict[str, object] = {
        "FEED_HELLO": '{"op":"subscribe"}',
        "FEED_RESUME": '{"op":"subscribe","from":{next}}',
    }
    found = await judged(Case((plays,), 40, settings), tmp_path)

    assert [{"op": "subscribe"}, {"op": "subscribe", "from": 21}] == subscriptions
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
        Case((sends(*numbered(1, 2)),), 0, final_line="certificate verify failed"), certificate / "stranger", ssl=tls
    )

    assert ("PASS", 2) == (found.summary.verdict, found.summary.totals.received)
    assert ("INVALID", 0) == (stranger.summary.verdict, len(stranger.messages))
