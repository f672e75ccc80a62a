"""Looks at a feed once: receives it for some seconds as a run would, into a folder that is removed afterwards."""

from __future__ import annotations

import dataclasses
import logging
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from services.client.external.rendezvous import DEFAULT_POLICY
from services.client.external.run_participants import external_subscribers
from services.client.external.settings import FeedSettings
from services.client.feeds.proposals import ReceivedMessage
from services.client.settings import ClientConfig
from services.contract import blocklog
from services.contract.scalars import utc_us
from services.runtime.clock import Clock, boot_id
from services.runtime.jsonlogs import RateLimitedLog

MAX_MESSAGES = 1_000
"""Messages that are kept for the analysis; further ones are counted."""
_MAX_BYTES = 32 * 1024 * 1024


class LookedAt(NamedTuple):
    """What came from a feed.

    Attributes:
        messages: the first messages as they came.
        total: number of all messages.
        records: the records in them, as they were read and logged.
        connections: what became of the connections.
        remarks: the distinct reasons for which the client logged a warning.
    """

    messages: list[ReceivedMessage]
    total: int
    records: list[blocklog.ExternalMessage]
    connections: list[blocklog.ConnectionLine]
    remarks: list[str]


def to_analyse(seen: LookedAt, settings: FeedSettings) -> list[ReceivedMessage]:
    """Return what proposals are made from: the messages, or the records where the settings take frames apart.

    The settings of records then follow from what the operator's own settings read, and not from other ones.
    """
    framing, reading = settings.framing, settings.reading
    is_framed = bool(framing.encodings or framing.messages.text or reading.match)
    records = [record for record in seen.records if record.form is None]
    if not is_framed or reading.records or len(records) < len(seen.records) / 2 or not records:
        return seen.messages
    return [ReceivedMessage(bytes(record.record), utc_us(record.received_at) * 1000) for record in records]


class KeptMessages:
    """The first messages of a feed that came before the end of the client's run.

    Attributes:
        messages: at most `MAX_MESSAGES`, of 32 MiB in all.
        count: of all messages before the end.
    """

    def __init__(self, until_ns: int) -> None:
        """Prepare for a run that ends at ``until_ns``, epoch nanoseconds."""
        self._until_ns = until_ns
        self.messages: list[ReceivedMessage] = []
        self.count = self._bytes = 0

    def add(self, frame: str | bytes, received_ns: int) -> None:
        """Add a message that came at this time, epoch nanoseconds."""
        data = frame.encode() if isinstance(frame, str) else frame
        if received_ns >= self._until_ns:
            return
        self.count += 1
        self._bytes += len(data)
        if len(self.messages) < MAX_MESSAGES and self._bytes <= _MAX_BYTES:
            self.messages.append(ReceivedMessage(data, received_ns))


class _Remarks(logging.Handler):
    """Collects the reasons of warnings."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.reasons: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage() == "not connected":
            return  # the lines about connections have the reason
        reason = getattr(record, "why", None) or record.getMessage()
        if reason not in self.reasons:
            self.reasons.append(str(reason))


async def look(settings: FeedSettings, seconds: float) -> LookedAt:
    """Receive a feed by one client for some seconds, or until the end that the settings describe.

    Raises:
        BadSettings: a file that the settings name cannot be used.
    """
    # Opening the run takes a part of its time.
    duration = seconds + DEFAULT_POLICY.settle_seconds
    clock = Clock()
    kept = KeptMessages(clock.now_ns() + round(duration * 1e9))
    with tempfile.TemporaryDirectory(prefix="streamgauge-") as folder, _collected() as remarks:
        logs = Path(folder) / "logs"
        logs.mkdir()
        config = ClientConfig(
            logs=logs, block_size=10, block_bytes=1024 * 1024, block_seconds=0.2, fsync="none",
            instance="look", boot=boot_id(), host=socket.gethostname(),
        )  # fmt: skip
        brief = dataclasses.replace(settings, seconds=duration)
        (client,) = await external_subscribers(brief, [("look", config)], clock, RateLimitedLog())
        client.on_frame = kept.add
        try:
            await client.run()
        finally:
            await client.close()
        lines = list(_lines(logs))
    records = [message for line in lines if isinstance(line, blocklog.ExternalBlock) for message in line.messages]
    connections = [line for line in lines if isinstance(line, blocklog.ConnectionLine)]
    return LookedAt(kept.messages, kept.count, records, connections, remarks.reasons)


@contextmanager
def _collected() -> Iterator[_Remarks]:
    """Collect the warnings of the client instead of printing them."""
    remarks, client = _Remarks(), logging.getLogger("services.client")
    propagated, client.propagate = client.propagate, False
    client.addHandler(remarks)
    try:
        yield remarks
    finally:
        client.removeHandler(remarks)
        client.propagate = propagated


def _lines(logs: Path) -> Iterator[blocklog.LogLine]:
    for path in sorted(logs.glob("*/look/*.jsonl")):
        for line in path.read_bytes().splitlines(keepends=True):
            yield blocklog.codec.decode(line)[1]
