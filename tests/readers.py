"""Reads a volumes folder with the project's own codecs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import msgspec

from services.contract import blocklog
from services.contract.errors import TornLine
from services.contract.ledger import Entry as LedgerEntry
from services.contract.ledger import ReceiptEntry
from services.contract.ledger import codec as ledger_codec
from services.contract.rangeset import RangeSet
from services.contract.summary import Summary, decode


@dataclass(frozen=True)
class Volumes:
    """The folder with ``logs/``, ``ledger/`` and ``summary/``. The default of ``run`` is the newest run."""

    root: Path

    def runs(self) -> list[str]:
        """Return the names of all runs, oldest first."""
        # A run of an external feed has no ledger.
        folders = (path for side in ("ledger", "logs") for path in (self.root / side).glob("2*Z*"))
        return sorted({path.name for path in folders if path.is_dir()})

    def newest(self) -> str:
        """Return the name of the newest run."""
        return self.runs()[-1]

    def clients(self, run: str | None = None) -> list[str]:
        """Return the clients that have a folder in a run, ordered by number."""
        folder = self.root / "logs" / (run or self.newest())
        names = [path.name for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []
        return sorted(names, key=lambda name: (len(name), name))

    def files(self, client: str, run: str | None = None) -> list[Path]:
        """Return a client's log files, in the order in which they were written."""
        return sorted((self.root / "logs" / (run or self.newest()) / client).glob("*.jsonl"))

    def log(self, client: str, run: str | None = None) -> list[blocklog.LogLine]:
        """Return all complete lines of a client's log."""
        return [entry for path in self.files(client, run) for entry in entries_of(path)]

    def blocks(self, client: str, run: str | None = None) -> list[blocklog.Block]:
        """Return the blocks of a client."""
        return [entry for entry in self.log(client, run) if isinstance(entry, blocklog.Block)]

    def messages(self, client: str, run: str | None = None) -> list[blocklog.OwnMessage]:
        """Return the messages of a client, in the order in which they were logged."""
        return [message for block in self.blocks(client, run) for message in block.messages]

    def external_blocks(self, client: str, run: str | None = None) -> list[blocklog.ExternalBlock]:
        """Return the blocks of a client of an external feed."""
        lines = [line for path in self.files(client, run) for line in lines_of(path)]
        return [entry for _, entry in map(blocklog.codec.decode, lines) if isinstance(entry, blocklog.ExternalBlock)]

    def held(self, client: str, run: str | None = None) -> RangeSet:
        """Return the seqs that a client has logged."""
        return RangeSet.from_numbers(message.seq for message in self.messages(client, run))

    def ledger_files(self, run: str | None = None) -> list[Path]:
        """Return the files of a run's ledger."""
        return sorted((self.root / "ledger" / (run or self.newest())).glob("*.jsonl"))

    def ledger(self, run: str | None = None) -> list[LedgerEntry]:
        """Return all complete lines of a run's ledger, ordered by time; an empty list before the first run."""
        if run is None and not self.runs():
            return []
        found: list[LedgerEntry] = []
        for path in self.ledger_files(run):
            found += [ledger_codec.decode(line)[1] for line in lines_of(path)]
        return sorted(found, key=lambda entry: entry.at)

    def head(self, client: str, run: str | None = None) -> int:
        """Return the last seq for which the ledger holds a receipt of a client."""
        entries = self.ledger(run)
        return max((e.last for e in entries if isinstance(e, ReceiptEntry) and e.client == client), default=0)

    def summary(self, run: str | None = None) -> Summary | None:
        """Return the summary of a run, None while there is none."""
        run = run or (self.newest() if self.runs() else None)
        path = self.root / "summary" / (run or "") / "summary.json"
        try:
            return decode(path.read_bytes()) if run else None
        except FileNotFoundError:
            return None

    def verdict(self, run: str | None = None) -> Summary | None:
        """Return the summary of a run once it has its verdict, None before."""
        found = self.summary(run)
        return found if found is not None and found.verdict is not None else None


def lines_of(path: Path) -> list[bytes]:
    """Return the complete lines of a file, which may still be written to."""
    lines = path.read_bytes().splitlines(keepends=True)
    return lines[:-1] if lines and not lines[-1].endswith(b"\n") else lines


def entries_of(path: Path) -> list[blocklog.LogLine]:
    """Return the complete lines of one log file, each checked."""
    return [blocklog.codec.decode(line)[1] for line in lines_of(path)]


def is_sealed(path: Path) -> bool:
    """Return whether a log file ends with an ``end`` line, or is empty: then it was only claimed."""
    lines = path.read_bytes().splitlines(keepends=True)
    try:
        return not lines or isinstance(blocklog.codec.decode(lines[-1])[1], blocklog.EndLine)
    except TornLine:
        return False


def record_of(message: blocklog.OwnMessage) -> bytes:
    """Return a message's record, byte for byte."""
    return bytes(message.record)


def undated(found: Summary) -> Summary:
    """Return a summary without the time at which it was made, which does not follow from the files."""
    return msgspec.structs.replace(found, made_at=None)
