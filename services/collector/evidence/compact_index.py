"""A row of a few integers for each block and each receipt of a client, in little memory.

A run has hundreds of thousands of blocks. Rows of arrays take a tenth of the memory of tuples in a dict. Except for
copies and damage, blocks are read in the order of their numbers, so nearly every row is appended.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import NamedTuple

Key = tuple[int, int]
"""Session and block."""


class IndexRow(NamedTuple):
    """A block or a receipt, with enough fields to compare the two.

    Attributes:
        first: the lowest seq, ``last`` the highest.
        messages: the number of messages.
        digest: of the records, as a number.
        mark: of a block the ``crc`` of its line, which identifies copies; of a receipt 1 if the server's digest of the
            records is the same, else 0.
    """

    first: int
    last: int
    messages: int
    digest: int
    mark: int


_NARROW, _WIDE = "I", "Q"
_MOST_NARROW = 2**32 - 1


class _Table:
    """The rows of one session, sorted by block number. Its numbers have four bytes until one needs more."""

    __slots__ = ("blocks", "columns")

    def __init__(self) -> None:
        self.blocks = array(_NARROW)
        self.columns = [array(_NARROW) for _ in IndexRow._fields]

    def indexes(self, block: int) -> range:
        # Nearly every block is the highest so far, and then needs no search.
        if not self.blocks or block > self.blocks[-1]:
            return range(0)
        return range(bisect_left(self.blocks, block), bisect_right(self.blocks, block))

    def rows(self) -> Iterator[tuple[int, ...]]:
        return zip(self.blocks, *self.columns, strict=True)

    def row(self, index: int) -> IndexRow:
        return IndexRow._make([column[index] for column in self.columns])

    def insert(self, block: int, new: IndexRow) -> None:
        if max(block, *new) > _MOST_NARROW:
            self._widen()
        if self.blocks and block < self.blocks[-1]:
            index = bisect_right(self.blocks, block)
            self.blocks.insert(index, block)
            for column, value in zip(self.columns, new, strict=True):
                column.insert(index, value)
            return
        self.blocks.append(block)
        for column, value in zip(self.columns, new, strict=True):
            column.append(value)

    def extend(self, columns: Sequence[Sequence[int]]) -> None:
        if max(map(max, columns)) > _MOST_NARROW:
            self._widen()
        for column, values in zip((self.blocks, *self.columns), columns, strict=True):
            column.extend(values)

    def _widen(self) -> None:
        if self.blocks.typecode == _NARROW:
            self.blocks, *self.columns = (array(_WIDE, column) for column in (self.blocks, *self.columns))

    def merge(self, other: _Table) -> None:
        if other.blocks.typecode == _WIDE:
            self._widen()
        # The sort is stable: the rows of one block keep their order.
        rows = sorted((*self.rows(), *other.rows()), key=itemgetter(0))
        for column, values in zip((self.blocks, *self.columns), zip(*rows, strict=True), strict=True):
            column[:] = array(column.typecode, values)


class CompactIndex:
    """Rows by session and block. A block has several rows if lines with different content describe it.

    It also finds copies of a block that was read before, and the receipt of each block. As tuples in dicts, blocks and
    receipts took 1 kB a block: 230 MB for 10 GB of blocks of ten messages.
    """

    def __init__(self) -> None:
        self._tables: dict[int, _Table] = {}
        self.count = 0
        self.repeated: dict[Key, int] = {}
        """Blocks with more than one row, and the number of their rows."""

    def add(self, key: Key, row: IndexRow) -> bool:
        """Add a row of a block; return False if the same row is known already."""
        session, block = key
        table = self._tables.get(session)
        if table is None:
            table = self._tables[session] = _Table()
        indexes = table.indexes(block)
        if indexes:
            if any(table.row(index) == row for index in indexes):
                return False
            self.repeated[key] = len(indexes) + 1
        table.insert(block, row)
        self.count += 1
        return True

    def is_above(self, session: int, block: int) -> bool:
        """Return whether a block has a higher number than all blocks of its session so far."""
        table = self._tables.get(session)
        return table is None or block > table.blocks[-1]

    def extend(self, session: int, columns: Sequence[Sequence[int]]) -> None:
        """Add blocks above all blocks of their session: their numbers, ascending, and the columns of their rows."""
        table = self._tables.get(session)
        if table is None:
            table = self._tables[session] = _Table()
        table.extend(columns)
        self.count += len(columns[0])

    def shares_a_block(self, other: CompactIndex) -> bool:
        """Return whether any block has rows in both."""
        return any(
            not set(self._tables[session].blocks).isdisjoint(other._tables[session].blocks)
            for session in self._tables.keys() & other._tables.keys()
        )

    def merge(self, other: CompactIndex) -> None:
        """Add the rows of other blocks: of none that has a row here."""
        for session, table in other._tables.items():
            if session in self._tables:
                self._tables[session].merge(table)
            else:
                self._tables[session] = table
        self.count += other.count
        self.repeated.update(other.repeated)

    def of(self, key: Key) -> list[IndexRow]:
        """Return the rows of a block, none if it is not known."""
        table = self._tables.get(key[0])
        return [table.row(index) for index in table.indexes(key[1])] if table else []

    @property
    def sessions(self) -> set[int]:
        """The sessions that have a row."""
        return set(self._tables)

    def __len__(self) -> int:
        """Return the number of different blocks."""
        return self.count - sum(self.repeated.values()) + len(self.repeated)

    def __iter__(self) -> Iterator[Key]:
        """Yield session and number of each block, in order."""
        for session in sorted(self._tables):
            last = None
            for block in self._tables[session].blocks:
                if block != last:
                    yield session, block
                last = block
