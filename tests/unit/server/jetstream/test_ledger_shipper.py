"""Tests of sending a ledger to a stream."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.server.jetstream import ledger_shipper
from services.server.jetstream.ledger_shipper import OFFSET, LedgerShipper
from services.server.runs.exchange import LedgerListener
from tests.poll import poll_until
from tests.unit.server.jetstream.fakes import FakeClient, FakeStream

DATA = bytes(range(250))


@pytest.fixture
def stream() -> FakeStream:
    """An empty stream."""
    return FakeStream()


@pytest.fixture
def shipper(stream: FakeStream, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LedgerShipper]:
    """What sends a ledger of 250 bytes, in pieces of 100."""
    monkeypatch.setattr(ledger_shipper, "_PIECE_BYTES", 100)
    monkeypatch.setattr(ledger_shipper, "_RETRY_SECONDS", 0.01)
    (tmp_path / "abc.jsonl").write_bytes(DATA)
    client = FakeClient(stream)
    client.start()
    yield LedgerShipper(client, "test", "run", tmp_path / "abc.jsonl")
    client.close()


def pieces(stream: FakeStream) -> list[tuple[int, bytes]]:
    """Return the offsets and contents in the stream."""
    assert {"test.ledger.run.abc"} >= {message.subject for message in stream.messages}
    return [(int(message.headers[OFFSET]), message.data) for message in stream.messages]


def test_only_what_is_on_disk_is_sent(stream: FakeStream, shipper: LedgerShipper) -> None:
    """The bytes up to the last sync are sent in pieces with their places, and the rest after the next sync."""
    listener: LedgerListener = shipper
    listener.synced(150)
    assert shipper.await_sent(time.monotonic() + 5)
    assert [(0, DATA[:100]), (100, DATA[100:150])] == pieces(stream)
    listener.synced(250)
    assert shipper.await_sent(time.monotonic() + 5)

    assert [(150, DATA[150:])] == pieces(stream)[2:]


def test_an_outage_loses_no_piece(stream: FakeStream, shipper: LedgerShipper) -> None:
    """While no node answers nothing is lost; a piece whose answer was lost is sent again, in its place."""
    stream.is_down = True
    shipper.synced(100)
    assert not shipper.await_sent(time.monotonic() + 0.05)
    stream.is_down, stream.lost_answers = False, 1
    assert shipper.await_sent(time.monotonic() + 5)

    assert [(0, DATA[:100])] * 2 == pieces(stream)
    assert 1 == len({message.headers["Nats-Msg-Id"] for message in stream.messages})


def test_a_touch_is_announced(stream: FakeStream, shipper: LedgerShipper) -> None:
    """A touch is announced to listeners, and not stored."""
    heard: list[str] = []
    stream.listeners.append(heard.append)
    shipper.touched()

    poll_until(lambda: heard == ["test.alive.run.abc"], "the touch is announced", 5, 0.01)
    assert [] == stream.messages
