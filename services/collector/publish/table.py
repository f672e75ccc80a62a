"""A table as every face shows it: texts to print, and beside each what a page sorts by."""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

Tone: TypeAlias = Literal["good", "bad", "doubt", ""]
"""How a reader should take something: as it should be, a fact against the run, a doubt, or neither."""


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """One column: a short ``label``, a sentence of ``hint``; numbers stand to the right."""

    key: str
    label: str
    hint: str = ""
    numeric: bool = True


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One cell: its ``text``, and the number or text that it is made from, null when nothing was measured."""

    text: str
    value: int | float | str | None
    tone: Tone = ""


class Table(msgspec.Struct, frozen=True, kw_only=True):
    """Rows of cells, one for each column."""

    columns: list[Column]
    rows: list[list[Cell]]

    def column(self, key: str) -> list[Cell]:
        """Return the cells of a column, from top to bottom."""
        at = [column.key for column in self.columns].index(key)
        return [row[at] for row in self.rows]

    def hint(self, key: str) -> str:
        """Return the hint of a column."""
        return next(column.hint for column in self.columns if column.key == key)
