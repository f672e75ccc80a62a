"""What the server's ledger says was receipted, held against the blocks that are on the disk."""

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
        self._begun: set[str] = set()
        self._folder = folder
        self._read: dict[Path, int] = {}
        self._connected: dict[tuple[str, str], set[int]] = defaultdict(set)

    def follow(self) -> None:
        """Read what is new."""
        for path in sorted(self._folder.glob("*/*.jsonl")):
            size = self._read.get(path, 0)
            with path.open("rb") as file:
                file.seek(size)
                for line in file:
                    if not line.endswith(b"\n"):
                        break
                    size += len(line)
                    self._take(path.parent.name, ledger.codec.decode(line)[1])
            self._read[path] = size

    def _take(self, run: str, entry: ledger.Entry) -> None:
        match entry:
            case ledger.OpenEntry():
                self.runs.append(run)
            case ledger.PaceEntry():
                self._begun.add(run)
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
        """The run of which records are due, None between two of them."""
        newest = self.runs[-1] if self.runs else None
        return newest if newest in self._begun and newest not in self.ended else None

    def is_connected(self, client: str) -> bool:
        """Tell whether the server holds a subscription of the client to the run that is on, as of the last `follow`.

        Once it does not, everything that the client had said has arrived.
        """
        return (run := self.running) is not None and bool(self._connected[run, client])


class Logs:
    """A client's folder in one run, read again and again: bytes that were verified once are not verified twice."""

    def __init__(self) -> None:
        self._known: dict[tuple[Path, str], list[Note]] = {}

    def blocks(self, folder: Path) -> dict[tuple[int, int], Note]:
        """Return the verified blocks; what cannot be read is none."""
        found: dict[tuple[int, int], Note] = {}
        for path in sorted(folder.glob("*.jsonl")):
            data = path.read_bytes()
            key = path, hashlib.sha256(data).hexdigest()
            if key not in self._known:
                self._known[key] = [Note.of(block) for block in blocks_in(data)]
            found |= {(note.session, note.block): note for note in self._known[key]}
        return found


class Note(NamedTuple):
    """A block, in as far as a receipt says it."""

    session: int
    block: int
    first: int
    last: int
    messages: int
    digest: str

    @classmethod
    def of(cls, said: blocklog.Block | ledger.ReceiptEntry) -> Self:
        """Return what a block or a receipt says."""
        return cls(said.session, said.block, said.first, said.last, said.count, said.digest)


def blocks_in(data: bytes) -> list[blocklog.Block]:
    """Return the blocks of one file that verify: line and records."""
    found = []
    for line in data.splitlines(keepends=True):
        try:
            entry = blocklog.codec.decode(line)[1]
        except LineError:
            continue
        if isinstance(entry, blocklog.Block) and block_text.block_digest(entry.messages) == entry.digest:
            found.append(entry)
    return found


def not_on_disk(receipts: list[ledger.ReceiptEntry], blocks: dict[tuple[int, int], Note]) -> list[ledger.ReceiptEntry]:
    """Return the receipts whose block is not there, or not what was receipted."""
    return [one for one in receipts if blocks.get((one.session, one.block)) != Note.of(one)]


def differences(folder: Path, expected: list[bytes]) -> tuple[int, int, bool]:
    """Return how many records a log lacks and has twice, and whether all it has is in order and as it was sent."""
    blocks = [block for path in sorted(folder.glob("*.jsonl")) for block in blocks_in(path.read_bytes())]
    messages = [message for block in blocks for message in block.messages]
    seqs = [message.seq for message in messages]
    lost, twice = len(expected) - len(set(seqs)), len(seqs) - len(set(seqs))
    return lost, twice, seqs == sorted(seqs) and all(record_of(one) == expected[one.seq - 1] for one in messages)
