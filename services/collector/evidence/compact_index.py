"""A row of a few integers for each block and each receipt of a client, in little memory.

A run has hundreds of thousands of blocks. Rows of arrays take a tenth of the memory of tuples in a dict. Except for
copies and damage, blocks are read in the order of their numbers, so nearly every row is appended.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
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


Row = tuple[int, int, int, int, int, int]
"""The number of a block and the fields of an `IndexRow`."""
_NARROW, _WIDE = "I", "Q"
_MOST_NARROW = 2**32 - 1
_WIDTH = 1 + len(IndexRow._fields)


class _Table:
    """The rows of one session, sorted by block number. Its numbers have four bytes until one needs more."""

    __slots__ = ("values",)

    def __init__(self) -> None:
        # The rows one after the other: an array for each column took a kilobyte more for a client with a few blocks.
        self.values = array(_NARROW)

    def blocks(self) -> array[int]:
        """Return the block number of each row."""
        return self.values[::_WIDTH]

    def is_below(self, block: int) -> bool:
        """Return whether all rows are of blocks with lower numbers."""
        return not self.values or block > self.values[-_WIDTH]

    def indexes(self, block: int) -> range:
        # Nearly every block is the highest so far, and then needs no search.
        if self.is_below(block):
            return range(0)
        rows = range(len(self.values) // _WIDTH)
        return range(bisect_left(rows, block, key=self._block), bisect_right(rows, block, key=self._block))

    def _block(self, index: int) -> int:
        return self.values[index * _WIDTH]

    def row(self, index: int) -> IndexRow:
        return IndexRow._make(self.values[index * _WIDTH + 1 : (index + 1) * _WIDTH])

    def insert(self, block: int, new: IndexRow) -> None:
        if self.is_below(block):
            self.extend([(block, *new)])
            return
        self._admit((block, *new))
        index = self.indexes(block).stop * _WIDTH
        self.values[index:index] = array(self.values.typecode, (block, *new))

    def extend(self, rows: Iterable[Row]) -> None:
        values = list(chain.from_iterable(rows))
        self._admit(values)
        self.values.extend(values)

    def _admit(self, values: Sequence[int]) -> None:
        """Use more bytes for each number if one of these needs them."""
        if self.values.typecode == _NARROW and max(values) > _MOST_NARROW:
            self.values = array(_WIDE, self.values)

    def merge(self, other: _Table) -> None:
        # The sort is stable: the rows of one block keep their order.
        rows = sorted((*self._rows(), *other._rows()), key=itemgetter(0))
        del self.values[:]
        self.extend(rows)

    def _rows(self) -> Iterator[Row]:
        return zip(*[iter(self.values)] * _WIDTH, strict=True)


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
        return table is None or table.is_below(block)

    def extend(self, session: int, rows: Sequence[Row]) -> None:
        """Add rows of blocks above all blocks of their session, in the order of their numbers."""
        table = self._tables.get(session)
        if table is None:
            table = self._tables[session] = _Table()
        table.extend(rows)
        self.count += len(rows)

    def shares_a_block(self, other: CompactIndex) -> bool:
        """Return whether any block has rows in both."""
        return any(
            not set(self._tables[session].blocks()).isdisjoint(other._tables[session].blocks())
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
            for block in self._tables[session].blocks():
                if block != last:
                    yield session, block
                last = block
