"""The model of a table: columns, and cells with a text, a value and a tone. Pure."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from services.collector import formatting

Tone: TypeAlias = Literal["good", "bad", "doubt", ""]
"""Of a cell: as it should be, a fact against the run, a reason to doubt the measurement, or none of these."""


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """A column: a short ``label`` and a sentence of ``hint``. Numeric columns are aligned to the right."""

    key: str
    label: str
    hint: str = ""
    numeric: bool = True


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """A cell: its ``text``, and the ``value`` that it is made from and sorted by, null when nothing was measured."""

    text: str
    value: int | float | str | None
    tone: Tone = ""


class Table(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Rows of cells, one for each column; ``unlisted`` is the number of further rows that it does not have."""

    columns: list[Column]
    rows: list[list[Cell]]
    unlisted: int = 0

    def beyond(self, shown: int) -> int:
        """Return how many rows there are beyond those that are shown."""
        return len(self.rows) - shown + self.unlisted

    def column(self, key: str) -> list[Cell]:
        """Return the cells of a column, from top to bottom."""
        index = [column.key for column in self.columns].index(key)
        return [row[index] for row in self.rows]

    def hint(self, key: str) -> str:
        """Return the hint of a column."""
        return next(column.hint for column in self.columns if column.key == key)


def text_cell(text: str, tone: Tone = "") -> Cell:
    """Return a cell for a text."""
    return Cell(text=text, value=text, tone=tone)


def count_cell(count: int | None, *, is_bad: bool) -> Cell:
    """Return a cell for a count, ``-`` where it is not known; ``is_bad`` marks a count above 0."""
    # An unknown count is not 0, and sorts last on the page.
    return Cell(text="-" if count is None else f"{count:,}", value=count, tone="bad" if is_bad and count else "")


def duration_cell(duration_ns: int | None) -> Cell:
    """Return a cell for a duration, null when nothing was measured."""
    return Cell(text=formatting.duration(duration_ns), value=duration_ns)


def block_duration_cell(duration_ns: int | None) -> Cell:
    """Return a cell for the time from the first message of a block to its last; the value 0 stays a number."""
    return Cell(text=formatting.block_duration(duration_ns), value=duration_ns)
