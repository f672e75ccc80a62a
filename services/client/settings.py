"""The client's settings: as the operator sets them for the process, and what one of its clients gets of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from services.client.external.settings import FeedSettings, read_feed
from services.client.write_budget import WriteBudget
from services.contract import block_text, wire
from services.contract.block_text import longest_line
from services.contract.blocklog import MAX_LINE
from services.contract.scalars import is_name
from services.runtime.access.server_access import ServerAccess
from services.runtime.errors import BadSettings
from services.runtime.saturation import SaturationMonitor
from services.runtime.settings import read

NAMES = (
    "BLOCK_SIZES", "BLOCK_SECONDS", "BLOCK_BYTES", "FSYNC", "CONNECTIONS", "CLIENT_ID", "CLIENT_SERVICE",
    "COMPOSE_PROJECT_NAME", "SERVER_URL", "KEEP_RUNS", "VOLUMES", "CLIENTS",
)  # fmt: skip
ACCESS_NAMES = ("FEED_TOKEN_FILE", "TLS_CA_FILE")


@dataclass(frozen=True)
class ClientSettings:
    """The operator's settings; ``services.runtime.settings.SETTINGS`` describes them."""

    block_sizes: tuple[int, ...]
    block_seconds: float
    block_bytes: int
    fsync: Literal["block", "interval", "none"]
    connections: int
    client_id: str
    client_service: str
    compose_project_name: str
    server_url: str
    keep_runs: int
    volumes: Path
    clients: int
    feed: FeedSettings | None = None
    token_file: str = ""
    ca_file: str = ""

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> ClientSettings:
        """Read the settings from an environment.

        Raises:
            BadSettings: with every problem found.
        """
        values, files = read(environment, NAMES), read(environment, ACCESS_NAMES)
        feed = read_feed(environment)
        longest = f"{values['client_id']}.{values['connections']}"
        if values["client_id"] and values["connections"] > 1 and not is_name(longest):
            raise BadSettings([f"CLIENT_ID={values['client_id']!r}: too long for CONNECTIONS={values['connections']}"])
        _refuse_long_lines(values["block_sizes"], values["block_bytes"], feed)
        if feed is None:
            # Checked with the other settings, so that an unusable file is reported before anything is written.
            ServerAccess(values["server_url"], files["feed_token_file"], files["tls_ca_file"])
        return cls(
            **{**values, "volumes": Path(values["volumes"])},
            feed=feed,
            token_file=files["feed_token_file"],
            ca_file=files["tls_ca_file"],
        )

    @property
    def unreachable_address(self) -> str | None:
        """The server's address if it is loopback in a container of compose, where it is the container itself."""
        address = self.server_url if self.feed is None else self.feed.reach.shown
        host = urlsplit(address).hostname or ""
        is_loopback = host in ("localhost", "::1") or host.startswith("127.")
        return address if self.compose_project_name and is_loopback else None


@dataclass(frozen=True)
class ClientConfig:
    """How one client logs: the operator's settings, and facts about its process.

    Attributes:
        logs: folder of the logs of all runs.
        block_size: messages in a full block.
        block_bytes: bytes of records at which a block is closed before it is full.
        block_seconds: age at which a block is closed before it is full.
        fsync: when a block counts as durable: synced with its write, synced by the next interval, or only written.
        instance: identifies the process; all clients of a process share it.
        boot: id of the running kernel, by which two processes recognise that they share a clock.
        host: host name.
        saturation: measures event loop lag and CPU throttling of the process.
        retry_seconds: pause between two attempts to write to a disk that refuses.
        sync_seconds: time between two syncs with ``fsync="interval"``.
        budget: memory for lines that wait for the disk; all clients of a process share it.
    """

    logs: Path
    block_size: int
    block_bytes: int
    block_seconds: float
    fsync: Literal["block", "interval", "none"]
    instance: str
    boot: str
    host: str
    saturation: SaturationMonitor = field(default_factory=SaturationMonitor)
    retry_seconds: float = 0.5
    sync_seconds: float = 0.2
    budget: WriteBudget = field(default_factory=WriteBudget)


def _refuse_long_lines(sizes: tuple[int, ...], size: int, feed: FeedSettings | None) -> None:
    """Refuse settings under which the line of a block could be longer than readers accept.

    Raises:
        BadSettings: with the settings to lower.
    """
    if feed is None:
        longest, names = longest_line(max(sizes), size, wire.MAX_RECORD), "BLOCK_SIZES or BLOCK_BYTES"
    else:
        links = [path for path in (feed.reading.first, feed.reading.previous) if path is not None]
        beside = block_text.BESIDE_RECORD + len(links) * block_text.BESIDE_LINK
        beside += block_text.BESIDE_KEY if feed.reading.key else 0
        longest = longest_line(max(sizes), size, block_text.longest_record(feed.reach.max_bytes), beside)
        names = "BLOCK_SIZES, BLOCK_BYTES or FEED_MAX_BYTES"
    if longest > MAX_LINE:
        raise BadSettings(
            [f"{names}: a block could have {longest:,} bytes, and a line has at most {MAX_LINE:,}: lower it"]
        )
