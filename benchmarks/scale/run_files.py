"""Writes ledger and logs of an invented run with the project's codecs, at full speed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from services.contract import block_text, blocklog, ledger
from services.contract.jsonl import FIRST, Kinds, LineStruct
from services.contract.scalars import utc_text

RUN = "20261122T073000Z"
START_US = 1_795_332_600_000_000
RATE = 100_000


class _Lines:
    """A file with chained lines."""

    def __init__(self, path: Path, codec: Kinds[Any], prev: str = FIRST) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.prev, self.size, self.sha256 = prev, 0, hashlib.sha256()
        self._codec = codec
        # Unbuffered, so that a line is completely written when `put` returns.
        self._file = path.open("xb", buffering=0)

    def put(self, entry: LineStruct) -> None:
        line, self.prev = self._codec.encode(entry, self.prev)
        self._file.write(line)
        self.size += len(line)
        self.sha256.update(line)

    def close(self) -> None:
        self._file.close()


def batch(records: Sequence[bytes], first: int) -> list[blocklog.OwnMessage]:
    """Return the messages of records that arrived together, with different latencies and transit times."""
    last_us = START_US + (first + len(records)) * 1_000_000 // RATE
    at = utc_text(last_us + 2000)
    return [
        blocklog.OwnMessage(
            seq, at, 1_000_000 + seq * 7919 % 3_000_000, 300_000 + seq * 104_729 % 900_000, msgspec.Raw(record)
        )
        for seq, record in enumerate(records, first)
    ]


class Log:
    """The block log of one client, in segments as a client writes them."""

    def __init__(self, volumes: Path, client: str, fence: int, block_size: int) -> None:
        self.client, self.fence, self._block_size = client, fence, block_size
        self._folder = volumes / "logs" / RUN / client
        self._segment = self._block = self._blocks = self._messages = 0
        self._lines = self._open_segment(FIRST)

    def put(self, messages: list[blocklog.OwnMessage]) -> ledger.ReceiptEntry:
        """Append a block of consecutive messages; return its receipt."""
        if self._lines.size >= blocklog.SEGMENT_BYTES:
            self._end("rotated")
            self._lines = self._open_segment(self._lines.prev)
        self._block += 1
        self._blocks += 1
        self._messages += len(messages)
        first, last = messages[0], messages[-1]
        digest = block_text.records_digest([message.record for message in messages])
        self._lines.put(
            blocklog.Block(
                run=RUN, client=self.client, session=1, block=self._block, first=first.seq, last=last.seq,
                count=len(messages), closed_by="count", started_at=first.received_at, ended_at=last.received_at,
                duration_ns=len(messages) * 1_000_000_000 // RATE, idle_ns=0, clock_offset_us=0, clock_error_us=0,
                digest=digest, messages=messages,
            )
        )  # fmt: skip
        return ledger.ReceiptEntry(
            at=last.received_at, client=self.client, session=1, fence=self.fence, block=self._block,
            first=first.seq, last=last.seq, count=len(messages), digest=digest, match=True,
        )  # fmt: skip

    def finish(self) -> None:
        """Seal the log at the end of the run."""
        self._end("finished")

    def _open_segment(self, prev: str) -> _Lines:
        self._segment += 1
        self._blocks = self._messages = 0
        lines = _Lines(self._folder / blocklog.file_name(1, self._segment), blocklog.codec, prev)
        lines.put(
            blocklog.OpenLine(
                run=RUN, client=self.client, session=1, segment=self._segment, instance=self.client, fence=self.fence,
                block_size=self._block_size, fsync="none", after=0, boot="b", host="h", software="s",
                opened_at=utc_text(START_US),
            )
        )  # fmt: skip
        return lines

    def _end(self, reason: blocklog.FileEndReason) -> None:
        self._lines.put(
            blocklog.EndLine(
                reason=reason, block_count=self._blocks, message_count=self._messages, byte_count=self._lines.size,
                sha256=self._lines.sha256.hexdigest(),
            )
        )  # fmt: skip
        self._lines.close()


class Ledger:
    """The server's ledger of a run of ``total`` records."""

    def __init__(self, volumes: Path, total: int, logs: Sequence[Log], block_size: int) -> None:
        self._total, self._logs = total, logs
        self._lines = _Lines(volumes / "ledger" / RUN / "0123456789ab.jsonl", ledger.codec)
        at = utc_text(START_US)
        self._lines.put(
            ledger.OpenEntry(
                at=at, run=RUN, instance="0123456789ab", boot="b", software="s", feed="f", seed=42, schema="person",
                locale="en_US", faker="f", pool=1024, total=total, rate=RATE, clients=len(logs),
            )
        )  # fmt: skip
        for log in logs:
            self._lines.put(
                ledger.SubscribeEntry(
                    at=at, client=log.client, session=1, instance=log.client, fence=log.fence, first=1,
                    block_size=block_size,
                )
            )  # fmt: skip
        self._lines.put(ledger.PaceEntry(at=at, first=1, due_us=START_US, rate=RATE))
        for log in logs:
            self._lines.put(ledger.SentEntry(at=at, client=log.client, fence=log.fence, through=total))

    def put(self, receipt: ledger.ReceiptEntry) -> None:
        """Append a receipt."""
        self._lines.put(receipt)

    def finish(self) -> None:
        """End the run, with all records receipted by every client."""
        at, total = utc_text(START_US + self._total * 1_000_000 // RATE + 1_000_000), self._total
        late_ns = 1_000_000
        self._lines.put(
            ledger.EndEntry(at=at, last=total, count=total, reason="complete", late_p99_ns=late_ns, late_max_ns=late_ns)
        )
        for log in self._logs:
            self._lines.put(
                ledger.LeaveEntry(at=at, client=log.client, fence=log.fence, sent=total, receipted=total, cause="bye")
            )
        self._lines.close()
