"""Compares the receipts in the server's ledger with the blocks on the disk."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple, Self

from services.contract import block_text, blocklog, ledger
from services.contract.errors import LineError
from tests.readers import record_of


class Ledger:
    """The ledgers of all runs in a folder, followed as they grow."""

    def __init__(self, folder: Path) -> None:
        self.receipts: dict[tuple[str, str], list[ledger.ReceiptEntry]] = defaultdict(list)
        self.ended: list[str] = []
        self.runs: list[str] = []
        self._started: set[str] = set()
        self._folder = folder
        self._read: dict[Path, int] = {}
        self._connected: dict[tuple[str, str], set[int]] = defaultdict(set)

    def follow(self) -> None:
        """Read the lines that were added since the last call."""
        for path in sorted(self._folder.glob("*/*.jsonl")):
            size = self._read.get(path, 0)
            with path.open("rb") as file:
                file.seek(size)
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    size += len(line)
                    self._apply(path.parent.name, ledger.codec.decode(line)[1])
            self._read[path] = size

    def _apply(self, run: str, entry: ledger.Entry) -> None:
        match entry:
            case ledger.OpenEntry():
                self.runs.append(run)
            case ledger.PaceEntry():
                self._started.add(run)
            case ledger.SubscribeEntry():
                self._connected[run, entry.client].add(entry.fence)
            case ledger.LeaveEntry():
                self._connected[run, entry.client].discard(entry.fence)
            case ledger.ReceiptEntry():
                self.receipts[run, entry.client].append(entry)
            case ledger.EndEntry():
                self.ended.append(run)
            case _:
                pass

    @property
    def running(self) -> str | None:
        """The run whose records are being sent, None between two runs."""
        newest = self.runs[-1] if self.runs else None
        return newest if newest in self._started and newest not in self.ended else None

    def is_connected(self, client: str) -> bool:
        """Return whether the server has a subscription of the client to the current run, as of the last `follow`.

        Once it has none, the server has read everything that the client sent.
        """
        return (run := self.running) is not None and bool(self._connected[run, client])


class LogReader:
    """Reads the log folders of a client repeatedly; caches the result of files that have not changed."""

    def __init__(self) -> None:
        self._verified: dict[tuple[Path, str], list[BlockKey]] = {}

    def blocks(self, folder: Path) -> dict[tuple[int, int], BlockKey]:
        """Return the verified blocks of a folder; damaged lines are skipped."""
        blocks_found: dict[tuple[int, int], BlockKey] = {}
        for path in sorted(folder.glob("*.jsonl")):
            data = path.read_bytes()
            key = path, hashlib.sha256(data).hexdigest()
            if key not in self._verified:
                self._verified[key] = [BlockKey.of(block) for block in blocks_in(data)]
            blocks_found |= {(key.session, key.block): key for key in self._verified[key]}
        return blocks_found


class BlockKey(NamedTuple):
    """The fields of a block that its receipt repeats."""

    session: int
    block: int
    first: int
    last: int
    messages: int
    digest: str

    @classmethod
    def of(cls, item: blocklog.Block | ledger.ReceiptEntry) -> Self:
        """Return the key of a block or a receipt."""
        return cls(item.session, item.block, item.first, item.last, item.count, item.digest)


def blocks_in(data: bytes) -> list[blocklog.Block]:
    """Return the blocks of one file whose line checksum and records digest are right."""
    blocks_found = []
    for line in data.splitlines(keepends=True):
        try:
            entry = blocklog.codec.decode(line)[1]
        except LineError:
            continue
        if isinstance(entry, blocklog.Block) and block_text.block_digest(entry.messages) == entry.digest:
            blocks_found.append(entry)
    return blocks_found


def not_on_disk(
    receipts: list[ledger.ReceiptEntry], blocks: dict[tuple[int, int], BlockKey]
) -> list[ledger.ReceiptEntry]:
    """Return the receipts whose block is not there, or not what was receipted."""
    return [item for item in receipts if blocks.get((item.session, item.block)) != BlockKey.of(item)]


def differences(folder: Path, expected: list[bytes]) -> tuple[int, int, bool]:
    """Compare a log with the feed.

    Returns the number of missing records, the number of duplicates, and whether all logged records are in order and
    equal to those that were sent.
    """
    blocks = [block for path in sorted(folder.glob("*.jsonl")) for block in blocks_in(path.read_bytes())]
    messages = [message for block in blocks for message in block.messages]
    seqs = [message.seq for message in messages]
    lost, twice = len(expected) - len(set(seqs)), len(seqs) - len(set(seqs))
    return lost, twice, seqs == sorted(seqs) and all(record_of(item) == expected[item.seq - 1] for item in messages)
