"""Configuration of one client: what stays the same in all of its runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from services.runtime.saturation import SaturationMonitor


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
        shared_sync_messages: messages that may wait for the disk although they are more than two blocks.
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
    # Small blocks that wait together share one sync, so a few thousand messages may queue with any block size.
    shared_sync_messages: int = 4096
