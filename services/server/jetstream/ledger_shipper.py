"""Sends the ledger that this server writes to a stream, for the servers that have a folder of their own."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from pathlib import Path

from services.server.jetstream.client import JetStreamClient, OutdatedSequence

log = logging.getLogger(__name__)

OFFSET = "Streamgauge-Offset"
"""Header: place of a piece in its ledger, in bytes."""
_IDENTITY = "Nats-Msg-Id"
_PIECE_BYTES = 512 * 1024
_RETRY_SECONDS = 0.2


class LedgerShipper:
    """Sends one ledger to the stream, in its order, as far as it is on disk, and for as long as that takes.

    Args:
        client: the connection.
        prefix: of the subjects.
        run: name of the run.
        path: of the ledger; the name without its ending is the instance.
        sent: bytes that the stream has already.
    """

    def __init__(self, client: JetStreamClient, prefix: str, run: str, path: Path, sent: int = 0) -> None:
        self._client, self.path = client, path
        self._subject, self._alive = f"{prefix}.ledger.{run}.{path.stem}", f"{prefix}.alive.{run}.{path.stem}"
        self._sent, self._size = sent, sent
        self._is_working = self._has_failed = False
        self._lock = threading.Lock()

    def synced(self, size: int) -> None:
        """Note that the first ``size`` bytes are on disk."""
        with self._lock:
            self._size = max(self._size, size)
            is_begun, self._is_working = self._is_working, True
        if not is_begun:
            self._client.begin(self._work())

    def touched(self) -> None:
        """Let the others know that this server lives."""
        self._client.begin(self._client.announce(self._alive))

    def await_sent(self, until: float) -> bool:
        """Wait until everything is sent, or a monotonic time; return whether it is."""
        while self._sent < self._size and time.monotonic() < until:
            time.sleep(0.01)
        return self._sent >= self._size

    async def _work(self) -> None:
        while True:
            with self._lock:
                if self._sent >= self._size:
                    self._is_working = False
                    return
            try:
                await self._send_piece()
            except (OutdatedSequence, OSError) as problem:
                if not self._has_failed:
                    why = {"path": str(self.path), "why": str(problem)[:300]}
                    log.warning("ledger not sent to the other servers, trying again", extra=why)
                self._has_failed = True
                await asyncio.sleep(_RETRY_SECONDS)

    async def _send_piece(self) -> None:
        with self.path.open("rb") as file:
            file.seek(self._sent)
            data = file.read(min(self._size - self._sent, _PIECE_BYTES))
        # An identity lets JetStream drop a piece that arrives twice because its first answer was lost.
        headers = {OFFSET: str(self._sent), _IDENTITY: f"{self._subject}.{self._sent}.{len(data)}"}
        await self._client.publish(self._subject, data, headers)
        self._sent += len(data)
        if self._has_failed:
            log.info("ledger is sent again", extra={"path": str(self.path)})
            self._has_failed = False
