"""The client's settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from services.client.foreign.settings import FeedSettings, read_feed
from services.contract.fields import is_name
from services.runtime.errors import BadSettings
from services.runtime.settings import read

NAMES = (
    "BLOCK_SIZES", "BLOCK_SECONDS", "BLOCK_BYTES", "FSYNC", "CONNECTIONS", "CLIENT_ID", "SERVER_URL",
    "KEEP_RUNS", "VOLUMES",
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
        return cls(**{**values, "volumes": Path(values["volumes"]), "feed": feed})
