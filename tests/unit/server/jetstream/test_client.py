"""Tests of the connection to NATS JetStream; `tests/integration/test_jetstream.py` has those with a real server."""

from __future__ import annotations

import sys

import pytest

from services.runtime.errors import UnusableStream
from services.server.jetstream.client import JetStreamClient
from tests.unit.server.jetstream.fakes import ADDRESS


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without nats-py a start is refused with the file that has it, and no thread is left."""
    monkeypatch.setitem(sys.modules, "nats", None)
    client = JetStreamClient(ADDRESS, "SOURCE")

    with pytest.raises(
        UnusableStream, match=r"^SOURCE=nats://127\.0\.0\.1:4222/test: nats-py is not installed; .*nats\.txt"
    ):
        client.start()
    client.close()
    assert not client._thread.is_alive()
