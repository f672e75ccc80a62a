"""Batches as a server makes them, readers of a client's log, and a disk that refuses, for the tests of the client."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Callable, Iterable
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from services.client.block_builder import BlockCut
from services.client.block_encoder import PendingLine, ReceivedBatch, SessionKey, block_line
from services.client.clock_sync import Estimate
from services.client.settings import ClientConfig
from services.contract import block_text, blocklog, wire
from services.contract.jsonl import FIRST
from services.contract.scalars import digest, digest_text
from services.runtime.clock import Clock
from services.runtime.durable_file import LineFile

RUN = "20261122T073000Z"
START_US = 1_795_332_600_000_000
START_NS = START_US * 1000
EXACT = Estimate(0, 0)
KEY = SessionKey(RUN, "client-1", 1)


class StoppedClock(Clock):
    """A clock that moves only when a test sets it."""

    def __init__(self, now_us: int = START_US) -> None:
        self.us = now_us
        self.set_by_ns = 0

    def now_ns(self) -> int:
        """Return epoch nanoseconds."""
        return self.us * 1000

    def now_us(self) -> int:
        """Return epoch microseconds."""
        return self.us

    def step_ns(self) -> int:
        """Return how far the wall clock was set."""
        return self.set_by_ns


def record(seq: int) -> bytes:
    """Return a record, longer for some than for others."""
    return b'{"id":%d,"text":"%b"}' % (seq, b"x" * (seq % 7))


def body(seqs: Iterable[int]) -> bytes:
    """Return the lines of records."""
    return b"".join(record(seq) + b"\n" for seq in seqs)


def batch(first: int, count: int, rate: float = 100, sent_us: int = START_US) -> tuple[wire.Records, bytes]:
    """Return the header and the body of a good batch."""
    lines = body(range(first, first + count))
    due_us = START_US + wire.due_us(0, first - 1, rate)
    crc = digest_text(digest(lines))
    return wire.Records(first=first, count=count, due_us=due_us, rate=rate, sent_us=sent_us, crc=crc), lines


def framed(first: int, count: int) -> bytes:
    """Return a good batch as a frame."""
    header, lines = batch(first, count)
    return wire.records_head(header) + lines


def arrived(*seqs: int, at_ns: int = START_NS) -> ReceivedBatch:
    """Return consecutive records as they were received."""
    assert list(range(seqs[0], seqs[0] + len(seqs))) == list(seqs)
    return ReceivedBatch(seqs[0], [record(seq) for seq in seqs], at_ns, [5 + seq for seq in seqs], 3)


def runs_of(seqs: Iterable[int], at_ns: int = START_NS) -> list[ReceivedBatch]:
    """Return records as they were received, in batches of consecutive ones."""
    rows = (list(row) for _, row in groupby(enumerate(seqs), lambda pair: pair[1] - pair[0]))
    return [arrived(*(seq for _, seq in row), at_ns=at_ns) for row in rows]


def client_config(logs: Path, **changed: Any) -> ClientConfig:
    """Return the configuration of a client that logs ten messages a block."""
    values = {
        "logs": logs, "block_size": 10, "block_bytes": 2**20, "block_seconds": 5.0, "fsync": "block",
        "instance": "one", "boot": "boot", "host": "host", **changed,
    }  # fmt: skip
    return ClientConfig(**values)


def block_of(cut: BlockCut[ReceivedBatch]) -> PendingLine:
    """Return the line of a block in the first session, without faults and without a clock error."""
    return block_line(KEY, cut, (0, 0, []), EXACT)


def entries(folder: Path, *, sealed: bool = False) -> list[blocklog.LogLine]:
    """Return a session's lines in order, after checking digests and chain (and that every file has its last line)."""
    prev: str = FIRST
    found: list[blocklog.LogLine] = []
    for path in sorted(folder.glob("*.jsonl")):
        lines = path.read_bytes().splitlines(keepends=True)
        for line in lines:
            checked, entry = blocklog.codec.decode(line)
            assert prev == checked.prev, f"{path.name}: the chain is broken"
            prev = checked.crc
            found.append(entry)
        assert not sealed or not lines or isinstance(found[-1], blocklog.EndLine)
    return found


def blocks(folder: Path) -> list[blocklog.Block]:
    """Return the blocks of a session, checked against their own digests."""
    found = [entry for entry in entries(folder) if isinstance(entry, blocklog.Block)]
    for block in found:
        assert block.count == len(block.messages)
        assert block.digest == block_text.block_digest(block.messages)
    return found


async def until(condition: Callable[[], bool]) -> None:
    """Run other tasks until a condition holds; the test's own timeout ends a wait in vain."""
    while not condition():  # noqa: ASYNC110 - the condition has no event of its own
        await asyncio.sleep(0.001)


class Disk:
    """Counts the calls to the disk, and refuses those that a test selects."""

    def __init__(self, refuses: set[int] | None = None) -> None:
        self.calls = 0
        self.refuses = refuses or set()
        self.full = False

    def call(self) -> None:
        """Count a call, or refuse it."""
        self.calls += 1
        if self.full or self.calls in self.refuses:
            raise OSError(errno.ENOSPC, "No space left on device")

    def install(self, monkeypatch: pytest.MonkeyPatch) -> Disk:
        """Let every creation, write, sync and cut of a `LineFile` call first; a refused write leaves a part behind."""
        real = {name: getattr(LineFile, name) for name in ("__init__", "append", "sync", "cut_back")}

        def create(file: LineFile, path: Path) -> None:
            self.call()
            real["__init__"](file, path)

        def append(file: LineFile, data: bytes) -> None:
            try:
                self.call()
            except OSError:
                # As the real file does: the part that was written is cut off, which may be refused as well.
                with file.path.open("ab") as torn:
                    torn.write(data[: len(data) // 2])
                file.cut_back(file.size)
                raise
            real["append"](file, data)

        def sync(file: LineFile) -> None:
            self.call()
            real["sync"](file)

        def cut_back(file: LineFile, size: int) -> None:
            self.call()
            real["cut_back"](file, size)

        for name, fake in (("__init__", create), ("append", append), ("sync", sync), ("cut_back", cut_back)):
            monkeypatch.setattr(LineFile, name, fake)
        return self
