"""Connections that are cut repeatedly lose nothing; and the benchmark for thousands of them detects a loss."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.measure import Figures
from benchmarks.scale import cuts
from benchmarks.scale.deliveries import DeliveryClasses, RecordCounter
from benchmarks.scale.sizes import Profile
from benchmarks.scale.websocket import Frames
from services.contract import wire
from services.contract.scalars import digest, digest_text

TOTAL = 30


def batch(first: int, last: int, crc: str | None = None) -> tuple[wire.Records, bytes]:
    """Return a batch as received, with a wrong crc if given."""
    body = b"".join(b'{"id":%d}\n' % seq for seq in range(first, last + 1))
    checksum = crc or digest_text(digest(body))
    return wire.Records(first=first, count=last - first + 1, due_us=0, rate=0, sent_us=0, crc=checksum), body


@pytest.mark.slow
def test_nothing_is_lost_under_cuts(tmp_path: Path) -> None:
    """Fifty clients, each cut about every two seconds, receive everything once, and the ledger agrees."""
    profile, figures = Profile(50, 5, 40, 2, 0.5), Figures()
    cuts.measure(figures, tmp_path / "cuts", (profile,))

    assert [100.0] == figures.values[cuts.Metrics.of(profile).delivered]


def test_more_connections_than_the_system_permits_are_not_made(tmp_path: Path) -> None:
    """Sizes beyond the limit of open files are listed in the table with the reason, and are no failure."""
    figures = Figures()
    cuts.measure(figures, tmp_path, (Profile(10**12, 2, 120, 15, 2),))

    assert {} == figures.values
    ((name, why),) = figures.skipped.items()
    assert name.startswith("1,000,000,000,000 connections, 120 records each at 2/s")
    assert re.fullmatch(r"a process may open [\d,]+ files", why)


@pytest.mark.parametrize(
    ("batches", "found"),
    [
        pytest.param([batch(1, 30)], DeliveryClasses(TOTAL, 30, 0, 0, 0), id="all"),
        pytest.param([batch(1, 20), batch(11, 30)], DeliveryClasses(TOTAL, 30, 0, 0, 10), id="twice"),
        pytest.param([batch(1, 10), batch(16, 30)], DeliveryClasses(TOTAL, 25, 0, 5, 0), id="gap"),
        pytest.param([batch(1, 10), batch(16, 30), batch(11, 17)], DeliveryClasses(TOTAL, 30, 0, 0, 2), id="late"),
        pytest.param([batch(1, 25)], DeliveryClasses(TOTAL, 25, 0, 5, 0), id="tail"),
        pytest.param(
            [batch(1, 10), batch(11, 20, "x00000000"), batch(21, 30)], DeliveryClasses(TOTAL, 20, 10, 0, 0), id="hurt"
        ),
        pytest.param([], DeliveryClasses(TOTAL, 0, 0, 30, 0), id="none"),
    ],
)
def test_every_delivery_is_in_one_class(batches: list[tuple[wire.Records, bytes]], found: DeliveryClasses) -> None:
    """Records lost, damaged or repeated on the way are classified, also at the end of the run, with residual 0."""
    taker = RecordCounter(TOTAL)
    for header, body in batches:
        taker.add(header, body)

    assert found == taker.classes()
    assert 0 == taker.classes().residual


def test_receipts_cover_what_was_taken() -> None:
    """A receipt has the digest of its block's records; after the last record the rest gets a receipt too."""
    taker = RecordCounter(TOTAL)
    frames = []
    for first, last in ((1, 12), (13, 25), (26, 30)):
        taker.add(*batch(first, last))
        frames.append(wire.decode_from_client(taker.receipt() or b""))

    receipts = [one for one in frames if isinstance(one, wire.Receipt)]
    assert [(1, 12, 12), (13, 25, 13), (26, 30, 5)] == [(one.first, one.last, one.count) for one in receipts]
    assert [digest_text(digest(batch(one.first, one.last)[1])) for one in receipts] == [one.digest for one in receipts]
    assert not taker.done()
    taker.unanswered.clear()
    assert taker.done()


@pytest.mark.parametrize("step", [61, 4096, 1_000_000])
def test_frames_come_whole_however_they_are_cut(step: int) -> None:
    """Frames of every length are parsed, at any byte at which the stream is split."""
    payloads = [b"", b"a", b"b" * 125, b"c" * 126, b"d" * 65_535, b"e" * 65_536]
    heads = [b"\x81\x00", b"\x81\x01", b"\x81\x7d", b"\x81\x7e\x00\x7e", b"\x81\x7e\xff\xff", b"\x81\x7f" + bytes(5)]
    heads[-1] += b"\x01\x00\x00"
    data = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
    data += b"".join(head + payload for head, payload in zip(heads, payloads, strict=True))
    frames, found = Frames(), []
    for start in range(0, len(data), step):
        found += frames.feed(data[start : start + step])

    assert [(1, payload) for payload in payloads] == found
