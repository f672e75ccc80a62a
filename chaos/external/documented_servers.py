"""The servers of `chaos.external.documented` as servers to test, and what the presets need to read their feeds."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.peers import install
from chaos.external.documented.gateways import GATEWAYS
from chaos.external.documented.market_data import MARKET_DATA
from chaos.external.documented.protocols import PROTOCOLS
from chaos.external.servers import (
    SCRIPTS,
    SEQ,
    ExternalServer,
    FeedSize,
    RunningServer,
    Start,
    processes,
    wait_for_port,
)
from tests.integration.processes import free_port

_PATHS = {name: dialogue.path for name, dialogue in {**PROTOCOLS, **MARKET_DATA, **GATEWAYS}.items()}
_TOKEN = {"FEED_VARIABLES": "token=secret"}


def _start(preset: str) -> Start:
    @contextlib.contextmanager
    def start(size: FeedSize, _folder: Path) -> Iterator[RunningServer]:
        port = free_port()
        with processes() as started:
            started.start([sys.executable, str(SCRIPTS / "serve_documented.py"), preset, str(port), *map(str, size)])
            wait_for_port(port)
            yield RunningServer(f"ws://127.0.0.1:{port}{_PATHS[preset]}", started)

    return start


def _server(
    preset: str,
    record: re.Pattern[bytes],
    settings: dict[str, str] | None = None,
    losses: str = "numbers",
    package: str = "",
) -> ExternalServer:
    def client(url: str) -> list[str]:
        program = install.npm(package, "ws")
        return [program.command[0], str(SCRIPTS / f"check_{preset}.js"), program.command[1], url]

    return ExternalServer(
        "documentation", _start(preset), {"FEED": preset, **(settings or {})}, record, losses,
        client=client if package else None,
    )  # fmt: skip


DOCUMENTED_SERVERS = (
    _server(
        "signalr", SEQ,
        {"FEED_SEQ": "$.arguments[0].seq", "FEED_TIME": "$.arguments[0].ts ms"}, package="@microsoft/signalr",
    ),
    _server(
        "phoenix", SEQ,
        {"FEED_VARIABLES": "topic=room:lobby", "FEED_SEQ": "$[4].seq", "FEED_TIME": "$[4].ts ms"}, package="phoenix",
    ),
    _server("centrifugo", SEQ, {"FEED_VARIABLES": "channel=news"}, package="centrifuge"),
    _server("discord", re.compile(rb"MESSAGE_CREATE"), _TOKEN),
    _server("mattermost", re.compile(rb'"typing"'), _TOKEN),
    _server("home-assistant", re.compile(rb'"event_type"'), _TOKEN, losses="none"),
    _server("binance-depth", re.compile(rb'"depthUpdate"'), losses="gaps"),
    _server("binance-futures-depth", re.compile(rb'"depthUpdate"'), losses="gaps"),
    _server("coinbase-advanced", re.compile(rb'"channel":"market_trades"')),
    _server("kraken", re.compile(rb'"trade_id"')),
    _server("bitfinex", re.compile(rb'"te"')),
    _server("okx-books", re.compile(rb'"action":"update"'), losses="gaps"),
    _server("bybit", re.compile(rb'"type":"delta"')),
    _server("deribit", re.compile(rb'"type":"change"'), losses="gaps"),
    _server("bitmex", re.compile(rb'"action":"insert"'), losses="none"),
)  # fmt: skip
