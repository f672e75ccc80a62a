"""When each block of a client began and how long it took: evenly chosen blocks in bounded memory.

Which ones depends on the highest block numbers and on the number of clients alone, and a longer stride only drops
blocks: so whatever the order in which they are read, the same ones remain.
"""

from __future__ import annotations

from array import array

import msgspec

from services.contract.blocklog import Block
from services.contract.timeline import MOST_BARS, MOST_BLOCKS, Bar

LEAST_BLOCKS = 16
"""A lane has room for so many blocks, however many clients there are."""
_FIELDS = len(Bar.__struct_fields__)


class Room:
    """How many blocks of a client are kept: the more clients, the fewer of each."""

    def __init__(self) -> None:
        self.most = MOST_BLOCKS
        self._all: list[Bars] = []

    def share(self, newcomer: Bars) -> None:
        """Make room for another client."""
        self._all.append(newcomer)
        while self.most > LEAST_BLOCKS and self.most * len(self._all) > MOST_BARS:
            self.most //= 2
            for bars in self._all:
                bars.thin()


class Bars:
    """The blocks of one client: every one whose number is a multiple of ``stride``."""

    def __init__(self, room: Room) -> None:
        self.stride = 1
        self._room = room
        self._highest: dict[int, int] = {}
        self._kept = 0
        self._rows = array("q")
        self._bars: list[Bar] | None = None

    def take(self, block: Block, start_us: int) -> None:
        """Take a block whose first message came at ``start_us``, on the server's clock."""
        if not self._highest:
            self._room.share(self)
        number, stride, before = block.block, self.stride, self._highest.get(block.session, 0)
        if number > before:
            self._highest[block.session] = number
            self._kept += number // stride - before // stride
            if self._kept > self._room.most:
                self.thin()
        if not number % self.stride:
            row = (block.session, number, start_us, block.duration_ns, block.first, block.last, block.count)
            self._rows.extend(row)
            self._bars = None

    def thin(self) -> None:
        """Drop as many blocks as are too many for the room that there is."""
        stride = self.stride
        while self._kept > self._room.most:
            self.stride *= 2
            self._kept = sum(highest // self.stride for highest in self._highest.values())
        if self.stride > stride:
            self._bars = None
            rows = self._table()
            self._rows = array("q", [value for row in rows if not row[1] % self.stride for value in row])

    def bars(self) -> list[Bar]:
        """Return the blocks that are kept, by session and number."""
        if self._bars is None:
            # Of a block that stands in the log with different contents one is told.
            rows = {row[:2]: row for row in sorted(self._table(), reverse=True)}
            self._bars = msgspec.convert([rows[key] for key in sorted(rows)], list[Bar])
        return self._bars

    def _table(self) -> list[tuple[int, ...]]:
        return list(zip(*[iter(self._rows)] * _FIELDS, strict=True))
