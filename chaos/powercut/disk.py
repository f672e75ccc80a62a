"""Simulates the effect of a power cut on one client's files: synced data stays, unsynced data is damaged randomly."""

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

DAMAGE_KINDS = ("torn", "zeros", "hole", "holes", "noise")
"""Damage to the unsynced part: cut off; size kept but zeros at the end; one sector destroyed; some; most."""


@dataclass
class CutEffect:
    """The effect of one power cut on a client's files.

    Attributes:
        unsynced: bytes that were written but not synced.
        lost: the part of these bytes that was destroyed.
        names: files and folders that are gone, since their names were not synced.
        restored: truncations of a torn tail that were undone, since they were not synced.
        overtaken: whether an unsynced block survived behind one that was destroyed.
    """

    unsynced: int = 0
    lost: int = 0
    names: int = 0
    restored: int = 0
    overtaken: bool = False


@dataclass
class Disk:
    """The synced state of one client's folders; ``names``, the durable paths, is shared by all clients' disks."""

    logs: Path
    client: str
    journal: Path
    names: set[Path]
    sizes: dict[Path, int] = field(default_factory=dict)
    _tails: dict[Path, tuple[int, bytes]] = field(default_factory=dict)
    _offset: int = 0

    def follow(self) -> None:
        """Read the journal entries that the client's processes have written since the last call."""
        if not self.journal.exists():
            return
        with self.journal.open("rb") as file:
            file.seek(self._offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._offset += len(line)
                self._apply(json.loads(line))

    def _apply(self, entry: dict[str, object]) -> None:
        match entry:
            case {"file": str(path), "size": int(size)}:
                self.sizes[Path(path)] = size
                self._tails.pop(Path(path), None)
            case {"folder": str(path), "names": list(names)}:
                self.names |= {Path(path, name) for name in names}
            case {"cut": str(path), "size": int(size), "tail": str(tail)}:
                # A power cut can undo the truncation of synced bytes only; unsynced ones may be lost anyway.
                restorable = max(0, self.sizes.get(Path(path), 0) - size)
                self._tails[Path(path)] = size, base64.b64decode(tail)[:restorable]
                self.sizes[Path(path)] = min(size, self.sizes.get(Path(path), 0))

    def cut_power(self, dice: random.Random) -> CutEffect:
        """Damage the client's files as a power cut may; the remaining state counts as synced afterwards."""
        effect = CutEffect()
        for folder in sorted(self.logs.glob(f"*/{self.client}")):
            if not {folder, folder.parent} <= self.names and dice.random() < 0.5:
                shutil.rmtree(folder)
                self._forget(folder)
                effect.names += 1
                continue
            self.names.add(folder)
            for path in sorted(folder.iterdir()):
                self._cut_file(path, dice, effect)
        return effect

    def _cut_file(self, path: Path, dice: random.Random, effect: CutEffect) -> None:
        if path not in self.names and dice.random() < 0.5:
            path.unlink()
            self._forget(path)
            effect.names += 1
            return
        synced_size = self.sizes.get(path, 0)
        if path in self.names and path not in self._tails and synced_size == path.stat().st_size:
            return
        data = path.read_bytes()
        size, tail = self._tails.pop(path, (0, b""))
        if tail and len(data) <= size and dice.random() < 0.5:
            data = data[:size] + tail
            path.write_bytes(data)
            effect.restored += 1
        elif synced_size < len(data):
            remaining = damaged(data, synced_size, dice)
            path.write_bytes(remaining)
            effect.unsynced += len(data) - synced_size
            effect.lost += sum(a != b for a, b in zip(data[synced_size:], remaining[synced_size:], strict=False)) + max(
                0, len(data) - len(remaining)
            )
            effect.overtaken |= has_overtaken(data[synced_size:], remaining[synced_size:])
            data = remaining
        self.names.add(path)
        self.sizes[path] = len(data)

    def _forget(self, gone: Path) -> None:
        self.names -= {path for path in self.names if path.is_relative_to(gone)}
        self.sizes = {path: size for path, size in self.sizes.items() if not path.is_relative_to(gone)}
        self._tails = {path: tail for path, tail in self._tails.items() if not path.is_relative_to(gone)}


def damaged(data: bytes, synced_size: int, dice: random.Random) -> bytes:
    """Return the contents of a file after a power cut: only the first ``synced_size`` bytes are sure to survive."""
    kind = dice.choice(DAMAGE_KINDS)
    keeps_size = dice.random() < 0.6 and kind != "torn"
    size = len(data) if keeps_size else dice.randint(synced_size, len(data))
    remaining = bytearray(data[:size])
    sectors = range(synced_size // SECTOR, (size + SECTOR - 1) // SECTOR)
    if kind == "zeros":
        start = dice.randint(synced_size, size)
        remaining[start:] = bytes(size - start)
    elif kind == "hole" and sectors:
        # Mostly near the beginning of the unsynced part, so that later blocks survive.
        _destroy(remaining, synced_size, sectors[min(len(sectors) - 1, int(dice.expovariate(0.5)))], dice)
    elif kind in ("holes", "noise"):
        share = 0.1 if kind == "holes" else 0.7
        for sector in sectors:
            if dice.random() < share:
                _destroy(remaining, synced_size, sector, dice)
    return bytes(remaining)


def _destroy(data: bytearray, synced_size: int, sector: int, dice: random.Random) -> None:
    start, stop = max(synced_size, sector * SECTOR), min(len(data), (sector + 1) * SECTOR)
    data[start:stop] = dice.randbytes(stop - start) if dice.random() < 0.5 else bytes(stop - start)


def has_overtaken(written: bytes, remaining: bytes) -> bool:
    """Return whether a block survived that was written after a destroyed one."""
    destroyed = False
    at = 0
    for line in written.splitlines(keepends=True):
        survived = remaining[at : at + len(line)] == line
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
