"""Tests of tables of text and the choice of their columns."""

from services.collector.publish.table import Cell, Column, Table, Tone
from services.collector.publish.terminal.text_layout import ColumnLayout, TextColumn, most_important

NAMES = (TextColumn("client", "client", 3), TextColumn("count", "n", 2), TextColumn("dup", "dup", 1, only_toned=True))


def _cell(value: str | int, tone: Tone = "") -> Cell:
    return Cell(text=f"{value}", value=value, tone=tone)


def _table(*rows: list[Cell]) -> Table:
    columns = [Column(key="client", label="", numeric=False), *(Column(key=key, label="") for key in ("count", "dup"))]
    return Table(columns=columns, rows=list(rows))


def _text(layout: ColumnLayout, row: list[Cell]) -> str:
    return "".join(text for text, _ in layout.cells(row))


def test_columns_line_up() -> None:
    """Names are aligned to the left and numbers to the right, below heads aligned alike."""
    rows = [[_cell("a"), _cell(5), _cell(0)], [_cell("longer-name"), _cell(1234), _cell(0)]]
    layout = ColumnLayout(_table(*rows), NAMES, 100)

    assert ["  a               5", "  longer-name  1234"] == [_text(layout, row) for row in rows]
    assert "  client          n" == "".join(text for text, _ in layout.heads())


def test_an_exceptional_column_is_only_shown_with_a_toned_cell() -> None:
    """A column of errors is shown if there is an error."""
    row = [_cell("a"), _cell(5), _cell(7, "bad")]
    layout = ColumnLayout(_table(row), NAMES, 100)

    assert "  a       5    7" == _text(layout, row)
    assert ["", "value", "bad"] == [style for _, style in layout.cells(row)]


def test_columns_that_do_not_fit_are_left_out() -> None:
    """Columns of lower weight are left out first, and no column is shown in part."""
    row = [_cell("name"), _cell(123456), _cell(7, "bad")]

    assert "  name    123456" == _text(ColumnLayout(_table(row), NAMES, 18), row)
    assert "  name      7" == _text(ColumnLayout(_table(row), NAMES, 14), row)


def test_a_long_name_is_truncated() -> None:
    """A name of 63 characters is truncated to 30."""
    row = [_cell("n" * 63), _cell(1), _cell(0)]

    assert "  " + "n" * 29 + "…  1" == _text(ColumnLayout(_table(row), NAMES, 100), row)


def test_rows_with_a_toned_cell_are_preferred() -> None:
    """Of too many rows the toned ones are kept, and the order does not change."""
    rows = [[_cell(at, "bad" if at in (3, 5) else "")] for at in range(6)]

    assert ["0", "3", "5"] == [row[0].text for row in most_important(rows, 3)]
    assert rows == most_important(rows, 6)
