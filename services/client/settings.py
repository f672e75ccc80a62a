"""The client's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from services.client.external.settings import FeedSettings, read_feed
from services.contract import block_text, wire
from services.contract.block_text import longest_line
from services.contract.blocklog import MAX_LINE
from services.contract.scalars import is_name
from services.runtime.errors import BadSettings
from services.runtime.settings import read

NAMES = (
    "BLOCK_SIZES", "BLOCK_SECONDS", "BLOCK_BYTES", "FSYNC", "CONNECTIONS", "CLIENT_ID", "SERVER_URL",
    "KEEP_RUNS", "VOLUMES", "CLIENTS",
)  # fmt: skip


@dataclass(frozen=True)
class ClientSettings:
    """What the operator chose; meanings in ``services.runtime.settings.SETTINGS``."""

    block_sizes: tuple[int, ...]
    block_seconds: float
    block_bytes: int
    fsync: Literal["block", "interval", "none"]
    connections: int
    client_id: str
    server_url: str
    keep_runs: int
    volumes: Path
    clients: int
    feed: FeedSettings | None = None

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> ClientSettings:
        """Read the settings from an environment.

        Raises:
            BadSettings: with all that is wrong.
        """
        values = read(environment, NAMES)
        feed = read_feed(environment)
        longest = f"{values['client_id']}.{values['connections']}"
        if values["client_id"] and values["connections"] > 1 and not is_name(longest):
            raise BadSettings([f"CLIENT_ID={values['client_id']!r}: too long for CONNECTIONS={values['connections']}"])
        _refuse_long_lines(values["block_sizes"], values["block_bytes"], feed)
        return cls(**{**values, "volumes": Path(values["volumes"]), "feed": feed})


def _refuse_long_lines(sizes: tuple[int, ...], size: int, feed: FeedSettings | None) -> None:
    """Refuse settings under which a block could be longer than a line that a reader takes.

    Raises:
        BadSettings: with the settings to lower.
    """
    if feed is None:
        longest, names = longest_line(max(sizes), size, wire.MAX_RECORD), "BLOCK_SIZES or BLOCK_BYTES"
    else:
        beside = block_text.BESIDE_RECORD + (block_text.BESIDE_KEY if feed.reading.key else 0)
        longest = longest_line(max(sizes), size, block_text.longest_record(feed.reach.max_bytes), beside)
        names = "BLOCK_SIZES, BLOCK_BYTES or FEED_MAX_BYTES"
    if longest > MAX_LINE:
        raise BadSettings(
            [f"{names}: a block could have {longest:,} bytes, and a line has at most {MAX_LINE:,}: lower it"]
        )
