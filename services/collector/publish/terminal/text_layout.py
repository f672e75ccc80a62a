"""Lays out text for a terminal: lines of styled spans, and tables of the most important columns that fit. Pure.

The text is complete without its styles.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, TypeAlias

from services.collector.publish.table import Cell, Table
from services.runtime.output import printable

Style: TypeAlias = Literal["good", "bad", "doubt", "title", "value", "faint", ""]
StyledSpan: TypeAlias = tuple[str, Style]

WIDTH = 100
"""Columns of the longest line: it must still fit beside the prefix that a log viewer adds."""
MIN_WIDTH = 60
"""Columns that a summary needs for the names of its rows and one number beside them."""

_CODES: dict[Style, str] = {"good": "32", "bad": "31", "doubt": "33", "title": "1", "value": "36", "faint": "2"}

GAP = "  "
MAX_NAME_LENGTH = 30
"""Characters of a client's name that are shown; a name may have 63."""


def styled_line(*spans: StyledSpan, colour: bool = False, bold: bool = False) -> str:
    """Return spans side by side, without blanks at the end.

    Args:
        spans: texts, each with its style.
        colour: use ANSI colours.
        bold: make the whole line bold, if colours are used.
    """
    parts = [(printable.one_line(text), style) for text, style in spans]
    while parts and not parts[-1][0].rstrip():
        parts.pop()
    if parts:
        parts[-1] = (parts[-1][0].rstrip(), parts[-1][1])
    # Each part has its own codes and resets them, so a line that is cut off colours nothing else.
    return "".join(_with_codes(text, style, bold=bold) if colour else text for text, style in parts)


def truncated(text: str, width: int) -> str:
    """Return a text of at most ``width`` characters, with an ellipsis where it was cut off."""
    return text if len(text) <= width else text[: width - 1] + "…"


class TextColumn(NamedTuple):
    """A column that may be shown, and its head; with ``only_toned`` only if one of its cells has a tone.

    Columns of higher ``weight`` are preferred when not all of them fit.
    """

    key: str
    head: str
    weight: int
    only_toned: bool = False


CLIENTS = (
    TextColumn("client", "client", 9),
    TextColumn("block_size", "block", 4),
    TextColumn("blocks", "blocks", 3),
    TextColumn("received", "received", 8),
    TextColumn("missing", "missing", 8),
    TextColumn("duplicates", "dup", 7, only_toned=True),
    TextColumn("reordered", "reordered", 7, only_toned=True),
    TextColumn("corrupt", "corrupt", 7, only_toned=True),
    TextColumn("catch_up", "caught up", 6),
    TextColumn("block_p50", "block p50", 5),
    TextColumn("latency_p99", "p99 lat.", 8),
    TextColumn("silence", "silence", 2),
    TextColumn("over_time", "worst over time", 6),
    TextColumn("note", "", 7),
)


TIMES = (
    TextColumn("min", "min", 5),
    TextColumn("p50", "p50", 8),
    TextColumn("p90", "p90", 4),
    TextColumn("p95", "p95", 3),
    TextColumn("p99", "p99", 8),
    TextColumn("p99_9", "p99.9", 6),
    TextColumn("max", "max", 7),
)


class ColumnLayout:
    """The columns of a table that are shown within a width, and the width of each.

    Args:
        table: the table.
        columns: the candidates, in the order in which they are shown.
        width: characters for all columns together.
    """

    def __init__(self, table: Table, columns: Sequence[TextColumn], width: int) -> None:
        self._table = table
        self._widths: dict[str, int] = {}
        # By weight and not by place: a narrow terminal then loses the least important columns.
        for column in sorted(columns, key=lambda column: -column.weight):
            cells = table.column(column.key)
            needed = max(len(column.head), *(len(cell.text) for cell in cells), 0)
            needed = min(needed, MAX_NAME_LENGTH) if column.key == "client" else needed
            is_empty = all(cell.text in ("", "-") for cell in cells)
            is_empty |= column.only_toned and not any(cell.tone for cell in cells)
            if not is_empty and len(GAP) + needed <= width:
                self._widths[column.key] = needed
                width -= len(GAP) + needed
        self._shown = [column for column in columns if column.key in self._widths]
        keys = [column.key for column in table.columns]
        self._indices = {column.key: keys.index(column.key) for column in self._shown}

    def heads(self) -> Iterator[StyledSpan]:
        """Yield the heads of the columns."""
        for column in self._shown:
            yield self._aligned(column.key, column.head), "faint"

    def cells(self, row: Sequence[Cell]) -> Iterator[StyledSpan]:
        """Yield the shown cells of a row: numbers aligned to the right, each in its own tone."""
        for key, index in self._indices.items():
            cell = row[index]
            default: Style = "value" if self._table.columns[index].numeric else ""
            yield self._aligned(key, cell.text), cell.tone or default

    def _aligned(self, key: str, text: str) -> str:
        width = self._widths[key]
        text = truncated(text, width)
        return GAP + (f"{text:>{width}}" if self._table.columns[self._indices[key]].numeric else f"{text:<{width}}")


def most_important(rows: Sequence[Sequence[Cell]], most: int) -> list[Sequence[Cell]]:
    """Return at most ``most`` rows, in their order; rows with a toned cell are preferred."""
    toned = [index for index, row in enumerate(rows) if any(cell.tone for cell in row)]
    others = sorted(set(range(len(rows))) - set(toned))
    return [rows[index] for index in sorted((toned + others)[:most])]


def _with_codes(text: str, style: Style, *, bold: bool) -> str:
    code = ";".join(filter(None, ("1" if bold else "", _CODES.get(style, ""))))
    return f"\x1b[{code}m{text}\x1b[0m" if code and text.strip() else text
