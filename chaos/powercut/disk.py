"""What a power cut leaves of one client's files: what was synced, and of the rest whatever the dice say."""

from __future__ import annotations

import base64
import json
import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from chaos.atrest.reference import SECTOR
from services.contract import blocklog
from services.contract.errors import LineError

HOWS = ("torn", "zeros", "hole", "holes", "noise")
"""Of the unsynced part: only shorter; longer than what was written of it; one sector gone; some; most."""


@dataclass
class Left:
    """What one power cut did.

    Attributes:
        unsynced: bytes that were written and not synced, and ``lost`` those of them that are not there any more.
        names: files and folders that are gone.
        restored: cuts of a tail that had not been synced and did not happen.
        overtaken: whether a whole block of the unsynced part stands behind one that was destroyed.
    """

    unsynced: int = 0
    lost: int = 0
    names: int = 0
    restored: int = 0
    overtaken: bool = False


@dataclass
class Disk:
    """The disk under one client's folders; ``names`` that are durable are known to all disks of the machine."""

    logs: Path
    client: str
    journal: Path
    names: set[Path]
    sizes: dict[Path, int] = field(default_factory=dict)
    _tails: dict[Path, tuple[int, bytes]] = field(default_factory=dict)
    _read: int = 0

    def follow(self) -> None:
        """Read what the client's processes have noted since the last call."""
        if not self.journal.exists():
            return
        with self.journal.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._read += len(line)
                self._take(json.loads(line))

    def _take(self, said: dict[str, object]) -> None:
        match said:
            case {"file": str(path), "size": int(size)}:
                self.sizes[Path(path)] = size
                self._tails.pop(Path(path), None)
            case {"folder": str(path), "names": list(names)}:
                self.names |= {Path(path, name) for name in names}
            case {"cut": str(path), "size": int(size), "tail": str(tail)}:
                # Only what had been synced can come back; until the next sync the rest is as good as cut.
                kept = max(0, self.sizes.get(Path(path), 0) - size)
                self._tails[Path(path)] = size, base64.b64decode(tail)[:kept]
                self.sizes[Path(path)] = min(size, self.sizes.get(Path(path), 0))

    def cut_power(self, dice: random.Random) -> Left:
        """Leave of the client's files what a power cut may leave; all of that is durable then."""
        left = Left()
        for folder in sorted(self.logs.glob(f"*/{self.client}")):
            if not {folder, folder.parent} <= self.names and dice.random() < 0.5:
                shutil.rmtree(folder)
                self._forget(folder)
                left.names += 1
                continue
            self.names.add(folder)
            for path in sorted(folder.iterdir()):
                self._cut_file(path, dice, left)
        return left

    def _cut_file(self, path: Path, dice: random.Random, left: Left) -> None:
        if path not in self.names and dice.random() < 0.5:
            path.unlink()
            self._forget(path)
            left.names += 1
            return
        good = self.sizes.get(path, 0)
        if path in self.names and path not in self._tails and good == path.stat().st_size:
            return
        data = path.read_bytes()
        size, tail = self._tails.pop(path, (0, b""))
        if tail and len(data) <= size and dice.random() < 0.5:
            data = data[:size] + tail
            path.write_bytes(data)
            left.restored += 1
        elif good < len(data):
            now = damaged(data, good, dice)
            path.write_bytes(now)
            left.unsynced += len(data) - good
            left.lost += sum(a != b for a, b in zip(data[good:], now[good:], strict=False)) + max(
                0, len(data) - len(now)
            )
            left.overtaken |= overtaken(data[good:], now[good:])
            data = now
        self.names.add(path)
        self.sizes[path] = len(data)

    def _forget(self, gone: Path) -> None:
        self.names -= {path for path in self.names if path.is_relative_to(gone)}
        self.sizes = {path: size for path, size in self.sizes.items() if not path.is_relative_to(gone)}
        self._tails = {path: tail for path, tail in self._tails.items() if not path.is_relative_to(gone)}


def damaged(data: bytes, good: int, dice: random.Random) -> bytes:
    """Return a file of which only the first ``good`` bytes are safe: of another size, with sectors not as written."""
    how = dice.choice(HOWS)
    whole = dice.random() < 0.6 and how != "torn"
    size = len(data) if whole else dice.randint(good, len(data))
    left = bytearray(data[:size])
    sectors = range(good // SECTOR, (size + SECTOR - 1) // SECTOR)
    if how == "zeros":
        start = dice.randint(good, size)
        left[start:] = bytes(size - start)
    elif how == "hole" and sectors:
        # Mostly near its beginning, so that what was written later survives it.
        _destroy(left, good, sectors[min(len(sectors) - 1, int(dice.expovariate(0.5)))], dice)
    elif how in ("holes", "noise"):
        share = 0.1 if how == "holes" else 0.7
        for sector in sectors:
            if dice.random() < share:
                _destroy(left, good, sector, dice)
    return bytes(left)


def _destroy(data: bytearray, good: int, sector: int, dice: random.Random) -> None:
    start, stop = max(good, sector * SECTOR), min(len(data), (sector + 1) * SECTOR)
    data[start:stop] = dice.randbytes(stop - start) if dice.random() < 0.5 else bytes(stop - start)


def overtaken(written: bytes, left: bytes) -> bool:
    """Tell whether a block survived that was written after one that did not."""
    destroyed = False
    at = 0
    for line in written.splitlines(keepends=True):
        survived = left[at : at + len(line)] == line
        at += len(line)
        if not _is_block(line):
            continue
        if survived and destroyed:
            return True
        destroyed |= not survived
    return False


def _is_block(line: bytes) -> bool:
    try:
        return isinstance(blocklog.codec.decode(line)[1], blocklog.Block)
    except LineError:
        return False
