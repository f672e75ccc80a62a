"""What is kept of every block and of every receipt, in few bytes: a run has hundreds of thousands of them.

A tuple of integers in a dictionary costs some 500 bytes, a row of a table 40. Blocks come in the order of their
numbers but for copies and damage, so a row is nearly always put at the end of its session's table.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import NamedTuple

Key = tuple[int, int]
"""Session and block."""


class IndexRow(NamedTuple):
    """What is kept of a block, enough to compare it with its receipt, or of a receipt.

    Attributes:
        first: the lowest seq, ``last`` the highest.
        messages: how many it holds.
        digest: of its records, as a number.
        mark: of a block, its line's ``crc``, by which it is known again; of a receipt, 1 where the feed agreed with it.
    """

    first: int
    last: int
    messages: int
    digest: int
    mark: int


class _Table:
    """The rows of one session, in the order of block numbers."""

    __slots__ = ("blocks", "columns")

    def __init__(self) -> None:
        self.blocks = array("Q")
        self.columns = (array("Q"), array("Q"), array("Q"), array("I"), array("I"))

    def rows(self, block: int) -> range:
        if not self.blocks or block > self.blocks[-1]:
            return range(0)
        return range(bisect_left(self.blocks, block), bisect_right(self.blocks, block))

    def add_fault(self, row: int) -> IndexRow:
        return IndexRow._make([column[row] for column in self.columns])

    def insert(self, block: int, note: IndexRow) -> None:
        row = bisect_right(self.blocks, block) if self.blocks and block < self.blocks[-1] else len(self.blocks)
        self.blocks.insert(row, block)
        for column, value in zip(self.columns, note, strict=True):
            column.insert(row, value)


class CompactIndex:
    """Notes by session and block; a block has several when what stands of it differs from place to place."""

    def __init__(self) -> None:
        self._tables: dict[int, _Table] = {}
        self.count = 0
        self.again: dict[Key, int] = {}
        """Blocks with more than one note, and how many they have."""

    def add(self, key: Key, note: IndexRow) -> bool:
        """Keep a note of a block; return whether it was not known yet."""
        session, block = key
        table = self._tables.get(session)
        if table is None:
            table = self._tables[session] = _Table()
        rows = table.rows(block)
        if rows:
            if any(table.note(row) == note for row in rows):
                return False
            self.again[key] = len(rows) + 1
        table.insert(block, note)
        self.count += 1
        return True

    def of(self, key: Key) -> list[IndexRow]:
        """Return the notes of a block, none when nothing is known of it."""
        table = self._tables.get(key[0])
        return [table.note(row) for row in table.rows(key[1])] if table else []

    @property
    def sessions(self) -> set[int]:
        """The sessions of which there is a note."""
        return set(self._tables)

    def __len__(self) -> int:
        """Return how many blocks there is a note of."""
        return self.count - sum(self.again.values()) + len(self.again)

    def __iter__(self) -> Iterator[Key]:
        """Return session and block of every block, in order."""
        for session in sorted(self._tables):
            last = None
            for block in self._tables[session].blocks:
                if block != last:
                    yield session, block
                last = block
