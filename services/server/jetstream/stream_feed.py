"""A feed that any producer publishes to a stream of NATS JetStream: seq n is message ``from + n - 1`` of the stream.

The messages are copied to a file without a name in the ledger's folder, so that a record can be sent and compared again
as often as clients need it. What a client receives, and what its receipt is compared with, is the record in this copy.
"""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
from array import array
from base64 import b64encode
from collections.abc import Iterable
from pathlib import Path

import msgspec

from services.contract.rangeset import RangeSet
from services.contract.scalars import Span, digest, digest_text
from services.contract.wire import MAX_RECORD
from services.runtime.errors import UnusableStream
from services.server.jetstream.client import JetStreamClient, StreamMessage, StreamState

log = logging.getLogger(__name__)

_POLL_SECONDS = 0.005
"""Interval between two reads at the end of the stream: it is part of a live record's latency."""
_INFO_SECONDS = 15.0
_RETRY_SECONDS = 0.2
_MOST_DELETED = 10_000
"""Records that are added at once for messages that the stream has deleted: a gap may have millions."""


def record_of(data: bytes) -> bytes:
    """Return the record that a message becomes: one line of JSON.

    JSON stays as it is, but without line breaks; other UTF-8 text becomes a JSON string; other bytes become
    ``{"base64": …}``. A message that is too big for a record becomes ``{"omitted_bytes": …, "digest": …}``.
    """
    record = _json_of(data)
    if len(record) < MAX_RECORD:
        return record
    return b'{"omitted_bytes":%d,"digest":"%b"}' % (len(data), digest_text(digest(data)).encode())


def _json_of(data: bytes) -> bytes:
    try:
        msgspec.json.decode(data)
        return msgspec.json.format(data, indent=-1) if b"\n" in data or b"\r" in data else data.strip()
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return msgspec.json.encode(data.decode())
    except UnicodeDecodeError:
        return b'{"base64":"%b"}' % b64encode(data)


DELETED = b'{"deleted":true}'
"""The record in place of a message that the stream does not have any more."""


class StreamFeed:
    """The records of a stream, as far as they were read.

    Args:
        client: connection to the stream; not started yet.
        folder: where the copy is made.
        total: number of records that are needed.

    Attributes:
        identity: see `services.server.feed.feed.Feed`; of stream, time of its creation, and first message.
    """

    locale, seed = "", 0

    def __init__(self, client: JetStreamClient, folder: Path, total: int) -> None:
        self._client, self._total = client, total
        self._first = client.address.first
        self.schema = f"stream:{client.address.stream}"
        self.identity = ""
        folder.mkdir(parents=True, exist_ok=True)
        # Without a name, so that nothing is left behind however this process ends.
        self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._ends = array("Q", [0])

    @property
    def available(self) -> int:
        """Last seq whose record was read."""
        return len(self._ends) - 1

    def start(self) -> None:
        """Connect, and begin to read.

        Raises:
            UnusableStream: there is no server or no such stream, or it has lost its first records.
        """
        self._client.start()
        try:
            state = self._client.run(self._client.stream_state(), _INFO_SECONDS)
        except Exception as problem:  # noqa: BLE001
            # Whatever the library raises for a stream that is not there, or for nodes that do not answer.
            self._client.close()
            why = str(problem)[:300] or type(problem).__name__
            raise UnusableStream("SOURCE", self._client.address.shown, why, "create the stream first") from None
        if (fault := self._fault_of(state)) is not None:
            self._client.close()
            raise UnusableStream("SOURCE", self._client.address.shown, *fault)
        created = digest_text(digest(state.created.encode()))
        self.identity = f"{self.schema}-{created}-from{self._first}"
        self._client.begin(self._read_all())

    def _fault_of(self, state: StreamState) -> tuple[str, str] | None:
        """Return why a stream cannot be played, and what to do; None if it can."""
        if state.first is not None and state.first > self._first:
            why = f"its first message is number {state.first}, not {self._first}"
            return why, f"end the setting with ?from={state.first}"
        if not state.is_readable:
            return "it does not allow direct reads", "set allow_direct for the stream"
        return None

    def close(self) -> None:
        """Disconnect and drop the copy."""
        self._client.close()
        self._file.close()

    def lines(self, first: int, last: int) -> bytes:
        """Return the records ``first`` to ``last`` inclusive, each followed by a newline."""
        begin, end = self._ends[first - 1], self._ends[last]
        return os.pread(self._file.fileno(), end - begin, begin)

    def digest(self, first: int, last: int, missing: Iterable[Span] = ()) -> str:
        """Return the digest of the records ``first`` to ``last`` inclusive, without the ranges in ``missing``."""
        value = 0
        for begin, end in RangeSet([(first, last)]) - RangeSet(missing):
            value = digest(self.lines(begin, end), value)
        return digest_text(value)

    async def _read_all(self) -> None:
        while self.available < self._total:
            messages = await self._client.read(self._first + self.available)
            if not messages:
                await asyncio.sleep(_POLL_SECONDS)
            elif not self._add(messages):
                await asyncio.sleep(_RETRY_SECONDS)
        log.info("stream read", extra={"stream": self._client.address.stream, "records": self._total})

    def _add(self, messages: list[StreamMessage]) -> bool:
        """Add the records of messages; return False, with nothing added, if the disk refuses them."""
        records: list[bytes] = []
        expected = self._first + self.available
        for message in messages:
            missing = message.seq - expected - len(records)
            if missing < 0:
                # No stream answers with a message before the one that was asked for; its record has another number.
                continue
            records += [DELETED] * min(missing, _MOST_DELETED)
            if missing > _MOST_DELETED:
                # The message is read again, with the gap that is left before it.
                break
            records.append(record_of(message.data))
        del records[self._total - self.available :]
        data, at = b"\n".join([*records, b""]), self._ends[-1]
        try:
            is_kept, why = os.pwrite(self._file.fileno(), data, at) == len(data), "the disk is full"
        except OSError as problem:
            is_kept, why = False, str(problem)
        if not is_kept:
            log.warning("records of the stream not kept, trying again", extra={"why": why})
            return False
        for record in records:
            at += len(record) + 1
            self._ends.append(at)
        return True
