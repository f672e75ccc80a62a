"""Tests of the server process with LEDGER and SOURCE."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from services.server import app
from services.server.jetstream import service
from services.server.jetstream.exchange import JetStreamExchange
from services.server.jetstream.stream_feed import StreamFeed
from tests.unit.server.fakes import settings
from tests.unit.server.jetstream.fakes import ADDRESS, FakeClient, FakeStream


@pytest.mark.parametrize(("ledger", "source"), [(None, None), (ADDRESS, None), (None, ADDRESS), (ADDRESS, ADDRESS)])
async def test_the_settings_decide_what_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, ledger: Any, source: Any
) -> None:
    """The server gets an exchange for LEDGER and a feed for SOURCE, connected, and both are closed at its end."""
    stream, clients, seen = FakeStream(), list[FakeClient](), dict[str, Any]()

    def client(address: Any, _: str) -> FakeClient:
        clients.append(FakeClient(stream, address))
        return clients[-1]

    async def serve(*_: Any, **given: Any) -> int:
        seen.update(given, connected=[client._thread.is_alive() for client in clients])
        return 7

    monkeypatch.setattr(service, "JetStreamClient", client)
    monkeypatch.setattr(app, "main", serve)
    chosen = settings(tmp_path, ledger=ledger, source=source)

    assert 7 == await service.main(chosen, asyncio.Event(), invocation="x")
    assert (ledger is not None, source is not None) == (
        isinstance(seen["exchange"], JetStreamExchange),
        isinstance(seen["feed"], StreamFeed),
    )
    assert ("x", len(clients)) == (seen["invocation"], sum(seen["connected"]))
    assert not any(client._thread.is_alive() for client in clients)
