"""Lays a table out in columns of text: what fits is shown, the more telling columns first."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, TypeAlias

from services.collector.publish.clients_table import Cell, Table

Style: TypeAlias = Literal["good", "bad", "doubt", "title", "value", "faint", ""]
StyledSpan: TypeAlias = tuple[str, Style]

WIDTH = 100
"""No line is longer: what stands beside a log's prefix must still fit."""

_CODES: dict[Style, str] = {"good": "32", "bad": "31", "doubt": "33", "title": "1", "value": "36", "faint": "2"}


def line(*spans: StyledSpan, colour: bool = False, bold: bool = False) -> str:
    """Return spans side by side, without blanks at the end.

    Args:
        spans: texts, each with its style.
        colour: use the terminal's colours.
        bold: in all of the line, if there are colours.
    """
    parts = list(spans)
    while parts and not parts[-1][0].rstrip():
        parts.pop()
    if parts:
        parts[-1] = (parts[-1][0].rstrip(), parts[-1][1])
    return "".join(_painted(text, style, bold=bold) if colour else text for text, style in parts)


def _painted(text: str, style: Style, *, bold: bool) -> str:
    code = ";".join(filter(None, ("1" if bold else "", _CODES.get(style, ""))))
    return f"\x1b[{code}m{text}\x1b[0m" if code and text.strip() else text


def cut(text: str, width: int) -> str:
    """Return a text that is no longer than ``width``; what was cut off is marked."""
    return text if len(text) <= width else text[: width - 1] + "…"


GAP = "  "
MOST_NAME = 30
"""A longer name is cut; it may have 63 characters."""


class ShownColumn(NamedTuple):
    """A column that may be shown, and its head; an ``exception`` only if one of its cells is toned."""

    key: str
    head: str
    weight: int
    exception: bool = False


CLIENTS = (
    ShownColumn("client", "client", 9),
    ShownColumn("block_size", "block", 4),
    ShownColumn("blocks", "blocks", 3),
    ShownColumn("received", "received", 8),
    ShownColumn("missing", "missing", 8),
    ShownColumn("duplicates", "dup", 7, exception=True),
    ShownColumn("reordered", "reordered", 7, exception=True),
    ShownColumn("corrupt", "corrupt", 7, exception=True),
    ShownColumn("catch_up", "caught up", 6),
    ShownColumn("block_p50", "block p50", 5),
    ShownColumn("latency_p99", "p99 lat.", 8),
    ShownColumn("silence", "silence", 2),
    ShownColumn("over_time", "worst over time", 6),
    ShownColumn("note", "", 7),
)
TIMES = (
    ShownColumn("min", "min", 5),
    ShownColumn("p50", "p50", 8),
    ShownColumn("p90", "p90", 4),
    ShownColumn("p95", "p95", 3),
    ShownColumn("p99", "p99", 8),
    ShownColumn("p99_9", "p99.9", 6),
    ShownColumn("max", "max", 7),
)


class ColumnLayout:
    """Which columns of a table are shown in so much room, and how wide each is."""

    def __init__(self, table: Table, columns: Sequence[ShownColumn], room: int) -> None:
        self._table = table
        self._wide: dict[str, int] = {}
        for shown in sorted(columns, key=lambda one: -one.weight):
            cells = table.column(shown.key)
            width = max(len(shown.head), *(len(cell.text) for cell in cells), 0)
            width = min(width, MOST_NAME) if shown.key == "client" else width
            is_idle = shown.exception and not any(cell.tone for cell in cells)
            is_idle |= all(cell.text in ("", "-") for cell in cells)
            if not is_idle and len(GAP) + width <= room:
                self._wide[shown.key] = width
                room -= len(GAP) + width
        self._shown = [shown for shown in columns if shown.key in self._wide]
        keys = [column.key for column in table.columns]
        self._at = {shown.key: keys.index(shown.key) for shown in self._shown}

    def heads(self) -> Iterator[StyledSpan]:
        """Return the heads of the columns."""
        for shown in self._shown:
            yield self._placed(shown.key, shown.head), "faint"

    def cells(self, row: Sequence[Cell]) -> Iterator[StyledSpan]:
        """Return a row of the table: numbers to the right, each in its own tone."""
        for key, at in self._at.items():
            cell = row[at]
            usual: Style = "value" if self._table.columns[at].numeric else ""
            yield self._placed(key, cell.text), cell.tone or usual

    def _placed(self, key: str, text: str) -> str:
        text, width = cut(text, self._wide[key]), self._wide[key]
        return GAP + (f"{text:>{width}}" if self._table.columns[self._at[key]].numeric else f"{text:<{width}}")


def worth_showing(rows: Sequence[Sequence[Cell]], most: int) -> list[Sequence[Cell]]:
    """Return at most so many rows, in their order: those first of which there is something to say."""
    toned = [at for at, row in enumerate(rows) if any(cell.tone for cell in row)]
    others = sorted(set(range(len(rows))) - set(toned))
    return [rows[at] for at in sorted((toned + others)[:most])]
